// The agent about itself, as one more source: catalog and frame of accelmon.agent.* and accelmon.collector.*.
//
// Every collector gets these without its doing: duration, age, successes, errors per code, time inside each vendor
// call, missed ticks, restarts, implausible samples, processor time and memory.
// Threads: used by the agent's thread. Cost: some array stores an update; processes are looked at every ten seconds.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/collector_slot.h"
#include "base/fd.h"
#include "exporters/runner.h"
#include "model/catalog.h"
#include "model/frame.h"

namespace accelmon {

// What the parts of the agent know of themselves at the time of an update.
struct SelfInputs {
  uint64_t scrapes_text = 0;
  uint64_t scrapes_openmetrics = 0;
  uint64_t scrapes_protobuf = 0;
  Nanos render_time = 0;
  uint64_t page_bytes = 0;
  uint64_t requests_ok = 0;
  uint64_t requests_client_error = 0;
  uint64_t requests_server_error = 0;
  uint64_t connections = 0;
  int64_t certificate_expires_at = 0;  // Unix time; 0: the listener has none
  uint64_t handshakes_failed = 0;
  uint64_t store_bytes = 0;
  uint64_t store_limit = 0;
  Nanos store_span = 0;
  uint64_t reloads_ok = 0;
  uint64_t reloads_failed = 0;
  std::vector<ExporterState> exporters;
  std::optional<DiskState> history;  // none: it is not kept on disk
  // By severity (info, warning, critical); none: not looked for yet.
  std::optional<std::array<size_t, 3>> findings;
};

struct ProcessUse {
  Nanos cpu = 0;
  uint64_t resident = 0;
  uint64_t private_bytes = 0;
  bool known = false;
};

class SelfMetrics {
 public:
  SelfMetrics(const Clock& clock, std::string version, std::string revision);

  // Fills `frame`, with a new catalog when the set of series changed.
  void update(const std::vector<std::unique_ptr<CollectorSlot>>& slots, const SelfInputs& inputs, Frame& frame);
  const CatalogPtr& catalog() const { return catalog_; }
  const ProcessUse& use_of(size_t slot) const { return uses_[slot]; }
  Nanos started_wall() const { return started_wall_; }

 private:
  struct SlotIndices {
    int up, status, duration, poll_time, polls, age, last_success, missed, restarts, rejected, series;
    int cpu, resident, private_bytes;
    std::vector<int> call_time, calls, errors, implausible;
  };
  struct ExporterIndices {
    std::string name;
    int up, status, samples, rejected, late, lost, requests_ok, requests_failed, bytes, behind, last_success;
  };
  struct HistoryIndices {
    int status, bytes, written, dropped;
  };
  void rebuild(const std::vector<std::unique_ptr<CollectorSlot>>& slots, const SelfInputs& inputs);
  bool changed(const std::vector<std::unique_ptr<CollectorSlot>>& slots, const SelfInputs& inputs) const;
  void set_exporters(const SelfInputs& inputs, Frame& frame) const;
  void look_at_processes(const std::vector<std::unique_ptr<CollectorSlot>>& slots);

  const Clock& clock_;
  std::string version_;
  std::string revision_;
  Nanos started_wall_;
  CatalogPtr catalog_;
  uint64_t sequence_ = 0;
  Nanos looked_at_ = 0;
  ProcessUse agent_use_;
  std::vector<ProcessUse> uses_;
  std::vector<Nanos> ended_cpu_;  // of processes that are gone, per collector
  std::vector<pid_t> seen_pid_;
  std::vector<Nanos> seen_cpu_;

  std::vector<SlotIndices> slots_;
  std::vector<ExporterIndices> exporters_;
  std::optional<HistoryIndices> history_;
  struct TlsIndices {
    int expiry, failures;
  };
  std::optional<TlsIndices> tls_;
  int build_ = 0, start_ = 0, agent_cpu_ = 0, agent_resident_ = 0, agent_private_ = 0, store_bytes_ = 0,
      store_limit_ = 0, store_span_ = 0, scrapes_text_ = 0, scrapes_openmetrics_ = 0, scrapes_protobuf_ = 0,
      render_time_ = 0, page_bytes_ = 0, requests_ok_ = 0, requests_client_ = 0, requests_server_ = 0, connections_ = 0,
      log_lost_ = 0, reloads_ok_ = 0, reloads_failed_ = 0,
      findings_ = 0;  // the first of three
};

}  // namespace accelmon

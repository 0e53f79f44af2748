// The document of /api/v1/status: everything that a person or a program wants to know of the agent at once.
//
// Threads: called under the agent's lock. Cost: some hundred microseconds for eight GPUs; it is made on request only.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "agent/arbiter.h"
#include "agent/collector_slot.h"
#include "agent/event_log.h"
#include "agent/self_metrics.h"
#include "encode/json.h"

namespace accelmon {

// As an element of "events".
void write_event(JsonWriter& json, const EventLog::Entry& entry);

struct StatusInputs {
  const Clock& clock;
  const Config& config;
  std::string_view version;
  std::string_view hostname;
  std::string_view address;
  bool tls = false;            // clients of the address speak TLS
  bool authenticates = false;  // and show who they are
  std::string_view socket;
  bool simulated = false;
  const std::vector<std::unique_ptr<CollectorSlot>>& slots;
  const std::vector<ArbiterSource>& views;  // what is shown of each slot, in the same order
  const SelfMetrics& self;
  const EventLog& events;
  uint64_t scrapes = 0;
  Nanos last_scrape = 0;  // monotonic; 0: never
  uint64_t page_bytes = 0;
  std::vector<ExporterState> exporters;
  std::optional<DiskState> history;               // none: it is not kept on disk
  std::string_view history_path;                  // the file that it is kept in, whatever was configured since
  std::optional<std::array<size_t, 3>> findings;  // by severity; none: nothing was evaluated yet
  bool device_values = true;                      // false: devices without their values
};

std::string status_document(const StatusInputs& inputs);

}  // namespace accelmon

#include "agent/self_metrics.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/log.h"
#include "base/text.h"

namespace accelmon {
namespace {

constexpr Nanos kProcessPeriod = 10 * kSecond;

// Processor time of a process by its clock: one system call and no file. False when the process is gone.
bool cpu_of(pid_t pid, Nanos& out) {
  clockid_t id{};
  timespec ts{};
  if (::clock_getcpuclockid(pid, &id) != 0 || ::clock_gettime(id, &ts) != 0) return false;
  out = static_cast<Nanos>(ts.tv_sec) * kSecond + ts.tv_nsec;
  return true;
}

bool memory_of(pid_t pid, ProcessUse& use) {
  const auto text = read_file("/proc/" + (pid == 0 ? std::string("self") : std::to_string(pid)) + "/statm", 4096);
  if (!text) return false;
  std::string_view rest = *text;
  next_word(rest);
  const auto resident = parse_u64(next_word(rest));
  const auto shared = parse_u64(next_word(rest));
  if (!resident || !shared) return false;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  use.resident = *resident * page;
  // The kernel's "shared" counts file and shared-memory pages: what is left is anonymous, so only this process's.
  use.private_bytes = (*resident - std::min(*shared, *resident)) * page;
  return true;
}

}  // namespace

SelfMetrics::SelfMetrics(const Clock& clock, std::string version, std::string revision)
    : clock_(clock), version_(std::move(version)), revision_(std::move(revision)), started_wall_(clock.wall()) {}

bool SelfMetrics::changed(const std::vector<std::unique_ptr<CollectorSlot>>& slots, const SelfInputs& inputs) const {
  if (catalog_ == nullptr || slots_.size() != slots.size()) return true;
  if (tls_.has_value() != (inputs.certificate_expires_at != 0)) return true;
  if (history_.has_value() != inputs.history.has_value() || exporters_.size() != inputs.exporters.size()) return true;
  for (size_t i = 0; i < exporters_.size(); ++i)
    if (exporters_[i].name != inputs.exporters[i].name) return true;
  for (size_t i = 0; i < slots.size(); ++i)
    if (slots_[i].calls.size() != slots[i]->totals().calls.size() ||
        slots_[i].errors.size() != slots[i]->totals().errors.size() ||
        slots_[i].implausible.size() != slots[i]->pipeline().implausible().size())
      return true;
  return false;
}

void SelfMetrics::rebuild(const std::vector<std::unique_ptr<CollectorSlot>>& slots, const SelfInputs& inputs) {
  auto catalog = std::make_shared<Catalog>();
  catalog->generation = catalog_ == nullptr ? 1 : catalog_->generation + 1;
  CatalogBuilder build(*catalog);
  const auto add = [&](MetricId metric, std::vector<Attribute> attributes = {}) {
    return build.add(metric, -1, Tier::fast, std::move(attributes));
  };

  build_ = add(MetricId::build_info, {{AttributeId::version, version_}, {AttributeId::revision, revision_}});
  start_ = add(MetricId::agent_start_time);
  agent_cpu_ = add(MetricId::agent_cpu_time, {{AttributeId::component, "agent"}});
  agent_resident_ =
      add(MetricId::agent_memory, {{AttributeId::component, "agent"}, {AttributeId::memory_kind, "resident"}});
  agent_private_ =
      add(MetricId::agent_memory, {{AttributeId::component, "agent"}, {AttributeId::memory_kind, "private"}});
  store_bytes_ = add(MetricId::agent_store_bytes);
  store_limit_ = add(MetricId::agent_store_limit);
  store_span_ = add(MetricId::agent_store_span);
  scrapes_text_ = add(MetricId::agent_scrapes, {{AttributeId::format, "text"}});
  scrapes_openmetrics_ = add(MetricId::agent_scrapes, {{AttributeId::format, "openmetrics"}});
  scrapes_protobuf_ = add(MetricId::agent_scrapes, {{AttributeId::format, "protobuf"}});
  render_time_ = add(MetricId::agent_render_time);
  page_bytes_ = add(MetricId::agent_page_bytes);
  requests_ok_ = add(MetricId::agent_requests, {{AttributeId::http_code, "2xx"}});
  requests_client_ = add(MetricId::agent_requests, {{AttributeId::http_code, "4xx"}});
  requests_server_ = add(MetricId::agent_requests, {{AttributeId::http_code, "5xx"}});
  connections_ = add(MetricId::agent_connections);
  tls_.reset();
  if (inputs.certificate_expires_at != 0)
    tls_ = TlsIndices{add(MetricId::agent_tls_expiry), add(MetricId::agent_tls_failures)};
  log_lost_ = add(MetricId::agent_log_lost);
  reloads_ok_ = add(MetricId::agent_reloads, {{AttributeId::result, "ok"}});
  reloads_failed_ = add(MetricId::agent_reloads, {{AttributeId::result, "failed"}});
  findings_ = static_cast<int>(catalog->series.size());
  for (const Severity severity : {Severity::info, Severity::warning, Severity::critical})
    add(MetricId::findings, {{AttributeId::severity, std::string(to_string(severity))}});

  slots_.assign(slots.size(), SlotIndices{});
  for (size_t i = 0; i < slots.size(); ++i) {
    const CollectorSlot& slot = *slots[i];
    const Attribute collector{AttributeId::collector, std::string(slot.name())};
    SlotIndices& at = slots_[i];
    at.up = add(MetricId::collector_up, {collector});
    at.status = static_cast<int>(catalog->series.size());
    for (size_t state = 0; state < kSlotStates; ++state)
      add(MetricId::collector_status,
          {collector, {AttributeId::collector_state, std::string(to_string(static_cast<SlotState>(state)))}});
    at.duration = add(MetricId::collector_duration, {collector});
    at.poll_time = add(MetricId::collector_poll_time, {collector});
    at.polls = add(MetricId::collector_polls, {collector});
    at.age = add(MetricId::collector_age, {collector});
    at.last_success = add(MetricId::collector_last_success, {collector});
    at.missed = add(MetricId::collector_missed_ticks, {collector});
    at.restarts = add(MetricId::collector_restarts, {collector});
    at.rejected = add(MetricId::collector_rejected, {collector});
    at.series = add(MetricId::collector_series, {collector});
    at.cpu = add(MetricId::agent_cpu_time, {{AttributeId::component, std::string(slot.name())}});
    at.resident = add(MetricId::agent_memory,
                      {{AttributeId::component, std::string(slot.name())}, {AttributeId::memory_kind, "resident"}});
    at.private_bytes = add(MetricId::agent_memory,
                           {{AttributeId::component, std::string(slot.name())}, {AttributeId::memory_kind, "private"}});
    for (const CallStats& call : slot.totals().calls) {
      at.call_time.push_back(add(MetricId::collector_call_time, {collector, {AttributeId::call, call.name}}));
      at.calls.push_back(add(MetricId::collector_calls, {collector, {AttributeId::call, call.name}}));
    }
    for (const auto& [code, count] : slot.totals().errors)
      at.errors.push_back(add(MetricId::collector_errors, {collector, {AttributeId::error_code, code}}));
    for (const auto& [metric, count] : slot.pipeline().implausible())
      at.implausible.push_back(add(MetricId::collector_implausible,
                                   {collector, {AttributeId::metric_name, std::string(info(metric).name)}}));
  }
  exporters_.clear();
  for (const ExporterState& exporter : inputs.exporters) {
    const Attribute name{AttributeId::exporter, exporter.name};
    ExporterIndices at{};
    at.name = exporter.name;
    at.up = add(MetricId::exporter_up, {name});
    at.status = static_cast<int>(catalog->series.size());
    for (size_t health = 0; health < kExporterHealths; ++health)
      add(MetricId::exporter_status,
          {name, {AttributeId::exporter_state, std::string(to_string(static_cast<ExporterHealth>(health)))}});
    at.samples = add(MetricId::exporter_samples, {name});
    at.rejected = add(MetricId::exporter_rejected, {name});
    at.late = add(MetricId::exporter_late, {name});
    at.lost = add(MetricId::exporter_lost, {name});
    at.requests_ok = add(MetricId::exporter_requests, {name, {AttributeId::result, "ok"}});
    at.requests_failed = add(MetricId::exporter_requests, {name, {AttributeId::result, "failed"}});
    at.bytes = add(MetricId::exporter_bytes, {name});
    at.behind = add(MetricId::exporter_behind, {name});
    at.last_success = add(MetricId::exporter_last_success, {name});
    exporters_.push_back(std::move(at));
  }
  history_.reset();
  if (inputs.history) {
    HistoryIndices at{};
    at.status = static_cast<int>(catalog->series.size());
    for (size_t health = 0; health < kDiskHealths; ++health)
      add(MetricId::history_status,
          {{AttributeId::history_state, std::string(to_string(static_cast<DiskHealth>(health)))}});
    at.bytes = add(MetricId::history_bytes);
    at.written = add(MetricId::history_written);
    at.dropped = add(MetricId::history_dropped);
    history_ = at;
  }
  uses_.resize(slots.size());
  ended_cpu_.resize(slots.size());
  seen_pid_.resize(slots.size(), -1);
  seen_cpu_.resize(slots.size());
  catalog_ = std::move(catalog);
}

void SelfMetrics::look_at_processes(const std::vector<std::unique_ptr<CollectorSlot>>& slots) {
  agent_use_.known = cpu_of(::getpid(), agent_use_.cpu) && memory_of(0, agent_use_);
  for (size_t i = 0; i < slots.size(); ++i) {
    const pid_t pid = slots[i]->pid();
    if (pid != seen_pid_[i]) {
      ended_cpu_[i] += seen_cpu_[i];
      seen_cpu_[i] = 0;
      seen_pid_[i] = pid;
    }
    ProcessUse& use = uses_[i];
    use.known = pid > 0 && cpu_of(pid, seen_cpu_[i]) && memory_of(pid, use);
    use.cpu = ended_cpu_[i] + seen_cpu_[i];
  }
}

void SelfMetrics::set_exporters(const SelfInputs& inputs, Frame& frame) const {
  const auto set = [&](int index, double value) { frame.set(static_cast<size_t>(index), value); };
  for (size_t i = 0; i < exporters_.size(); ++i) {
    const ExporterIndices& at = exporters_[i];
    const ExporterState& state = inputs.exporters[i];
    set(at.up, state.health == ExporterHealth::ok ? 1 : 0);
    for (size_t health = 0; health < kExporterHealths; ++health)
      set(at.status + static_cast<int>(health), static_cast<size_t>(state.health) == health ? 1 : 0);
    set(at.samples, static_cast<double>(state.samples));
    set(at.rejected, static_cast<double>(state.rejected));
    set(at.late, static_cast<double>(state.late));
    set(at.lost, static_cast<double>(state.lost_polls));
    set(at.requests_ok, static_cast<double>(state.requests_ok));
    set(at.requests_failed, static_cast<double>(state.requests_failed));
    set(at.bytes, static_cast<double>(state.bytes));
    set(at.behind, static_cast<double>(state.behind));
    if (state.last_success != 0)
      set(at.last_success, to_seconds(state.last_success));
    else
      frame.absent(static_cast<size_t>(at.last_success), State::not_ready);
  }
  if (!history_) return;
  for (size_t health = 0; health < kDiskHealths; ++health)
    set(history_->status + static_cast<int>(health), static_cast<size_t>(inputs.history->health) == health ? 1 : 0);
  set(history_->bytes, static_cast<double>(inputs.history->bytes));
  set(history_->written, static_cast<double>(inputs.history->rows_written));
  set(history_->dropped, static_cast<double>(inputs.history->rows_dropped));
}

void SelfMetrics::update(const std::vector<std::unique_ptr<CollectorSlot>>& slots, const SelfInputs& inputs,
                         Frame& frame) {
  if (changed(slots, inputs)) rebuild(slots, inputs);
  const Nanos now = clock_.monotonic();
  if (looked_at_ == 0 || now - looked_at_ >= kProcessPeriod) {
    look_at_processes(slots);
    looked_at_ = now;
  }
  frame.generation = catalog_->generation;
  frame.sequence = ++sequence_;
  frame.wall = clock_.wall();
  frame.monotonic = now;
  frame.duration = 0;
  frame.fresh = 7;
  frame.read_at = {now, now, now};
  frame.values.resize(catalog_->series.size());
  frame.states.resize(catalog_->series.size());
  const auto set = [&](int i, double value) { frame.set(static_cast<size_t>(i), value); };
  const auto set_or_absent = [&](int i, bool known, double value) {
    if (known)
      set(i, value);
    else
      frame.absent(static_cast<size_t>(i), State::not_ready);
  };

  set(build_, 1);
  set(start_, to_seconds(started_wall_));
  set_or_absent(agent_cpu_, agent_use_.known, to_seconds(agent_use_.cpu));
  set_or_absent(agent_resident_, agent_use_.known, static_cast<double>(agent_use_.resident));
  set_or_absent(agent_private_, agent_use_.known, static_cast<double>(agent_use_.private_bytes));
  set(store_bytes_, static_cast<double>(inputs.store_bytes));
  set(store_limit_, static_cast<double>(inputs.store_limit));
  set(store_span_, to_seconds(inputs.store_span));
  set(scrapes_text_, static_cast<double>(inputs.scrapes_text));
  set(scrapes_openmetrics_, static_cast<double>(inputs.scrapes_openmetrics));
  set(scrapes_protobuf_, static_cast<double>(inputs.scrapes_protobuf));
  set(render_time_, to_seconds(inputs.render_time));
  set_or_absent(page_bytes_, inputs.page_bytes != 0, static_cast<double>(inputs.page_bytes));
  set(requests_ok_, static_cast<double>(inputs.requests_ok));
  set(requests_client_, static_cast<double>(inputs.requests_client_error));
  set(requests_server_, static_cast<double>(inputs.requests_server_error));
  set(connections_, static_cast<double>(inputs.connections));
  if (tls_) {
    set(tls_->expiry, static_cast<double>(inputs.certificate_expires_at));
    set(tls_->failures, static_cast<double>(inputs.handshakes_failed));
  }
  set(log_lost_, static_cast<double>(lost_log_lines()));
  set(reloads_ok_, static_cast<double>(inputs.reloads_ok));
  set(reloads_failed_, static_cast<double>(inputs.reloads_failed));
  for (size_t severity = 0; severity < 3; ++severity)
    set_or_absent(findings_ + static_cast<int>(severity), inputs.findings.has_value(),
                  inputs.findings ? static_cast<double>((*inputs.findings)[severity]) : 0);
  set_exporters(inputs, frame);

  for (size_t i = 0; i < slots.size(); ++i) {
    const CollectorSlot& slot = *slots[i];
    const SlotIndices& at = slots_[i];
    const bool seen = slot.last_frame_at() != 0;
    set(at.up, slot.state() == SlotState::running ? 1 : 0);
    for (size_t state = 0; state < kSlotStates; ++state)
      set(at.status + static_cast<int>(state), static_cast<size_t>(slot.state()) == state ? 1 : 0);
    set_or_absent(at.duration, seen, to_seconds(slot.last_duration()));
    set(at.poll_time, to_seconds(slot.poll_time()));
    set(at.polls, static_cast<double>(slot.frames()));
    set_or_absent(at.age, seen, to_seconds(now - slot.last_frame_at()));
    set_or_absent(at.last_success, seen, to_seconds(slot.last_frame_wall()));
    set(at.missed, static_cast<double>(slot.missed_ticks()));
    set(at.restarts, static_cast<double>(slot.restarts()));
    set(at.rejected, static_cast<double>(slot.rejected()));
    set(at.series, static_cast<double>(slot.collected_series()));
    const ProcessUse& use = uses_[i];
    set_or_absent(at.cpu, use.known || use.cpu != 0, to_seconds(use.cpu));
    set_or_absent(at.resident, use.known, static_cast<double>(use.resident));
    set_or_absent(at.private_bytes, use.known, static_cast<double>(use.private_bytes));
    for (size_t k = 0; k < at.calls.size(); ++k) {
      set(at.call_time[k], to_seconds(slot.totals().calls[k].time));
      set(at.calls[k], static_cast<double>(slot.totals().calls[k].calls));
    }
    for (size_t k = 0; k < at.errors.size(); ++k)
      set(at.errors[k], static_cast<double>(slot.totals().errors[k].second));
    for (size_t k = 0; k < at.implausible.size(); ++k)
      set(at.implausible[k], static_cast<double>(slot.pipeline().implausible()[k].second));
  }
}

}  // namespace accelmon

#include "collectors/nvml/nvml_events.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>

#include "model/event_catalogue.h"

namespace accelmon::nvml {
namespace {

constexpr U32 kWaitMilliseconds = 1000;
constexpr auto kPauseAfterError = std::chrono::seconds(1);
constexpr auto kPatience = std::chrono::seconds(4);
constexpr size_t kQueueLength = 1024;
constexpr size_t kUsual = 32;  // what there is room for at once; a storm makes more

// Clock and performance-state changes are not among them: they come by the hundred and are read as numbers anyway.
constexpr U64 kWanted = kEventXid | kEventDoubleBitEcc | kEventMigConfiguration | kEventSingleBitEccStorm |
                        kEventDramRetirement | kEventDramRetirementFailure | kEventNonFatalPoison | kEventFatalPoison |
                        kEventGpuUnavailable | kEventRecoveryAction | kEventPowerSource;

// Severity and meaning of each code stand in the catalogue of events.
struct Kind {
  U64 bit;
  const char* code;
};
constexpr Kind kKinds[] = {
    {kEventDoubleBitEcc, "ecc_double_bit"},
    {kEventSingleBitEcc, "ecc_single_bit"},
    {kEventSingleBitEccStorm, "ecc_single_bit_storm"},
    {kEventDramRetirement, "memory_retirement"},
    {kEventDramRetirementFailure, "memory_retirement_failure"},
    {kEventNonFatalPoison, "poison"},
    {kEventFatalPoison, "poison_fatal"},
    {kEventGpuUnavailable, "unavailable"},
    {kEventRecoveryAction, "recovery_action"},
    {kEventMigConfiguration, "mig_configuration"},
    {kEventPowerSource, "power_source"},
    {kEventPerformanceState, "performance_state"},
    {kEventClock, "clock"},
};

constexpr int kExpected[] = {48, 62, 63, 64, 74, 79, 94, 95, 119, 120};

// Signals are for the thread that runs the program.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

EventMeaning meaning_of(U64 type, U64 data) {
  if (type == kEventXid) {
    XidMeaning xid = meaning_of_xid(data);
    return EventMeaning{std::move(xid.code), xid.severity, std::move(xid.message)};
  }
  for (const Kind& kind : kKinds) {
    if (kind.bit != type) continue;
    const EventEntry* entry = find_event(kind.code);
    if (entry == nullptr) return EventMeaning{kind.code, Severity::warning, kind.code};
    std::string message(entry->meaning);
    if (entry->action != "none") message += "; " + std::string(entry->action);
    return EventMeaning{kind.code, entry->severity, std::move(message)};
  }
  return EventMeaning{"event:" + std::to_string(type), Severity::warning, "event of type " + std::to_string(type)};
}

std::span<const int> expected_xids() {
  return kExpected;
}

int EventWatch::add(DeviceHandle device) {
  U64 supported = 0;
  int code = nvml_.call<Symbol::nvmlDeviceGetSupportedEventTypes>(device, &supported);
  if (code != kSuccess) return code;
  if ((supported & kWanted) == 0 || nvml_.function<Symbol::nvmlEventSetWait_v2>() == nullptr) return kNotSupported;
  if (shared_ == nullptr) {
    EventSetHandle set = nullptr;
    code = nvml_.call<Symbol::nvmlEventSetCreate>(&set);
    if (code != kSuccess) return code;
    shared_ = std::make_shared<Shared>();
    shared_->set = set;
    shared_->wait = nvml_.function<Symbol::nvmlEventSetWait_v2>();
    shared_->queue.reserve(kUsual);
  }
  return nvml_.call<Symbol::nvmlDeviceRegisterEvents>(device, supported & kWanted, shared_->set);
}

void EventWatch::start() {
  if (shared_ == nullptr || thread_.joinable()) return;
  thread_ = std::thread([shared = shared_] { run(shared); });
}

void EventWatch::run(const std::shared_ptr<Shared>& shared) {
  block_signals();
  for (;;) {
    EventData event{};
    const int code = shared->wait(shared->set, &event, kWaitMilliseconds);
    std::unique_lock lock(shared->mutex);
    if (code == kSuccess) {
      if (shared->queue.size() < kQueueLength) {
        shared->queue.push_back(event);
      } else {
        ++shared->dropped;
      }
    } else if (code != kTimeout && !shared->stopping) {
      // A lost device or an unloaded driver: the poller finds out by itself; here only the pace matters.
      shared->changed.wait_for(lock, kPauseAfterError, [&] { return shared->stopping; });
    }
    if (shared->stopping) {
      shared->done = true;
      shared->changed.notify_all();
      return;
    }
  }
}

bool EventWatch::stop() {
  if (shared_ == nullptr) return true;
  if (thread_.joinable()) {
    std::unique_lock lock(shared_->mutex);
    shared_->stopping = true;
    shared_->changed.notify_all();
    if (!shared_->changed.wait_for(lock, kPatience, [&] { return shared_->done; })) {
      lock.unlock();
      thread_.detach();
      shared_.reset();
      return false;
    }
    lock.unlock();
    thread_.join();
  }
  nvml_.call<Symbol::nvmlEventSetFree>(shared_->set);
  shared_.reset();
  return true;
}

uint64_t EventWatch::drain(std::vector<EventData>& out) {
  out.clear();
  if (shared_ == nullptr) return 0;
  const std::lock_guard lock(shared_->mutex);
  // Both have room, and keep what they have had.
  out.reserve(kUsual);
  out.swap(shared_->queue);
  return std::exchange(shared_->dropped, 0);
}

}  // namespace accelmon::nvml

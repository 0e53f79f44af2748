// What the driver reports by itself: Xids, memory errors, changes of MIG.
//
// NVML has one blocking call for it, so that it takes a thread. The thread waits at most a second at a time, keeps what
// it hears in a bounded queue, and touches nothing else: neither the CallMeter, which belongs to the poller, nor the
// collector's state.
// Threads: the collector's, but for the thread inside.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "collectors/nvml/nvml_library.h"
#include "model/event.h"

namespace accelmon::nvml {

struct EventMeaning {
  std::string code;  // "xid:79"
  Severity severity = Severity::warning;
  std::string message;
};
// `type` is one bit of the event types; `data` the number of an Xid.
EventMeaning meaning_of(U64 type, U64 data);

// Codes whose count starts at 0 as soon as a device reports events, so that its first one shows as a growth.
std::span<const int> expected_xids();

class EventWatch {
 public:
  explicit EventWatch(Library& nvml) : nvml_(nvml) {}
  ~EventWatch() { stop(); }
  EventWatch(const EventWatch&) = delete;
  EventWatch& operator=(const EventWatch&) = delete;

  // Registers a device; the code says whether it will report, kNotSupported that it has nothing that we listen to.
  int add(DeviceHandle device);
  // Starts the thread, if a device was added.
  void start();

  // Ends the thread and frees the event set. false: the thread sits in the driver and does not come back; it was left
  // behind, and the library must stay loaded.
  bool stop();

  // Moves what was heard since the last call to `out`, which is emptied first. Returns how many had to be dropped.
  uint64_t drain(std::vector<EventData>& out);

 private:
  struct Shared {
    fn::nvmlEventSetWait_v2* wait = nullptr;
    EventSetHandle set = nullptr;
    std::mutex mutex;
    std::condition_variable changed;
    bool stopping = false;
    bool done = false;
    uint64_t dropped = 0;
    std::vector<EventData> queue;
  };
  static void run(const std::shared_ptr<Shared>& shared);

  Library& nvml_;
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace accelmon::nvml

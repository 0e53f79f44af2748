// One far end: how frames are encoded for it, and how a request is sent.
//
//   destination.begin(batch);
//   while (destination.next()) { Sent sent = destination.send(); ... the same send() again after `later` ... }
//   destination.commit();
//
// A destination does not wait, try again or count: the Runner does (exporters/runner.h). Requests of a batch are sent
// in their order. Threads: one, but for interrupt().
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "exporters/settings.h"
#include "model/frame_run.h"

namespace accelmon {

struct Sent {
  enum class Verdict : uint8_t {
    delivered,  // taken, or as much of it as the far end wants: `rejected` of it are gone
    later,      // not now: it is not reachable, too busy, or does not know us (yet). Nothing is lost by waiting
    failed,     // it failed at this request: worth a few more tries
    refused,    // this request will never be taken
    again,      // begin the batch anew: the destination speaks another way from now on
    pieces,     // this request is not done with: next() gives what it held in smaller ones
  };
  Verdict verdict = Verdict::delivered;
  uint64_t samples = 0;   // in the request
  uint64_t bytes = 0;     // as sent
  uint64_t rejected = 0;  // samples of it that the far end did not want
  uint64_t left_out = 0;  // samples of requests before that it turned out to fail at; with `delivered`
  uint64_t repeated = 0;  // samples that it turned out to have already; with `pieces`, and of `samples` with `refused`
  Nanos retry_after = 0;  // what it asked for; with `later`
  std::string message;    // for people: what it said, without secrets
  std::string note;       // for people: how the destination works from now on, where it had to give way

  // What did not get as far as an answer: `later`, and why.
  static Sent not_now(const Status& why) {
    Sent sent;
    sent.verdict = Verdict::later;
    sent.message = why.message();
    return sent;
  }
  // To a far end that gives no answers: what could be sent is delivered.
  static Sent unanswered(const Status& status, uint64_t samples, uint64_t bytes) {
    if (!status.ok()) return not_now(status);
    Sent sent;
    sent.samples = samples;
    sent.bytes = bytes;
    return sent;
  }
};

class Destination {
 public:
  virtual ~Destination() = default;
  // Before begin(). True: the far end may have what stands first in the batch, since a stop broke off the sending of
  // it; each series has one sample in it.
  virtual void may_have(bool) {}
  // Encodes. The batch must live until commit() or the next begin().
  virtual void begin(std::span<const FrameRun> batch) = 0;
  // Makes the next request; false: there is none left.
  virtual bool next() = 0;
  virtual Sent send() = 0;
  // The far end failed at this request several times. True: next() looks for what it fails at, in smaller ones.
  virtual bool search() { return false; }
  // Samples of the batch that were left out, since the clock was set back a little (encode/series_book.h).
  virtual uint64_t late() const { return 0; }
  // What was sent since begin() is done with: delivered or refused.
  virtual void commit() = 0;
  // From any thread: what waits in send() comes back soon, with `later`.
  virtual void interrupt() = 0;
};

// Who speaks: what every destination tells of us in its way.
struct Identity {
  std::string hostname;
  std::string host_id;  // /etc/machine-id; empty: it has none
  std::string version;
};

struct DestinationInfo {
  std::string_view type;
  std::string_view brief;
  Nanos interval;   // by default
  bool every_poll;  // likewise: each poll, and not the last one of each interval
  // Keys of the configuration that it knows beside those of every exporter, separated by blanks.
  std::string_view keys;
  // `where` gets what people are shown as its address. Errors: invalid (what is wrong with the settings, naming the
  // key), absent (a library is not installed).
  Result<std::unique_ptr<Destination>> (*make)(const ExporterSettings& settings, const Identity& identity,
                                               std::string& where);
};

std::span<const DestinationInfo> destination_table();
const DestinationInfo* find_destination(std::string_view type);

}  // namespace accelmon

// The messages between the agent and a collector process, over a stream socket.
//
// A message is a header (magic, type, length) and a body of base/wire.h fields. The agent treats every byte as hostile:
// lengths are bounded before anything is allocated, enumerations and indices are checked, a catalog is validated, and a
// frame must match the catalog in force. The collector trusts the agent.
// Threads: values; a MessageReader is used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "collectors/call_meter.h"
#include "model/catalog.h"
#include "model/event.h"
#include "model/frame.h"

namespace accelmon {

inline constexpr uint32_t kProtocolVersion = 1;
inline constexpr size_t kMaxMessageBytes = 16u << 20;
inline constexpr size_t kMaxCalls = 512;
inline constexpr size_t kMaxErrorCodes = 128;

enum class MessageType : uint8_t {
  hello = 1,  // collector -> agent, first: protocol version and name
  catalog,
  frame,
  stats,  // calls and errors of the CallMeter, missed ticks
  event,
  notice,          // why there is no catalog: Status; the collector ends after it
  configure = 64,  // agent -> collector, first
};

struct Configure {
  Nanos interval = kSecond;
  Nanos slow = 10 * kSecond;
  Nanos rare = 60 * kSecond;
  std::map<std::string, std::string, std::less<>> options;
};

struct CollectorStats {
  uint64_t missed_ticks = 0;
  std::vector<CallStats> calls;
  std::vector<std::pair<std::string, uint64_t>> errors;
};

// Each appends one whole message to `out`.
void write_hello(std::string& out, std::string_view name);
void write_catalog(std::string& out, const Catalog& catalog);
void write_frame(std::string& out, const Frame& frame);
void write_stats(std::string& out, uint64_t missed_ticks, const CallMeter& meter);
void write_event(std::string& out, const Event& event);
void write_notice(std::string& out, const Status& status);
void write_configure(std::string& out, const Configure& configure);

// Each reads a body whole; false when it is malformed in any way. Existing buffers are reused. A catalog's body is read
// by decode_catalog (model/catalog_wire.h).
bool read_hello(std::string_view body, std::string& name);
bool read_frame(std::string_view body, Frame& frame);
bool read_stats(std::string_view body, CollectorStats& stats);
bool read_event(std::string_view body, Event& event);
bool read_notice(std::string_view body, Status& status);
bool read_configure(std::string_view body, Configure& configure);

// Cuts a byte stream into messages.
class MessageReader {
 public:
  // Where the next bytes may be received into: at least `least` bytes.
  std::pair<char*, size_t> space(size_t least = 16384);
  void received(size_t bytes) { end_ += bytes; }

  // The next whole message, or nothing yet. `body` is valid until the next call of space(). Fails for good on a wrong
  // magic, an unknown type or a length beyond the bound.
  enum class Next : uint8_t { message, incomplete, broken };
  Next next(MessageType& type, std::string_view& body);

  size_t buffered() const { return end_ - begin_; }

 private:
  std::unique_ptr<char[]> buffer_;
  size_t size_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool broken_ = false;
  bool roomy_ = false;  // a catalog has been read
};

}  // namespace accelmon

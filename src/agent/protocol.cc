#include "agent/protocol.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/wire.h"
#include "model/catalog_wire.h"

namespace accelmon {
namespace {

constexpr uint32_t kMagic = 0x4d434141;  // "AACM"
constexpr size_t kHeaderBytes = 12;

// Writes the header with a length that is filled in when the body is complete.
class Message {
 public:
  Message(std::string& out, MessageType type) : out_(out), start_(out.size()), writer(out) {
    writer.put(kMagic);
    writer.put(static_cast<uint32_t>(type));
    writer.put(uint32_t{0});
  }
  ~Message() {
    const auto size = static_cast<uint32_t>(out_.size() - start_ - kHeaderBytes);
    std::memcpy(out_.data() + start_ + 8, &size, sizeof size);
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

 private:
  std::string& out_;
  size_t start_;

 public:
  WireWriter writer;
};

// They become label values: printable, not empty, and no two alike, which would be two series of one key.
template <class List, class Name>
bool names_sound(const List& list, Name name) {
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string& text = name(list[i]);
    if (text.empty() || !std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; }))
      return false;
    for (size_t j = 0; j < i; ++j)
      if (name(list[j]) == text) return false;
  }
  return true;
}

}  // namespace

void write_hello(std::string& out, std::string_view name) {
  Message m(out, MessageType::hello);
  m.writer.put(kProtocolVersion);
  m.writer.text(name);
}

bool read_hello(std::string_view body, std::string& name) {
  WireReader r(body);
  const auto version = r.get<uint32_t>();
  name = r.text(64);
  return r.done() && version == kProtocolVersion;
}

void write_catalog(std::string& out, const Catalog& catalog) {
  Message m(out, MessageType::catalog);
  encode_catalog(out, catalog);
}

void write_frame(std::string& out, const Frame& frame) {
  Message m(out, MessageType::frame);
  WireWriter& w = m.writer;
  w.put(frame.generation);
  w.put(frame.sequence);
  w.put(frame.wall);
  w.put(frame.monotonic);
  w.put(frame.duration);
  w.put(frame.fresh);
  for (Nanos at : frame.read_at) w.put(at);
  w.put(static_cast<uint32_t>(frame.values.size()));
  w.bytes(frame.values.data(), frame.values.size() * sizeof(double));
  w.bytes(frame.states.data(), frame.states.size());
}

bool read_frame(std::string_view body, Frame& frame) {
  WireReader r(body);
  frame.generation = r.get<uint64_t>();
  frame.sequence = r.get<uint64_t>();
  frame.wall = r.get<Nanos>();
  frame.monotonic = r.get<Nanos>();
  frame.duration = r.get<Nanos>();
  frame.fresh = r.get<uint8_t>();
  for (Nanos& at : frame.read_at) at = r.get<Nanos>();
  const uint32_t n = r.count(kMaxSeries, sizeof(double) + 1);
  frame.values.resize(n);
  frame.states.resize(n);
  r.bytes(frame.values.data(), n * sizeof(double));
  r.bytes(frame.states.data(), n);
  if (!r.done()) return false;
  for (State state : frame.states)
    if (static_cast<size_t>(state) >= kStates) return false;
  return true;
}

void write_stats(std::string& out, uint64_t missed_ticks, const CallMeter& meter) {
  Message m(out, MessageType::stats);
  WireWriter& w = m.writer;
  w.put(missed_ticks);
  // Only those that were made: a library has many more that this machine never needs.
  const auto made = [](const CallStats& call) { return call.calls != 0; };
  auto calls = static_cast<uint32_t>(std::min<size_t>(
      static_cast<size_t>(std::count_if(meter.calls().begin(), meter.calls().end(), made)), kMaxCalls));
  w.put(calls);
  for (const CallStats& call : meter.calls()) {
    if (!made(call) || calls == 0) continue;
    --calls;
    w.text(call.name);
    w.put(call.calls);
    w.put(call.time);
    w.put(call.longest);
  }
  w.put(static_cast<uint32_t>(meter.errors().size()));
  for (const auto& [code, count] : meter.errors()) {
    w.text(std::string_view(code).substr(0, 64));
    w.put(count);
  }
}

bool read_stats(std::string_view body, CollectorStats& stats) {
  WireReader r(body);
  stats.missed_ticks = r.get<uint64_t>();
  // Names seldom change: those that stand already have been looked at.
  bool known = true;
  const auto name_into = [&](std::string& name) {
    const std::string_view text = r.text(64);
    if (name == text) return;
    name = text;
    known = false;
  };
  const uint32_t calls = r.count(kMaxCalls, 28);
  known = known && calls == stats.calls.size();
  stats.calls.resize(calls);
  for (CallStats& call : stats.calls) {
    name_into(call.name);
    call.calls = r.get<uint64_t>();
    call.time = r.get<Nanos>();
    call.longest = r.get<Nanos>();
  }
  const uint32_t errors = r.count(kMaxErrorCodes, 12);
  known = known && errors == stats.errors.size();
  stats.errors.resize(errors);
  for (auto& [code, count] : stats.errors) {
    name_into(code);
    count = r.get<uint64_t>();
  }
  if (!r.done()) return false;
  return known || (names_sound(
                       stats.calls, [](const CallStats& call) -> auto& { return call.name; }) &&
                   names_sound(
                       stats.errors, [](const auto& error) -> auto& { return error.first; }));
}

void write_event(std::string& out, const Event& event) {
  Message m(out, MessageType::event);
  m.writer.put(event.wall);
  m.writer.put(static_cast<uint8_t>(event.severity));
  m.writer.text(std::string_view(event.device_id).substr(0, kMaxTextBytes));
  m.writer.text(std::string_view(event.code).substr(0, kMaxTextBytes));
  m.writer.text(std::string_view(event.message).substr(0, 1024));
}

bool read_event(std::string_view body, Event& event) {
  WireReader r(body);
  event.wall = r.get<Nanos>();
  const auto severity = r.get<uint8_t>();
  event.device_id = r.text(kMaxTextBytes);
  event.code = r.text(kMaxTextBytes);
  event.message = r.text(1024);
  if (!r.done() || severity > static_cast<uint8_t>(Severity::critical)) return false;
  event.severity = static_cast<Severity>(severity);
  return true;
}

void write_notice(std::string& out, const Status& status) {
  Message m(out, MessageType::notice);
  m.writer.put(static_cast<uint8_t>(status.code()));
  m.writer.text(std::string_view(status.message()).substr(0, 1024));
}

bool read_notice(std::string_view body, Status& status) {
  WireReader r(body);
  const auto code = r.get<uint8_t>();
  const std::string_view message = r.text(1024);
  if (!r.done() || code > static_cast<uint8_t>(Code::internal)) return false;
  status = Status(static_cast<Code>(code), std::string(message));
  return true;
}

void write_configure(std::string& out, const Configure& configure) {
  Message m(out, MessageType::configure);
  m.writer.put(configure.interval);
  m.writer.put(configure.slow);
  m.writer.put(configure.rare);
  m.writer.put(static_cast<uint32_t>(configure.options.size()));
  for (const auto& [name, value] : configure.options) {
    m.writer.text(name);
    m.writer.text(value);
  }
}

bool read_configure(std::string_view body, Configure& configure) {
  WireReader r(body);
  configure.interval = r.get<Nanos>();
  configure.slow = r.get<Nanos>();
  configure.rare = r.get<Nanos>();
  const uint32_t n = r.count(256, 8);
  configure.options.clear();
  for (uint32_t i = 0; i < n && r.ok(); ++i) {
    std::string name(r.text(4096));
    configure.options[std::move(name)] = std::string(r.text(4096));
  }
  return r.done() && configure.interval > 0 && configure.slow > 0 && configure.rare > 0;
}

// ---- MessageReader ----

std::pair<char*, size_t> MessageReader::space(size_t least) {
  if (begin_ == end_) begin_ = end_ = 0;
  // A catalog is many times as long as what comes each second; its room is not kept.
  if (end_ == 0 && std::exchange(roomy_, false)) {
    buffer_.reset();
    size_ = 0;
  }
  if (size_ - end_ < least) {
    if (begin_ != 0) {
      std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (size_ - end_ < least) {
      const size_t larger = std::max(end_ + least, size_ * 3 / 2);
      auto moved = std::make_unique_for_overwrite<char[]>(larger);  // what is not received into takes no memory
      if (end_ != 0) std::memcpy(moved.get(), buffer_.get(), end_);
      buffer_ = std::move(moved);
      size_ = larger;
    }
  }
  return {buffer_.get() + end_, size_ - end_};
}

MessageReader::Next MessageReader::next(MessageType& type, std::string_view& body) {
  if (broken_) return Next::broken;
  if (end_ - begin_ < kHeaderBytes) return Next::incomplete;
  uint32_t header[3];
  std::memcpy(header, buffer_.get() + begin_, sizeof header);
  const bool known = (header[1] >= static_cast<uint32_t>(MessageType::hello) &&
                      header[1] <= static_cast<uint32_t>(MessageType::notice)) ||
                     header[1] == static_cast<uint32_t>(MessageType::configure);
  if (header[0] != kMagic || !known || header[2] > kMaxMessageBytes) {
    broken_ = true;
    return Next::broken;
  }
  if (end_ - begin_ - kHeaderBytes < header[2]) return Next::incomplete;
  type = static_cast<MessageType>(header[1]);
  body = std::string_view(buffer_.get() + begin_ + kHeaderBytes, header[2]);
  begin_ += kHeaderBytes + header[2];
  roomy_ = roomy_ || type == MessageType::catalog;
  return Next::message;
}

}  // namespace accelmon

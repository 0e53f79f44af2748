// Whatever a collector process may send: cut into messages, and each body read as what it says it is.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "agent/protocol.h"
#include "model/catalog_wire.h"

using namespace accelmon;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MessageReader reader;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  static CollectorStats stats;  // kept, as the agent keeps it
  Frame frame;
  Event event;
  Status status;
  Configure configure;
  std::string name;
  while (!rest.empty()) {
    const size_t n = rest.size() < 777 ? rest.size() : 777;  // in pieces, as a socket gives it
    const auto [out, room] = reader.space(n);
    if (room < n) std::abort();
    std::memcpy(out, rest.data(), n);
    reader.received(n);
    rest.remove_prefix(n);
    MessageType type{};
    std::string_view body;
    while (reader.next(type, body) == MessageReader::Next::message) {
      switch (type) {
        case MessageType::hello:
          (void)read_hello(body, name);
          break;
        case MessageType::catalog: {
          const Result<Catalog> catalog = decode_catalog(body);
          if (catalog && !validate(*catalog).ok()) std::abort();
          break;
        }
        case MessageType::frame:
          if (read_frame(body, frame) && frame.values.size() != frame.states.size()) std::abort();
          break;
        case MessageType::stats:
          (void)read_stats(body, stats);
          break;
        case MessageType::event:
          (void)read_event(body, event);
          break;
        case MessageType::notice:
          (void)read_notice(body, status);
          break;
        case MessageType::configure:
          (void)read_configure(body, configure);
          break;
      }
    }
  }
  return 0;
}

// The kernel's log, as hostile as it comes: record by record through a reader over a made-up device, then what it says.
#include <fcntl.h>
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "collectors/kernel_log/kernel_message.h"
#include "collectors/kernel_log/kmsg_reader.h"

namespace {

using namespace accelmon;
using namespace accelmon::kernel_log;

void require(bool promise) {
  if (!promise) std::abort();
}

std::string_view g_left;

int open_nothing(const char*) {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}
// Pieces of different sizes, as a device or a file would give them.
ssize_t read_piece(int, void* out, size_t size) {
  const size_t n = std::min({size, g_left.size(), size_t{1} + (g_left.size() * 7) % 4096});
  std::memcpy(out, g_left.data(), n);
  g_left.remove_prefix(n);
  return static_cast<ssize_t>(n);
}

bool plain(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static KmsgReader reader(KmsgSystem{&open_nothing, &read_piece});
  require(reader.open("") == 0);
  g_left = std::string_view(reinterpret_cast<const char*>(data), size);
  std::string_view text;
  for (size_t i = 0; reader.next(text) == KmsgReader::Next::record; ++i) {
    require(i <= size && !text.empty() && text.back() == '\n');
    const auto record = parse_record(text);
    if (!record) continue;
    require(record->since_boot >= 0 && record->text.size() <= text.size());
    if (const auto finding = find_event_in(*record)) {
      require(record->kernel && !finding->code.empty() && finding->code.size() <= 40);
      require(finding->message.size() <= 1024 && plain(finding->message));
      require(finding->address.empty() || finding->address.size() == 12 || finding->address.size() == 16);
    }
    if (const auto identity = find_identity_in(*record)) require(identity->uuid.size() <= 64 && plain(identity->uuid));
  }
  return 0;
}

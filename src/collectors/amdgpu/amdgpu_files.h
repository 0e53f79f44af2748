// The driver's files: kept open, read with one pread, and what their texts say.
//
// The driver answers with errno rather than with numbers when it cannot tell: state_of() says what each means. Nothing
// here allocates after a file was opened.
// Threads: one. Cost of a read: the system call, which is the driver's, and below a microsecond of ours.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "model/frame.h"

namespace accelmon::amdgpu {

class SysFile {
 public:
  // 0, or the errno.
  int open(const std::string& path);
  // text: the kernel makes all of it, less than a page, for one call. chunks: what may come in pieces, as binary
  // attributes do, is read until a call gives nothing more.
  enum class Shape : uint8_t { text, chunks };
  // Reads from the beginning until the end. 0, or the errno; EFBIG when it does not fit into the buffer.
  int read(std::span<char> buffer, std::string_view& text, Shape shape = Shape::text) const;
  bool valid() const { return fd_.valid(); }
  void close() { fd_.reset(); }

 private:
  UniqueFd fd_;
};

// What an errno of the driver means for a reading. EPERM is no question of permissions: since Linux 6.15 it says that
// the device is not active, asleep or being reset.
State state_of(int error);
// Whether it says that the device is no longer there.
bool is_gone(int error);
// "EBUSY"; "errno 123" for what has no name here.
std::string_view error_name(int error);
// For people: why there is nothing to read.
std::string describe(int error);

// Whole number of a file of one line; nothing for anything else.
std::optional<double> parse_number(std::string_view text);

// Highest level of a pp_dpm file ("1: 2100Mhz *"), in hertz. Deep-sleep lines ("S: 20Mhz") are no levels.
std::optional<double> parse_highest_level(std::string_view text);

// "16.0 GT/s PCIe": the generation, 4.
std::optional<double> parse_link_speed(std::string_view text);
// The generation for transfers per second of a lane.
std::optional<double> generation_of(double transfers_per_second);

// A RAS file: "ue: 0\nce: 3\nde: 1\n"; what it lacks is nothing.
struct RasCounts {
  std::optional<double> uncorrected, corrected, deferred;
};
RasCounts parse_ras(std::string_view text);

// ras/gpu_vram_bad_pages: lines "0x00000001 : 0x00001000 : R". Nothing when a line is none.
struct BadPages {
  double retired = 0;  // R
  double pending = 0;  // P: at the next reset
  double failed = 0;   // F: could not be taken out of use
};
std::optional<BadPages> parse_bad_pages(std::string_view text);

// The value of `key` in a text of lines "key value", as KFD's properties are.
std::optional<uint64_t> find_property(std::string_view text, std::string_view key);

}  // namespace accelmon::amdgpu

#include <zlib.h>

#include <algorithm>
#include <new>

#include "encode/exposition.h"

namespace accelmon {
namespace {

// A window of 4 KiB and memLevel 5 need 37 KiB instead of 261 KiB; on pages of repeated labels the ratio is the same.
constexpr int kWindowBits = 12;
constexpr int kGzipFraming = 16;
constexpr int kMemoryLevel = 5;
constexpr int kLevel = 1;

}  // namespace

struct GzipEncoder::Stream {
  z_stream z{};
  Stream() {
    // With constant, valid arguments it fails for lack of memory alone.
    if (deflateInit2(&z, kLevel, Z_DEFLATED, kWindowBits + kGzipFraming, kMemoryLevel, Z_DEFAULT_STRATEGY) != Z_OK)
      throw std::bad_alloc();
  }
  ~Stream() { deflateEnd(&z); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

GzipEncoder::GzipEncoder() : stream_(std::make_unique<Stream>()) {}
GzipEncoder::~GzipEncoder() = default;

void GzipEncoder::compress(std::string_view in, std::string& out) {
  z_stream& z = stream_->z;
  deflateReset(&z);
  // zlib's counters are 32 bits wide: longer input goes in pieces.
  constexpr size_t kPiece = size_t{1} << 30;
  size_t given = 0;
  size_t written = 0;
  // What the last page took is there already; deflateBound() would ask for more than the page itself, every time.
  out.resize(std::max({out.capacity(), in.size() / 4, size_t{256}}));
  int result = Z_OK;
  while (result != Z_STREAM_END) {
    if (z.avail_in == 0 && given < in.size()) {
      const size_t piece = std::min(kPiece, in.size() - given);
      z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data() + given));
      z.avail_in = static_cast<uInt>(piece);
      given += piece;
    }
    if (written == out.size()) out.resize(out.size() + out.size() / 2);
    const size_t room = std::min(kPiece, out.size() - written);
    z.next_out = reinterpret_cast<Bytef*>(out.data() + written);
    z.avail_out = static_cast<uInt>(room);
    result = deflate(&z, given == in.size() ? Z_FINISH : Z_NO_FLUSH);
    written += room - z.avail_out;
    if (result == Z_STREAM_ERROR) {  // a broken stream: no bytes rather than wrong ones, and no endless loop
      written = 0;
      z.avail_in = 0;
      break;
    }
  }
  out.resize(written);
  z.next_in = nullptr;
  z.next_out = nullptr;
}

}  // namespace accelmon

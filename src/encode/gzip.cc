#include <libdeflate.h>

#include <algorithm>
#include <new>

#include "encode/exposition.h"

namespace accelmon {
namespace {

// On pages of metrics twice as fast as zlib at its fastest, and smaller (docs/performance.md).
constexpr int kLevel = 1;

}  // namespace

struct GzipEncoder::Compressor {
  libdeflate_compressor* state = libdeflate_alloc_compressor(kLevel);
  Compressor() {
    // With a valid level it fails for lack of memory alone.
    if (state == nullptr) throw std::bad_alloc();
  }
  ~Compressor() { libdeflate_free_compressor(state); }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
};

GzipEncoder::GzipEncoder() = default;
GzipEncoder::~GzipEncoder() = default;

void GzipEncoder::compress(std::string_view in, std::string& out) {
  if (compressor_ == nullptr) compressor_ = std::make_unique<Compressor>();
  // What the last page took is there already; the bound would ask for more than the page itself, every time.
  out.resize(std::max({out.capacity(), in.size() / 8, size_t{256}}));
  size_t written = 0;
  while ((written = libdeflate_gzip_compress(compressor_->state, in.data(), in.size(), out.data(), out.size())) == 0)
    out.resize(out.size() + std::max(out.size() / 2, in.size() / 8));
  out.resize(written);
}

}  // namespace accelmon

// gzip (RFC 1952) around DEFLATE (RFC 1951), for pages whose lines repeat their neighbours.
//
// A page of metrics is long stretches of what stood there a line before, and short numbers between. So a match is
// looked for only where no match runs, once, by the six bytes that follow; a found one is taken at once and as far as
// it goes. That needs 16 KiB of places and 32 KiB of waiting symbols: a general library's tables (200 KiB for
// libdeflate) are fetched from memory anew at each scrape, which is most of its time on a page of this size. Figures:
// docs/performance.md.
//
// Any bytes may be compressed. Threads: one at a time. Cost: about 0.5 ns a byte on pages of metrics, 4 ns where
// nothing repeats; the state is taken at the first use, and afterwards only `out` grows.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace accelmon {

class GzipEncoder {
 public:
  GzipEncoder();
  ~GzipEncoder();
  GzipEncoder(const GzipEncoder&) = delete;
  GzipEncoder& operator=(const GzipEncoder&) = delete;

  // Replaces `out` by `in` (less than 4 GiB) as one gzip member.
  void compress(std::string_view in, std::string& out);

 private:
  class Deflater;
  std::unique_ptr<Deflater> deflater_;
};

}  // namespace accelmon

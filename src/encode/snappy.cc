#include "encode/snappy.h"

#include <snappy.h>

namespace accelmon {

void snappy_compress(std::string_view in, std::string& out) {
  out.resize(snappy::MaxCompressedLength(in.size()));
  size_t size = 0;
  snappy::RawCompress(in.data(), in.size(), out.data(), &size);
  out.resize(size);
}

Status snappy_uncompress(std::string_view in, size_t limit, std::string& out) {
  out.clear();
  size_t size = 0;
  if (!snappy::GetUncompressedLength(in.data(), in.size(), &size))
    return Status(Code::invalid, "the body is not compressed with snappy (block format)");
  if (size > limit)
    return Status(Code::exhausted, "the body would be " + std::to_string(size) + " bytes when uncompressed; at most " +
                                       std::to_string(limit) + " are taken");
  // A few bytes that claim to be a lot: no element of the format makes more than 64 bytes of 3.
  if (size / 32 > in.size()) return Status(Code::invalid, "the body is damaged: it cannot hold what it says");
  out.resize(size);
  if (snappy::RawUncompress(in.data(), in.size(), out.data())) return {};
  out.clear();
  return Status(Code::invalid, "the body is damaged: snappy cannot read it");
}

}  // namespace accelmon

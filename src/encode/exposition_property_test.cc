// Whatever a label's value is, it comes back from the page as itself, or cleaned as documented.
#ifdef ACCELMON_HAVE_RAPIDCHECK
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>

#include "encode/exposition.h"
#include "encode/snapshot_for_test.h"

namespace accelmon {
namespace {

using for_test::Page;
using for_test::read_page;
using for_test::SnapshotMaker;

// The documented cleaning, written over code points instead of bytes: decode, replace, encode, cut.
std::string documented(const std::string& raw) {
  std::string out;
  const auto put = [&](uint32_t c) {
    std::string one;
    if (c < 0x80) {
      one += static_cast<char>(c);
    } else if (c < 0x800) {
      one += static_cast<char>(0xc0 | (c >> 6));
      one += static_cast<char>(0x80 | (c & 63));
    } else if (c < 0x10000) {
      one += static_cast<char>(0xe0 | (c >> 12));
      one += static_cast<char>(0x80 | ((c >> 6) & 63));
      one += static_cast<char>(0x80 | (c & 63));
    } else {
      one += static_cast<char>(0xf0 | (c >> 18));
      one += static_cast<char>(0x80 | ((c >> 12) & 63));
      one += static_cast<char>(0x80 | ((c >> 6) & 63));
      one += static_cast<char>(0x80 | (c & 63));
    }
    if (out.size() + one.size() > 256) return false;
    out += one;
    return true;
  };
  // A byte-at-a-time decoder with a range for the next byte, as the encoding standard of browsers describes it.
  uint32_t code = 0;
  int needed = 0;
  unsigned lower = 0x80, upper = 0xbf;
  for (size_t i = 0; i < raw.size(); ++i) {
    const auto byte = static_cast<unsigned char>(raw[i]);
    if (needed > 0) {
      if (byte < lower || byte > upper) {
        needed = 0;
        lower = 0x80;
        upper = 0xbf;
        if (!put(0xfffd)) return out;
        --i;
        continue;
      }
      lower = 0x80;
      upper = 0xbf;
      code = (code << 6) | (byte & 63);
      if (--needed > 0) continue;
    } else if (byte < 0x80) {
      code = byte;
    } else if (byte >= 0xc2 && byte <= 0xdf) {
      needed = 1;
      code = byte & 0x1f;
      continue;
    } else if (byte >= 0xe0 && byte <= 0xef) {
      if (byte == 0xe0) lower = 0xa0;
      if (byte == 0xed) upper = 0x9f;
      needed = 2;
      code = byte & 0xf;
      continue;
    } else if (byte >= 0xf0 && byte <= 0xf4) {
      if (byte == 0xf0) lower = 0x90;
      if (byte == 0xf4) upper = 0x8f;
      needed = 3;
      code = byte & 7;
      continue;
    } else {
      code = 0xfffd;
    }
    const bool control = (code < 0x20 && code != '\n') || (code >= 0x7f && code < 0xa0);
    if (!put(control ? 0xfffd : code)) return out;
  }
  if (needed > 0) put(0xfffd);
  return out;
}

// Half random bytes, half pieces that sit at the borders of UTF-8 and of the escapes.
rc::Gen<std::string> label_value() {
  const auto pieces = rc::gen::map(
      rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(std::vector<std::string>{"\\",
                                                                                               "\"",
                                                                                               "\n",
                                                                                               "\\n",
                                                                                               "a",
                                                                                               "\xc3\xbc",
                                                                                               "\xe2\x82\xac",
                                                                                               "\xf0\x9f\x94\xa5",
                                                                                               "\xff",
                                                                                               "\xc0\x80",
                                                                                               "\xed\xa0\x80",
                                                                                               "\xf4\x90\x80\x80",
                                                                                               "\xe2\x82",
                                                                                               "\xc2\x85",
                                                                                               "\x01",
                                                                                               "\x7f",
                                                                                               " ",
                                                                                               "}",
                                                                                               ",",
                                                                                               "=",
                                                                                               std::string(100, 'q')})),
      [](const std::vector<std::string>& parts) {
        std::string all;
        for (const std::string& part : parts) all += part;
        return all;
      });
  return rc::gen::oneOf(rc::gen::arbitrary<std::string>(), pieces,
                        rc::gen::container<std::string>(rc::gen::cast<char>(rc::gen::inRange(0, 256))));
}

RC_GTEST_PROP(ExpositionProperty, LabelValuesComeBack, ()) {
  const std::string id = *label_value();
  const std::string location = *label_value();
  SnapshotMaker make;
  make.source("s");
  const int device = make.device({.id = id, .index = "0", .vendor = "v"});
  make.add(MetricId::temperature, device, {{AttributeId::sensor_location, location}}, 1);
  const Snapshot snapshot = make.take();
  Exposition exposition;
  for (const auto format : {ExpositionFormat::text_0_0_4, ExpositionFormat::openmetrics_1_0}) {
    std::string page;
    exposition.render(snapshot, format, page);
    const Page read = read_page(page);
    RC_ASSERT(read.samples.size() == 1u);
    RC_ASSERT(read.samples[0].label("hw_id") == documented(id));
    RC_ASSERT(read.samples[0].label("hw_sensor_location") == documented(location));
  }
}

RC_GTEST_PROP(ExpositionProperty, NumbersComeBackExactly, (uint64_t bits)) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  RC_PRE(!std::isnan(value));
  SnapshotMaker make;
  make.source("s").add(MetricId::uptime, -1, {}, value);
  std::string page;
  Exposition().render(make.take(), ExpositionFormat::text_0_0_4, page);
  RC_ASSERT(read_page(page).samples.at(0).value == value);
}

RC_GTEST_PROP(ExpositionProperty, NegotiationTakesAnyBytes, ()) {
  const std::string bytes = *label_value();
  negotiate_format(bytes);
  accepts_gzip(bytes);
  // Nothing that follows beats the most specific range with the best quality.
  RC_ASSERT(negotiate_format("text/plain;version=0.0.4;q=1," + bytes) == ExpositionFormat::text_0_0_4);
}

}  // namespace
}  // namespace accelmon
#endif

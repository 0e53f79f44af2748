#include "base/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace accelmon {
namespace {

TEST(Text, DurationNeedsAUnit) {
  EXPECT_EQ(*parse_duration("250ms"), 250 * kMillisecond);
  EXPECT_EQ(*parse_duration("1.5s"), 1500 * kMillisecond);
  EXPECT_EQ(*parse_duration("10m"), 600 * kSecond);
  EXPECT_EQ(*parse_duration("7d"), 7 * 86400 * kSecond);
  EXPECT_EQ(parse_duration("100").error().message(), "\"100\" has no unit; write \"100ms\" or \"100s\"");
  EXPECT_FALSE(parse_duration("").has_value());
  EXPECT_FALSE(parse_duration("s").has_value());
  EXPECT_FALSE(parse_duration("-1s").has_value());
  EXPECT_FALSE(parse_duration("1e300s").has_value());
  EXPECT_FALSE(parse_duration("nans").has_value());
}

TEST(Text, DurationRoundTrip) {
  for (const char* text : {"1s", "90s", "250ms", "1h", "36h", "3us", "7d"}) {
    const auto value = parse_duration(text);
    ASSERT_TRUE(value.has_value()) << text;
    EXPECT_EQ(*parse_duration(format_duration(*value)), *value) << text;
  }
  EXPECT_EQ(format_duration(60 * kSecond), "1m");
  EXPECT_EQ(format_duration(1), "1ns");
}

TEST(Text, Sizes) {
  EXPECT_EQ(*parse_size("2MiB"), 2u << 20);
  EXPECT_EQ(*parse_size("1kB"), 1000u);
  EXPECT_EQ(*parse_size("12B"), 12u);
  EXPECT_FALSE(parse_size("12").has_value());
  EXPECT_FALSE(parse_size("12 bananas").has_value());
  EXPECT_EQ(format_size(65712160768.0), "61.2 GiB");
  EXPECT_EQ(format_size(12), "12 B");
}

TEST(Text, NumbersReadBackExactly) {
  for (double value : {0.0, 1.0, -3.0, 0.1, 612.345, 1e21, 1e-9, 9007199254740993.0, 18446744073709551615.0,
                       std::numeric_limits<double>::max(), std::numeric_limits<double>::denorm_min()}) {
    std::string text;
    append_number(text, value);
    EXPECT_EQ(parse_double(text), value) << text;
  }
  std::string text;
  append_number(text, std::nan(""));
  append_number(text, HUGE_VAL);
  append_number(text, -HUGE_VAL);
  append_number(text, 80.0);
  EXPECT_EQ(text, "NaN+Inf-Inf80");
}

TEST(Text, WholeStringsOnly) {
  EXPECT_EQ(parse_u64("12"), 12u);
  EXPECT_EQ(parse_u64("ff", 16), 255u);
  EXPECT_FALSE(parse_u64("12 "));
  EXPECT_FALSE(parse_u64("-1"));
  EXPECT_FALSE(parse_u64("99999999999999999999"));
  EXPECT_EQ(parse_i64("-8"), -8);
}

TEST(Text, WordsAndLines) {
  std::string_view rest = "cpu  1 2\nintr 3";
  std::string_view line = next_line(rest);
  EXPECT_EQ(next_word(line), "cpu");
  EXPECT_EQ(next_word(line), "1");
  EXPECT_EQ(next_word(line), "2");
  EXPECT_EQ(next_word(line), "");
  EXPECT_EQ(next_line(rest), "intr 3");
  EXPECT_TRUE(rest.empty());
}

TEST(Text, NearestWord) {
  const std::string_view known[] = {"serve", "status", "doctor", "metrics"};
  EXPECT_EQ(nearest_word("stauts", known), "status");
  EXPECT_EQ(nearest_word("docter", known), "doctor");
  EXPECT_FALSE(nearest_word("elephant", known));
}

TEST(Text, PrintableKeepsUtf8AndDropsControl) {
  EXPECT_EQ(printable("a\nb\x1b[31m"), "a?b?[31m");
  EXPECT_EQ(printable("g\xc3\xb6"), "g\xc3\xb6");
  EXPECT_EQ(printable("\xff\xc3"), "??");
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace accelmon

#include "base/text.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <random>

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

TEST(Text, NumbersAreTheShortestThereAre) {
  std::mt19937_64 random(11);
  const auto shortest = [](double value) {
    char buffer[40];
    return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  };
  for (int i = 0; i < 400'000; ++i) {
    double value = 0;
    switch (i % 5) {
      case 0:
        value = static_cast<double>(random() % 1'000'000'000) / 1e6;
        break;
      case 1:
        value = static_cast<double>(random() % 1'000'000) * 0.001;
        break;
      case 2:
        value = static_cast<double>(random() % 2'000'000'000'000'000) * 1e-6;
        break;
      case 3:
        value = static_cast<double>(random()) / 1.8e19 * 1e3;
        break;
      default:
        value = std::nextafter(static_cast<double>(random() % 100'000) / 100, i % 2 == 0 ? 0 : 1e9);
        break;
    }
    if (value == std::floor(value)) continue;
    if (i % 7 == 0) value = -value;
    std::string text;
    append_number(text, value);
    ASSERT_EQ(text, shortest(value));
  }
  for (double value : {0.001, 0.0001, 0.000999, 999999999.999999, 1000000000.5, 0.5, 1.000001, 1.0000001}) {
    std::string text;
    append_number(text, value);
    EXPECT_EQ(text, shortest(value));
  }
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

// The vectors of RFC 4648, section 10.
TEST(Text, Base64) {
  for (const auto& [bytes, text] : {std::pair<std::string, std::string>{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"},
                                    {"\xff\xfe\xfb", "//77"}}) {
    EXPECT_EQ(encode_base64(bytes), text);
    std::string back = "> ";
    EXPECT_TRUE(decode_base64(text, back));
    EXPECT_EQ(back, "> " + bytes);
    std::string unpadded;
    EXPECT_TRUE(decode_base64(text.substr(0, text.find('=')), unpadded));
    EXPECT_EQ(unpadded, bytes);
  }
  for (const char* wrong : {"A", "Zm9vY", "Zm9v=Zg", "Zm 9v", "Zm9\xc3", "=", "Zm-_"}) {
    std::string out;
    EXPECT_FALSE(decode_base64(wrong, out)) << wrong;
  }
}

}  // namespace
}  // namespace accelmon

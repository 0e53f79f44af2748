#include "agent/api_query.h"

#include <gtest/gtest.h>

#include <array>

namespace accelmon {
namespace {

constexpr Nanos kNow = 1'764'000'000 * kSecond;  // 2025-11-24T16:00:00Z

std::string error(const auto& result) {
  return result ? "no error" : result.error().message();
}

TEST(PercentDecode, TakesWhatBrowsersSend) {
  EXPECT_EQ(percent_decode("a+b%20c%2Bd%2fe").value(), "a b c+d/e");
  EXPECT_EQ(percent_decode("%C3%A9").value(), "\xc3\xa9");
  EXPECT_EQ(percent_decode("").value(), "");
}

TEST(PercentDecode, RefusesWhatIsBroken) {
  for (const char* text : {"%", "%4", "a%", "%zz", "%4g", "%%41", "%-1", "%0x"})
    EXPECT_NE(error(percent_decode(text)).find("hexadecimal"), std::string::npos) << text;
  for (const char* text : {"%00", "a%0Ab", "%1b[2J", "%7f"})
    EXPECT_NE(error(percent_decode(text)).find("control"), std::string::npos) << text;
}

TEST(QueryParameters, KnownNamesOnceEach) {
  static constexpr std::array<std::string_view, 2> kKnown{"metric", "device"};
  const auto good = QueryParameters::parse("&metric=hw.power%2Chw.*&&device=GPU-1&", kKnown);
  ASSERT_TRUE(good);
  EXPECT_EQ(*good->find("metric"), "hw.power,hw.*");
  EXPECT_EQ(*good->find("device"), "GPU-1");
  EXPECT_EQ(good->find("from"), nullptr);
  EXPECT_EQ(*QueryParameters::parse("metric", kKnown)->find("metric"), "");
  EXPECT_EQ(*QueryParameters::parse("metric=a=b", kKnown)->find("metric"), "a=b");
  EXPECT_EQ(QueryParameters::parse("", kKnown)->find("metric"), nullptr);

  EXPECT_EQ(error(QueryParameters::parse("metrik=a", kKnown)),
            "there is no parameter 'metrik' here; did you mean 'metric'?");
  EXPECT_EQ(error(QueryParameters::parse("x=a", kKnown)), "there is no parameter 'x' here; known: metric, device");
  EXPECT_NE(error(QueryParameters::parse("metric=a&metric=b", kKnown)).find("given twice"), std::string::npos);
  EXPECT_NE(error(QueryParameters::parse("m%65tric=a&metric=b", kKnown)).find("given twice"), std::string::npos);
  EXPECT_NE(error(QueryParameters::parse("=a", kKnown)).find("no parameter ''"), std::string::npos);
}

TEST(QueryParameters, AreBounded) {
  EXPECT_EQ(QueryParameters::parse("a=" + std::string(kMaxQueryBytes, 'x'), {}).error().code(), Code::exhausted);
  std::string many;
  for (size_t i = 0; i <= kMaxParameters; ++i) many += "p" + std::to_string(i) + "=1&";
  EXPECT_EQ(QueryParameters::parse(many, {}).error().code(), Code::exhausted);
}

TEST(ParseTime, InEveryForm) {
  EXPECT_EQ(parse_time("1764000000", 0).value(), kNow);
  EXPECT_EQ(parse_time("1764000000.25", 0).value(), kNow + 250 * kMillisecond);
  EXPECT_EQ(parse_time("1.764e9", 0).value(), kNow);
  EXPECT_EQ(parse_time("0", kNow).value(), 0);
  EXPECT_EQ(parse_time("2025-11-24T16:00:00Z", 0).value(), kNow);
  EXPECT_EQ(parse_time("2025-11-24t16:00:00.5z", 0).value(), kNow + 500 * kMillisecond);
  EXPECT_EQ(parse_time("2025-11-24T16:00:00.123456789012Z", 0).value(), kNow + 123'456'789);
  EXPECT_EQ(parse_time("2025-11-24T17:30:00+01:30", 0).value(), kNow);
  EXPECT_EQ(parse_time("2025-11-24T17:30:00 01:30", 0).value(), kNow) << "a '+' that was not encoded";
  EXPECT_EQ(parse_time("2025-11-24T08:00:00-08:00", 0).value(), kNow);
  EXPECT_EQ(parse_time("2024-02-29T00:00:00Z", 0).value(), 1'709'164'800 * kSecond);
  EXPECT_EQ(parse_time("now", kNow).value(), kNow);
  EXPECT_EQ(parse_time("-1h", kNow).value(), kNow - 3600 * kSecond);
  EXPECT_EQ(parse_time("now-90s", kNow).value(), kNow - 90 * kSecond);
  EXPECT_EQ(parse_time("-90000d", kNow).value(), 0) << "before the epoch there is nothing";
}

TEST(ParseTime, RefusesWhatIsNone) {
  for (const char* text : {"",
                           " ",
                           "nan",
                           "NaN",
                           "inf",
                           "-inf",
                           "1e300",
                           "-5",
                           "99999999999",
                           "now+1h",
                           "nowhere",
                           "-1",
                           "-1x",
                           "--1h",
                           "-999999999999999999999d",
                           "yesterday",
                           "2025-11-24",
                           "2025-11-24T16:00:00",
                           "2025-13-24T16:00:00Z",
                           "2025-02-30T00:00:00Z",
                           "2025-11-24T24:00:00Z",
                           "2025-11-24T16:00:00.Z",
                           "2025-11-24T16:00:00+1:00",
                           "2025-11-24T16:00:00+99:00",
                           "1969-12-31T00:00:00Z",
                           "9999-01-01T00:00:00Z",
                           "2025/11/24T16:00:00Z",
                           "1970-01-01T00:00:00+01:00",
                           "2025-11-24T16:00:00Zx",
                           "20x5-11-24T16:00:00Z",
                           "-2025-11-24T16:00:00Z"}) {
    const Result<Nanos> time = parse_time(text, kNow);
    ASSERT_FALSE(time) << text;
    EXPECT_NE(time.error().message().find("is no time; write Unix seconds"), std::string::npos) << text;
  }
}

TEST(FormatTime, IsReadBack) {
  EXPECT_EQ(format_time(kNow + 7 * kMillisecond), "2025-11-24T16:00:00.007Z");
  EXPECT_EQ(format_time(0), "1970-01-01T00:00:00.000Z");
  for (const Nanos wall : {Nanos{0}, kNow, 5'000'000'000 * kSecond + 999 * kMillisecond})
    EXPECT_EQ(parse_time(format_time(wall), 0).value(), wall);
}

TEST(Glob, Matches) {
  for (const auto& [pattern, text] : {std::pair{"*", ""},
                                      {"*", "anything"},
                                      {"", ""},
                                      {"a?c", "abc"},
                                      {"hw.*", "hw.power"},
                                      {"*power", "hw.power"},
                                      {"h*.p*r", "hw.power"},
                                      {"**", "x"},
                                      {"*a*b*", "xxaxxbxx"},
                                      {"a.c", "a.c"}})
    EXPECT_TRUE(glob_matches(pattern, text)) << pattern << " " << text;
  for (const auto& [pattern, text] : {std::pair{"", "a"},
                                      {"?", ""},
                                      {"a?c", "ac"},
                                      {"hw.*", "hw"},
                                      {"*power", "hw.power.x"},
                                      {"a.c", "abc"},
                                      {"[ab]", "a"},
                                      {"*a*b", "ba"}})
    EXPECT_FALSE(glob_matches(pattern, text)) << pattern << " " << text;
}

TEST(Glob, ManyStarsTakeNoLonger) {
  // Who backtracks over every star would be at it for ages.
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_FALSE(glob_matches(pattern + "b", std::string(4000, 'a')));
  EXPECT_TRUE(glob_matches(pattern, std::string(4000, 'a')));
}

class FilterTest : public ::testing::Test {
 protected:
  FilterTest() {
    CatalogBuilder builder(catalog_);
    gpu_ = builder.add_device({.type = DeviceType::gpu, .id = "GPU-1", .index = "0", .vendor = "nvidia"});
    other_ = builder.add_device({.type = DeviceType::gpu, .id = "GPU-2", .index = "1", .vendor = "nvidia"});
  }
  static SeriesFilter filter(const std::string& metrics, const std::string& devices) {
    return SeriesFilter::make(&metrics, &devices).value();
  }
  Catalog catalog_;
  int gpu_ = 0, other_ = 0;
};

TEST_F(FilterTest, MetricsByEitherName) {
  EXPECT_TRUE(filter("hw.power", "").takes(MetricId::power));
  EXPECT_TRUE(filter("hw_power_watts", "").takes(MetricId::power));
  EXPECT_TRUE(filter("nothing*, hw.p*", "").takes(MetricId::power));
  EXPECT_FALSE(filter("hw.power", "").takes(MetricId::uptime));
  EXPECT_FALSE(filter("nothing*", "").takes(MetricId::power))
      << "a pattern that fits nothing is no filter that takes all";
  EXPECT_TRUE(filter("", "").takes(MetricId::power));
  EXPECT_TRUE(SeriesFilter::make(nullptr, nullptr)->takes(MetricId::power));
}

TEST_F(FilterTest, Devices) {
  const auto takes = [&](const std::string& devices, int device) {
    return filter("", devices).takes_device(catalog_, device);
  };
  EXPECT_TRUE(takes("GPU-1", gpu_));
  EXPECT_FALSE(takes("GPU-1", other_));
  EXPECT_TRUE(takes("GPU-*", other_));
  EXPECT_TRUE(takes("1", other_));
  EXPECT_FALSE(takes("1", gpu_));
  EXPECT_FALSE(takes("GPU-1", -1));
  EXPECT_TRUE(takes("GPU-1,none", -1));
  EXPECT_TRUE(takes("", -1));
}

TEST_F(FilterTest, SaysWhatItDoesNotKnow) {
  const std::string near = "hw.powr", far = "quux", many = [] {
    std::string out;
    for (size_t i = 0; i <= kMaxPatterns; ++i) out += "a*,";
    return out;
  }();
  EXPECT_EQ(error(SeriesFilter::make(&near, nullptr)), "no metric is called 'hw.powr'; did you mean 'hw.power'?");
  EXPECT_NE(error(SeriesFilter::make(&far, nullptr)).find("/api/v1/metrics"), std::string::npos);
  EXPECT_EQ(SeriesFilter::make(&many, nullptr).error().code(), Code::exhausted);
  EXPECT_EQ(SeriesFilter::make(nullptr, &many).error().code(), Code::exhausted);
}

}  // namespace
}  // namespace accelmon

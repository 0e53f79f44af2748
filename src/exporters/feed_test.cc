// What exporters take: the feed in memory, the selection, the settings.
#include "exporters/feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "encode/runs_for_test.h"
#include "exporters/destination.h"
#include "exporters/selection.h"
#include "exporters/settings.h"
#include "store/disk_feed_for_test.h"

namespace accelmon {
namespace {

using for_test::BatchMaker;
using for_test::kBegin;

class MemoryFeedTest : public testing::Test {
 protected:
  Recycled<Frame> frame(int second) {
    Recycler<Frame>::Ref taken = frames.take();
    taken->resize(catalog->series.size());
    taken->wall = kBegin + second * kSecond;
    taken->set(0, second);
    return taken;
  }
  void append(MemoryFeed& feed, int from, int to) {
    for (int i = from; i < to; ++i) feed.append("nvml", catalog, frame(i));
  }
  static std::vector<double> values(const FrameBatch& batch) {
    std::vector<double> out;
    for (const FrameRun& run : batch.runs())
      for (const Frame* one : run.frames) out.push_back(one->values[0]);
    return out;
  }
  CatalogPtr catalog = for_test::five_kinds();
  Recycler<Frame> frames;
};

TEST_F(MemoryFeedTest, ACursorBeginsAtNowAndTakesEachPollOnce) {
  MemoryFeed feed(1 << 20);
  append(feed, 0, 3);
  const std::unique_ptr<FeedCursor> cursor = feed.open();
  EXPECT_EQ(cursor->behind(), 0u);
  append(feed, 3, 8);
  EXPECT_EQ(cursor->behind(), 5u);
  Result<FrameBatch> batch = cursor->read(3);
  ASSERT_TRUE(batch);
  EXPECT_THAT(values(*batch), testing::ElementsAre(3, 4, 5));
  EXPECT_EQ(batch->lost(), 0u);
  EXPECT_TRUE(cursor->commit().ok());
  EXPECT_EQ(cursor->behind(), 2u);
  EXPECT_THAT(values(*cursor->read(100)), testing::ElementsAre(6, 7));
  EXPECT_TRUE(cursor->read(100)->empty());
}

TEST_F(MemoryFeedTest, CursorsDoNotKnowEachOther) {
  MemoryFeed feed(1 << 20);
  const auto one = feed.open(), other = feed.open();
  append(feed, 0, 4);
  EXPECT_EQ(one->read(4)->frames(), 4u);
  EXPECT_EQ(other->behind(), 4u);
  EXPECT_THAT(values(*other->read(2)), testing::ElementsAre(0, 1));
}

TEST_F(MemoryFeedTest, WhatFallsOutIsCounted) {
  MemoryFeed feed(4096);
  const auto cursor = feed.open();
  append(feed, 0, 1000);
  EXPECT_LE(feed.bytes(), 4096u);
  const uint64_t behind = cursor->behind();
  EXPECT_GT(behind, 1u);
  EXPECT_LT(behind, 100u);
  const Result<FrameBatch> batch = cursor->read(10'000);
  EXPECT_EQ(batch->frames() + batch->lost(), 1000u);
  EXPECT_EQ(batch->frames(), behind);
  EXPECT_EQ(values(*batch).back(), 999);
  EXPECT_EQ(cursor->read(1)->lost(), 0u) << "counted once";
}

TEST_F(MemoryFeedTest, ABatchOutlivesTheFeed) {
  auto feed = std::make_unique<MemoryFeed>(1 << 20);
  const auto cursor = feed->open();
  append(*feed, 0, 2);
  const Result<FrameBatch> batch = cursor->read(10);
  feed.reset();
  EXPECT_THAT(values(*batch), testing::ElementsAre(0, 1));
  EXPECT_TRUE(cursor->read(10)->empty());
}

TEST_F(MemoryFeedTest, NothingIsNoPoll) {
  MemoryFeed feed(1 << 20);
  const auto cursor = feed.open();
  feed.append("nvml", nullptr, frame(1));
  feed.append("nvml", catalog, {});
  EXPECT_EQ(cursor->behind(), 0u);
}

TEST(DiskCursor, IsTheExportersOwn) {
  const store_test::Folder folder;
  DiskOptions options;
  options.path = folder.file("history.db");
  const std::unique_ptr<DiskStore> store = DiskStore::open(options);
  store_test::Feed feed;
  auto a = open_disk_cursor(*store, "a"), b = open_disk_cursor(*store, "b");
  ASSERT_TRUE(a);
  ASSERT_TRUE(b);
  for (int i = 0; i < 10; ++i) feed.append(*store);
  EXPECT_EQ((*a)->read(4)->frames(), 4u);
  EXPECT_TRUE((*a)->commit().ok());
  EXPECT_EQ((*a)->behind(), 6u);
  EXPECT_EQ((*b)->behind(), 10u);
  // What was read and not committed is there for whoever opens it next.
  EXPECT_EQ((*a)->read(100)->frames(), 6u);
  *a = nullptr;
  a = open_disk_cursor(*store, "a");
  ASSERT_TRUE(a) << a.error().message();
  EXPECT_EQ((*a)->behind(), 6u);
}

TEST(Matches, StarsStandForAnyText) {
  EXPECT_TRUE(matches("hw.power", "hw.power"));
  EXPECT_FALSE(matches("hw.power", "hw.power.limit"));
  EXPECT_TRUE(matches("hw.*", "hw.power"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("*.limit", "hw.gpu.memory.limit"));
  EXPECT_TRUE(matches("hw.*.*.limit", "hw.gpu.memory.limit"));
  EXPECT_FALSE(matches("hw.*.*.limit", "hw.memory.limit"));
  EXPECT_TRUE(matches("*a*a*b", "aaaaaaaaaaab"));
  EXPECT_FALSE(matches("*a*a*b", "aaaaaaaaaaac"));
  EXPECT_FALSE(matches("", "x"));
}

TEST(Selection, AllIsNoCopy) {
  BatchMaker make;
  make.run("nvml", for_test::five_kinds()).frame(kBegin, {1, 2, 3, 1, 1}).frame(kBegin + kSecond, {2, 3, 4, 1, 1});
  const std::span<const FrameRun> batch = make.batch();
  Selection selection({}, {}, 0);
  const std::span<const FrameRun> kept = selection.of(batch);
  ASSERT_EQ(kept.size(), 1u);
  ASSERT_EQ(kept[0].frames.size(), 2u);
  EXPECT_EQ(kept[0].frames[0], batch[0].frames[0]);
}

TEST(Selection, OnlyAndExcept) {
  BatchMaker make;
  make.run("nvml", for_test::five_kinds()).frame(kBegin, {50, 1000, 3e9, 1, 1});
  const std::span<const FrameRun> batch = make.batch();
  Selection selection({"hw.*"}, {"hw.energy", "*.memory.*"}, 0);
  const Frame& frame = *selection.of(batch)[0].frames[0];
  EXPECT_EQ(frame.states[0], State::ok);
  EXPECT_EQ(frame.states[1], State::unsupported);
  EXPECT_EQ(frame.states[2], State::unsupported);
  EXPECT_EQ(frame.states[3], State::ok);
  EXPECT_EQ(frame.states[4], State::unsupported) << "accelmon.device.info is not hw.*";
  EXPECT_EQ(batch[0].frames[0]->states[1], State::ok) << "the others' frame is as it was";
}

std::vector<Nanos> times(std::span<const FrameRun> runs) {
  std::vector<Nanos> out;
  for (const FrameRun& run : runs)
    for (const Frame* frame : run.frames) out.push_back((frame->wall - kBegin) / kSecond);
  return out;
}

TEST(Selection, TheLastPollOfEachStep) {
  BatchMaker make;
  make.run("nvml", for_test::five_kinds(1));
  for (int i = 0; i < 12; ++i) make.frame(kBegin + i * kSecond, {1.0 * i, 1, 1, 1, 1});
  make.run("nvml", for_test::five_kinds(2));  // the same source goes on
  for (int i = 12; i < 21; ++i) make.frame(kBegin + i * kSecond, {1.0 * i, 1, 1, 1, 1});
  make.run("host", for_test::five_kinds(3)).frame(kBegin + 3 * kSecond, {1, 1, 1, 1, 1});
  ASSERT_EQ(kBegin % (10 * kSecond), 0);
  EXPECT_THAT(times(Selection({}, {}, 10 * kSecond).of(make.batch())), testing::ElementsAre(9, 19, 20, 3));
  // A turn is a moment behind the grid, and so are its steps: the poll on the grid is that of the step before.
  EXPECT_THAT(times(Selection({}, {}, 10 * kSecond, 250 * kMillisecond).of(make.batch())),
              testing::ElementsAre(0, 10, 20, 3));
}

ExporterSettings settings(std::map<std::string, std::string, std::less<>> options) {
  ExporterSettings out;
  out.name = "x";
  out.options = std::move(options);
  return out;
}

TEST(Settings, AreReadWithTypes) {
  const ExporterSettings some =
      settings({{"a", "text"}, {"on", "true"}, {"off", "false"}, {"span", "1500ms"}, {"n", "42"}, {"l", "a=1\nb=2"}});
  EXPECT_EQ(some.text("a"), "text");
  EXPECT_EQ(some.text("none", "else"), "else");
  EXPECT_TRUE(some.flag("on", false));
  EXPECT_FALSE(some.flag("off", true));
  EXPECT_TRUE(some.flag("none", true));
  EXPECT_EQ(some.duration("span", 0), 1500 * kMillisecond);
  EXPECT_EQ(some.duration("a", 7), 7) << "never anything but what was checked, and then the default";
  EXPECT_EQ(some.number("n", 0), 42u);
  EXPECT_EQ(some.number("a", 9), 9u);
  EXPECT_THAT(some.list("l"), testing::ElementsAre("a=1", "b=2"));
  EXPECT_TRUE(some.list("none").empty());
}

TEST(Settings, PairsAndWords) {
  const auto pairs = settings({{"l", "a = 1\nb=x=y"}}).pairs("l");
  ASSERT_TRUE(pairs);
  EXPECT_THAT(*pairs, testing::ElementsAre(testing::Pair("a", "1"), testing::Pair("b", "x=y")));
  EXPECT_EQ(settings({{"l", "nothing"}}).pairs("l").error().message(),
            "exporters.x.l holds \"nothing\"; write \"name=value\"");
  EXPECT_FALSE(settings({{"l", "=1"}}).pairs("l"));
  EXPECT_EQ(*settings({}).word("w", {"first", "second"}), "first");
  EXPECT_EQ(settings({{"w", "third"}}).word("w", {"first", "second"}).error().message(),
            "exporters.x.w = \"third\" is unknown; write one of \"first\", \"second\"");
  EXPECT_EQ(settings({}).needed("url", "http://h/").error().message(),
            "exporters.x.url is needed, for example \"http://h/\"");
}

// What is wrong with the settings is told before anything is sent, and names the key.
TEST(Destinations, SettingsThatCannotWork) {
  const Identity identity{"h1", "id", "1.0"};
  const auto why = [&](const std::string& type, std::map<std::string, std::string, std::less<>> options) {
    std::string where;
    const auto made = find_destination(type)->make(settings(std::move(options)), identity, where);
    return made ? std::string("made") : made.error().message();
  };
  using testing::HasSubstr;
  EXPECT_THAT(why("remote_write", {}), HasSubstr("exporters.x.url is needed"));
  EXPECT_THAT(why("remote_write", {{"url", "ftp://h/"}}), HasSubstr("neither http:// nor https://"));
  EXPECT_THAT(why("remote_write", {{"url", "http://h/"}, {"version", "3"}}), HasSubstr("\"1.0\", \"2.0\""));
  EXPECT_THAT(why("remote_write", {{"url", "http://h/"}, {"labels", "x"}}), HasSubstr("exporters.x.labels"));
  EXPECT_THAT(why("otlp", {{"url", "http://h/"}, {"protocol", "udp"}}), HasSubstr("\"grpc\""));
  EXPECT_THAT(why("otlp", {{"url", "http://h/"}, {"temporality", "d"}}), HasSubstr("\"delta\""));
  EXPECT_THAT(why("otlp", {{"url", "http://h/"}, {"headers", "no colon"}}), HasSubstr("Name: value"));
  EXPECT_THAT(why("otlp", {{"url", "http://h/"}, {"username", "u"}, {"bearer_token_file", "/x"}}),
              HasSubstr("exclude each other"));
  EXPECT_THAT(why("otlp", {{"url", "http://h/"}, {"bearer_token_file", "/nonexistent/token"}}),
              HasSubstr("exporters.x.bearer_token_file"));
  EXPECT_THAT(why("graphite", {{"address", "nowhere"}}), HasSubstr("exporters.x.address"));
  EXPECT_THAT(why("statsd", {{"address", "tcp:h:1"}}), HasSubstr("UDP"));
  EXPECT_THAT(why("json_lines", {}), HasSubstr("exporters.x.path is needed"));
  EXPECT_THAT(why("emf", {{"address", "h:1"}, {"path", "/x"}}), HasSubstr("exclude each other"));
  EXPECT_THAT(why("emf", {{"rules", "?"}}), HasSubstr("exporters.x.rules"));
  EXPECT_THAT(why("cloudwatch", {{"region", "r"}, {"url", "https://h/?a=b"}}), HasSubstr("no endpoint"));
  EXPECT_THAT(why("cloudwatch", {{"region", "r"}, {"namespace", "AWS/x"}}), HasSubstr("exporters.x"));
}

TEST(Destinations, EveryTypeIsFoundByName) {
  for (const DestinationInfo& one : destination_table()) EXPECT_EQ(find_destination(one.type), &one);
  EXPECT_EQ(find_destination("carrier_pigeon"), nullptr);
}

}  // namespace
}  // namespace accelmon

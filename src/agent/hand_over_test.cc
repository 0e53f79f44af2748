#include "agent/hand_over.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "agent/arbiter.h"

namespace accelmon {
namespace {

constexpr Nanos kInterval = kSecond;
constexpr Nanos kWall = 1'700'000'000 * kSecond;

// One collector that polls at the same times as the others, each poll a little after the tick.
struct Source {
  std::string name;
  Shows shows = Shows::devices;
  CatalogPtr catalog;
  std::vector<uint32_t> contested;  // its series that the other has, too
  bool live = false;
  Recycled<Frame> frame;
};

// Sources, the arbiter behind them, and what whoever keeps every poll is given.
class Keeper {
 public:
  Source& operator[](size_t i) { return sources_[i]; }

  void add(std::string name, std::vector<MetricId> metrics, MetricId contested, Shows shows = Shows::devices) {
    Source& source = sources_.emplace_back();
    source.name = std::move(name);
    source.shows = shows;
    auto catalog = std::make_shared<Catalog>();
    catalog->generation = sources_.size();
    CatalogBuilder builder(*catalog);
    Device device;
    device.id = "0000:4d:00.0";
    device.vendor = "intel";
    device.info = {{AttributeId::pci_address, "0000:4d:00.0"}};
    const int gpu = builder.add_device(device);
    for (const MetricId metric : metrics) {
      if (metric == contested) source.contested.push_back(static_cast<uint32_t>(catalog->series.size()));
      builder.add(metric, gpu, Tier::fast, {});
    }
    source.catalog = std::move(catalog);
  }

  // A poll of it arrives.
  void poll(size_t i, Nanos at, bool refuses = false) {
    Source& source = sources_[i];
    source.live = true;
    source.frame = frames_.take();
    source.frame->generation = source.catalog->generation;
    source.frame->monotonic = at;
    source.frame->wall = kWall + at;
    source.frame->values.assign(source.catalog->series.size(), 1);
    source.frame->states.assign(source.catalog->series.size(), State::ok);
    if (refuses)
      for (const uint32_t series : source.contested) source.frame->states[series] = State::no_permission;
  }

  // It has been silent for too long.
  void silence(size_t i, Nanos now) {
    Source& source = sources_[i];
    source.live = false;
    Recycled<Frame> gone = frames_.take();
    *gone = *source.frame;
    std::fill(gone->states.begin(), gone->states.end(), State::stale);
    gone->monotonic = now;
    gone->wall = kWall + now;
    source.frame = std::move(gone);
  }

  void publish(Nanos now) {
    views_.resize(sources_.size());
    shown_.sources.resize(sources_.size() + 1);
    for (size_t i = 0; i < sources_.size(); ++i) {
      const Source& source = sources_[i];
      views_[i].shows = source.shows;
      views_[i].live = source.live;
      views_[i].reported = static_cast<bool>(source.frame);
      views_[i].view.name = source.name;
      views_[i].view.catalog = source.frame ? source.catalog : nullptr;
      views_[i].view.frame = source.frame;
    }
    arbiter_.arbitrate(views_, now, kInterval, true);
    for (size_t i = 0; i < sources_.size(); ++i) shown_.sources[i] = views_[i].view;
    hand_over_.pass(shown_, kInterval, [&](const SourceView& source) {
      ASSERT_EQ(source.catalog->series.size(), source.frame->states.size());
      for (size_t i = 0; i < source.catalog->series.size(); ++i) {
        if (source.frame->states[i] != State::ok) continue;
        const Series& series = source.catalog->series[i];
        std::vector<Nanos>& times =
            kept[{source.catalog->devices[static_cast<size_t>(series.device)].id, series.metric}];
        if (!times.empty()) {
          EXPECT_GT(source.frame->wall / kMillisecond, times.back() / kMillisecond)
              << source.name << " after " << who[series.metric] << ", " << info(series.metric).name;
        }
        times.push_back(source.frame->wall);
        who[series.metric] = source.name;
      }
    });
  }

  std::map<std::pair<std::string, MetricId>, std::vector<Nanos>> kept;
  std::map<MetricId, std::string> who;

 private:
  std::vector<Source> sources_;
  std::vector<ArbiterSource> views_;
  Arbiter arbiter_;
  HandOver hand_over_;
  Recycler<Frame> frames_;
  Snapshot shown_;
};

Nanos longest_gap(const std::vector<Nanos>& times) {
  Nanos longest = 0;
  for (size_t i = 1; i < times.size(); ++i) longest = std::max(longest, times[i] - times[i - 1]);
  return longest;
}

TEST(HandOver, APollIsNotHandedOnAgainWhenAnEarlierSourceComesLater) {
  Keeper keeper;
  keeper.add("level_zero", {MetricId::power}, MetricId::power);
  keeper.add("intel_kernel", {MetricId::power, MetricId::fan_speed}, MetricId::power);
  const Nanos tick = 100 * kSecond;
  keeper.poll(1, tick + 2 * kMillisecond);
  keeper.publish(tick + 3 * kMillisecond);
  EXPECT_EQ(keeper.who[MetricId::power], "intel_kernel");
  // It read before the other and tells it afterwards.
  keeper.poll(0, tick + kMillisecond);
  keeper.publish(tick + 4 * kMillisecond);
  keeper.publish(tick + 5 * kMillisecond);
  EXPECT_EQ((keeper.kept[{"0000:4d:00.0", MetricId::power}].size()), 1U);
  EXPECT_EQ((keeper.kept[{"0000:4d:00.0", MetricId::fan_speed}].size()), 1U);
  keeper.poll(1, tick + kInterval);
  keeper.publish(tick + kInterval);
  keeper.poll(0, tick + kInterval);
  keeper.publish(tick + kInterval);
  EXPECT_EQ(keeper.who[MetricId::power], "level_zero");
  EXPECT_EQ((keeper.kept[{"0000:4d:00.0", MetricId::power}].size()), 2U);
  EXPECT_EQ((keeper.kept[{"0000:4d:00.0", MetricId::fan_speed}].size()), 2U);
}

// Both poll at the same ticks, in any order, and fall silent, refuse and recover as they like.
TEST(HandOver, EachInstantOfASeriesComesOnceAndInOrderWhoeverIsBelieved) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](Nanos n) { return std::uniform_int_distribution<Nanos>(0, n - 1)(random); };
    Keeper keeper;
    keeper.add("level_zero", {MetricId::power, MetricId::voltage}, MetricId::power);
    keeper.add("intel_kernel", {MetricId::fan_speed, MetricId::power}, MetricId::power);
    // The second never fails, so that somebody always answers.
    int silent_for = static_cast<int>(below(6)), refuses_for = 0;
    const Nanos start = 100 * kSecond;
    const bool healthy = seed % 3 == 0;  // once the first has come
    for (int tick = 0; tick < 120; ++tick) {
      const Nanos at = start + tick * kInterval;
      if (!healthy && silent_for == 0 && below(25) == 0) silent_for = 1 + static_cast<int>(below(15));
      if (!healthy && refuses_for == 0 && below(25) == 0) refuses_for = 1 + static_cast<int>(below(20));
      // When each reads, and when the agent hears of it.
      struct Arrival {
        size_t source;
        Nanos read, heard;
      };
      std::vector<Arrival> arrivals;
      for (size_t i = 0; i < 2; ++i) {
        if (i == 0 && silent_for > 0) continue;
        const Nanos read = at + below(5 * kMillisecond);
        arrivals.push_back({i, read, read + below(10 * kMillisecond)});
      }
      std::sort(arrivals.begin(), arrivals.end(), [](const auto& a, const auto& b) { return a.heard < b.heard; });
      const bool together = below(4) == 0;
      for (const Arrival& arrival : arrivals) {
        keeper.poll(arrival.source, arrival.read, arrival.source == 0 && refuses_for > 0);
        if (!together || &arrival == &arrivals.back()) keeper.publish(arrival.heard);
      }
      if (below(3) != 0) keeper.publish(at + 20 * kMillisecond + below(500 * kMillisecond));  // somebody else's poll
      if (silent_for > 0) {
        Source& source = keeper[0];
        if (source.live && at - source.frame->monotonic > 3 * kInterval - 20 * kMillisecond) {
          keeper.silence(0, at + 30 * kMillisecond);
          keeper.publish(at + 600 * kMillisecond);
        }
        --silent_for;
      }
      if (refuses_for > 0) --refuses_for;
    }
    EXPECT_EQ((keeper.kept[{"0000:4d:00.0", MetricId::fan_speed}].size()), 120U) << "each poll of who never failed";
    // A change by choice costs nothing. One by need: three intervals of patience and until the successor reads, and if
    // the need arises in the very poll of a change by choice, its interval.
    const Nanos longest = longest_gap(keeper.kept[{"0000:4d:00.0", MetricId::power}]);
    EXPECT_LT(longest, (healthy ? 1 : 6) * kInterval + 50 * kMillisecond);
    EXPECT_TRUE(!healthy || keeper.who[MetricId::power] == "level_zero");
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(HandOver, WhatWasDecidedLaterIsTrueSinceThen) {
  Keeper keeper;
  keeper.add("level_zero", {MetricId::power}, MetricId::power);
  keeper.add("presence", {MetricId::hw_status}, MetricId::power, Shows::presence);
  const Nanos start = 100 * kSecond;
  keeper.poll(1, start);
  keeper.poll(0, start);
  keeper.publish(start);
  EXPECT_EQ((keeper.kept[{"0000:4d:00.0", MetricId::hw_status}].size()), 0U) << "somebody reads the board";
  const Nanos dark = start + 3 * kInterval;
  keeper.silence(0, dark);
  keeper.publish(dark);
  const std::vector<Nanos>& times = keeper.kept[{"0000:4d:00.0", MetricId::hw_status}];
  ASSERT_EQ(times.size(), 1U) << "known at once, not with the next look at the bus";
  EXPECT_EQ(times[0], kWall + dark) << "at the look before, the board was well";
}

}  // namespace
}  // namespace accelmon

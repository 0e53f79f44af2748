#include "store/store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <thread>

#include "store/history.h"
#ifdef ACCELMON_HAVE_RAPIDCHECK
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#endif

namespace accelmon {
namespace {

constexpr Nanos kStart = 1'700'000'040 * kSecond;  // on a minute
constexpr size_t kMany = 1'000'000;
constexpr Nanos kFar = std::numeric_limits<Nanos>::max();

// A source in miniature.
struct Feed {
  explicit Feed(std::string source = "nvml") : name(std::move(source)) {
    CatalogBuilder(raw).add_device({.id = "GPU-1", .index = "0", .vendor = "nvidia", .model = "X"});
  }
  size_t add(MetricId metric, std::vector<Attribute> attributes = {}) {
    return static_cast<size_t>(CatalogBuilder(raw).add(metric, 0, Tier::fast, std::move(attributes)));
  }
  void start() {
    ++raw.generation;
    catalog = std::make_shared<const Catalog>(raw);
    frame.resize(raw.series.size());
  }
  void append(Store& store, Nanos elapsed = kSecond) {
    store.append(name, catalog, frame);
    frame.wall += elapsed;
    frame.monotonic += elapsed;
  }
  std::string key(size_t i) const { return series_key(raw, raw.series[i]); }

  std::string name;
  Catalog raw;
  CatalogPtr catalog;
  Frame frame{.wall = kStart, .monotonic = kSecond};
};

std::vector<double> means(const StoreRange& range) {
  std::vector<double> out;
  for (const StorePoint& point : range.points) out.push_back(point.mean);
  return out;
}

TEST(Store, GivesBackWhatItGotAtFullRate) {
  Store store(1 << 20);
  Feed feed;
  const size_t power = feed.add(MetricId::power);
  const size_t memory = feed.add(MetricId::gpu_memory_usage);
  const size_t energy = feed.add(MetricId::energy);
  feed.start();
  std::vector<double> watts, bytes, joules;
  for (int i = 0; i < 100; ++i) {
    feed.frame.set(power, watts.emplace_back(312.345 + i));
    feed.frame.set(memory, bytes.emplace_back(85'899'345'921.0 + i));
    feed.frame.set(energy, joules.emplace_back(123'456'789.012 + i));
    feed.append(store);
  }
  const StoreRange range = store.query("nvml", feed.key(power), 0, kFar, kMany);
  EXPECT_EQ(range.step, 0);
  EXPECT_EQ(means(range), watts);  // exactly: a float's shortest decimal
  EXPECT_EQ(range.points.front().wall, kStart);
  EXPECT_EQ(range.points.back().wall, kStart + 99 * kSecond);
  EXPECT_EQ(range.points[7].minimum, watts[7]);
  EXPECT_EQ(range.points[7].maximum, watts[7]);
  EXPECT_EQ(means(store.query("nvml", feed.key(memory), 0, kFar, kMany)), bytes);
  EXPECT_EQ(means(store.query("nvml", feed.key(energy), 0, kFar, kMany)), joules);
  EXPECT_EQ(store.full_rate_span(), 99 * kSecond);

  const StoreRange part = store.query("nvml", feed.key(power), kStart + 10 * kSecond, kStart + 12 * kSecond, kMany);
  EXPECT_EQ(means(part), (std::vector<double>{watts[10], watts[11], watts[12]}));
}

TEST(Store, AbsentSamplesHaveNoPoint) {
  Store store(1 << 20);
  Feed feed;
  const size_t power = feed.add(MetricId::power);
  const size_t limit = feed.add(MetricId::power_limit, {{AttributeId::limit, "enforced"}});
  feed.start();
  std::vector<double> there;
  for (int i = 0; i < 60; ++i) {
    feed.frame.absent(power, State::error);
    feed.frame.set(limit, 700);
    if (i % 3 != 1) feed.frame.set(power, there.emplace_back(i));
    if (i == 20) feed.frame.set(power, std::numeric_limits<double>::infinity()), there.pop_back();
    if (i == 37) feed.frame.absent(limit, State::stale);
    feed.append(store);
  }
  EXPECT_EQ(means(store.query("nvml", feed.key(power), 0, kFar, kMany)), there);
  EXPECT_EQ(store.query("nvml", feed.key(limit), 0, kFar, kMany).points.size(), 59u);
}

TEST(Store, UnknownSourcesAndSeriesAreEmpty) {
  Store store(1 << 20);
  Feed feed;
  feed.add(MetricId::power);
  feed.start();
  feed.frame.set(0, 1);
  feed.append(store);
  EXPECT_TRUE(store.query("host", feed.key(0), 0, kFar, kMany).points.empty());
  EXPECT_TRUE(store.query("nvml", "nonsense", 0, kFar, kMany).points.empty());
  EXPECT_TRUE(store.query("nvml", feed.key(0), kFar, 0, kMany).points.empty());
}

TEST(Store, InfosAndSmoothedValuesAreNotKept) {
  Store store(1 << 20);
  Feed feed;
  const size_t info = feed.add(MetricId::device_info);
  const size_t ema = feed.add(MetricId::power_ema, {{AttributeId::window, "10s"}});
  const size_t window = feed.add(MetricId::power_window, {{AttributeId::window, "1m"}, {AttributeId::stat, "max"}});
  const size_t rate = feed.add(MetricId::gpu_io_rate);
  feed.start();
  for (size_t i = 0; i < 4; ++i) feed.frame.set(i, 1);
  feed.append(store);
  for (const size_t i : {info, ema, window})
    EXPECT_TRUE(store.query("nvml", feed.key(i), 0, kFar, kMany).points.empty());
  EXPECT_EQ(store.query("nvml", feed.key(rate), 0, kFar, kMany).points.size(), 1u);
}

TEST(Store, CoarseTiersHoldMinMeanMaxOfTheirSpans) {
  Store store(1 << 20);
  Feed feed;
  const size_t power = feed.add(MetricId::power);
  const size_t energy = feed.add(MetricId::energy);
  feed.start();
  for (int i = 0; i < 125; ++i) {
    feed.frame.set(power, i);
    feed.frame.set(energy, 1000 + i);
    feed.append(store);
  }
  const StoreRange tens = store.query("nvml", feed.key(power), 0, kFar, 13);
  EXPECT_EQ(tens.step, 10 * kSecond);
  ASSERT_EQ(tens.points.size(), 13u);
  EXPECT_EQ(tens.points[1].wall, kStart + 19 * kSecond);  // the last row of the span
  EXPECT_EQ(tens.points[1].minimum, 10);
  EXPECT_EQ(tens.points[1].mean, 14.5);
  EXPECT_EQ(tens.points[1].maximum, 19);
  EXPECT_EQ(tens.points[12].mean, 122);  // the running span counts
  EXPECT_EQ(tens.points[12].wall, kStart + 124 * kSecond);

  const StoreRange minutes = store.query("nvml", feed.key(power), 0, kFar, 12);
  EXPECT_EQ(minutes.step, 60 * kSecond);
  ASSERT_EQ(minutes.points.size(), 3u);
  EXPECT_EQ(minutes.points[0].mean, 29.5);
  EXPECT_EQ(minutes.points[1].minimum, 60);
  EXPECT_EQ(minutes.points[1].maximum, 119);
  EXPECT_EQ(minutes.points[2].minimum, 120);
  EXPECT_EQ(minutes.points[2].maximum, 124);

  // Of a counter the last total of each span: growth between two points is exact.
  const StoreRange totals = store.query("nvml", feed.key(energy), 0, kFar, 3);
  EXPECT_EQ(means(totals), (std::vector<double>{1059, 1119, 1124}));
  EXPECT_EQ(totals.points[0].minimum, 1059);
  // More are asked for than the coarsest can give less of.
  EXPECT_EQ(store.query("nvml", feed.key(energy), 0, kFar, 1).points.size(), 3u);
}

TEST(Store, TheFinestTierThatReachesBackAnswers) {
  Store store(64 << 10);
  Feed feed;
  for (int i = 0; i < 20; ++i) feed.add(MetricId::temperature, {{AttributeId::sensor_location, std::to_string(i)}});
  feed.start();
  const int rows = 3000;
  for (int i = 0; i < rows; ++i) {
    for (size_t k = 0; k < 20; ++k) feed.frame.set(k, (i * 7 + static_cast<int>(k)) % 100);
    feed.append(store);
  }
  const Nanos now = feed.frame.wall - kSecond;
  EXPECT_EQ(store.query("nvml", feed.key(3), now - 60 * kSecond, now, kMany).step, 0);
  EXPECT_EQ(store.query("nvml", feed.key(3), now - 60 * kSecond, now, kMany).points.size(), 61u);
  const Nanos span = store.full_rate_span();
  EXPECT_GT(span, 100 * kSecond);
  EXPECT_LT(span, rows * kSecond);
  EXPECT_NE(store.query("nvml", feed.key(3), now - span - 20 * kSecond, now, kMany).step, 0);
  EXPECT_EQ(store.query("nvml", feed.key(3), 0, now, kMany).step, 60 * kSecond);
  EXPECT_LE(store.bytes(), store.limit());
}

TEST(Store, AWallClockThatJumpsKeepsEveryRowInOrder) {
  Store store(1 << 20);
  Feed feed;
  feed.add(MetricId::power);
  feed.start();
  for (int i = 0; i < 50; ++i) {
    feed.frame.set(0, i);
    feed.append(store);
    if (i == 24) feed.frame.wall -= 3600 * kSecond;
  }
  const StoreRange range = store.query("nvml", feed.key(0), 0, kFar, kMany);
  ASSERT_EQ(range.points.size(), 50u);
  EXPECT_EQ(range.points[0].mean, 25);
  EXPECT_EQ(range.points[49].mean, 24);
  EXPECT_EQ(store.full_rate_span(), 49 * kSecond);
}

TEST(Store, AColumnFollowsItsSeriesOverChangesOfTheCatalog) {
  Store store(1 << 20);
  Feed feed;
  feed.add(MetricId::power);
  feed.add(MetricId::energy);
  feed.start();
  for (int i = 0; i < 5; ++i) {
    feed.frame.set(0, 100 + i);
    feed.frame.set(1, 7);
    feed.append(store);
  }
  const std::string power = feed.key(0);
  const std::string energy = feed.key(1);
  feed.raw.series.erase(feed.raw.series.begin() + 1);
  feed.raw.series.insert(feed.raw.series.begin(), Series{MetricId::gpu_memory_usage, 0, Tier::fast, {}});
  feed.start();
  for (int i = 5; i < 40; ++i) {
    feed.frame.set(0, 1e9);
    feed.frame.set(1, 100 + i);
    feed.append(store);
  }
  const StoreRange range = store.query("nvml", power, 0, kFar, kMany);
  ASSERT_EQ(range.points.size(), 40u);
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(range.points[i].mean, 100.0 + static_cast<double>(i));
  EXPECT_EQ(store.query("nvml", energy, 0, kFar, kMany).points.size(), 5u);
  EXPECT_EQ(store.query("nvml", feed.key(0), 0, kFar, kMany).points.size(), 35u);
}

TEST(Store, IsSmallWhileItIsYoung) {
  Store store(16 << 20);
  EXPECT_LT(store.bytes(), 16u << 10);
  Feed feed;
  for (int i = 0; i < 100; ++i) feed.add(MetricId::temperature, {{AttributeId::sensor_location, std::to_string(i)}});
  feed.start();
  for (int k = 0; k < 10; ++k) {
    for (size_t i = 0; i < 100; ++i) feed.frame.set(i, static_cast<double>(i));
    feed.append(store);
  }
  EXPECT_LT(store.bytes(), 32u << 10);
  EXPECT_EQ(store.limit(), 16u << 20);
}

TEST(Store, ProcessChurnDoesNotGrowIt) {
  Store store(512 << 10);
  Feed feed;
  const size_t power = feed.add(MetricId::power);
  size_t most = 0;
  for (int generation = 0; generation < 10'000; ++generation) {
    feed.raw.series.resize(1);
    for (int i = 0; i < 5; ++i)
      feed.add(MetricId::process_memory, {{AttributeId::process_pid, std::to_string(generation * 3 + i)},
                                          {AttributeId::process_name, std::string(100, 'x')}});
    feed.start();
    feed.frame.set(power, generation % 500);
    for (size_t i = 1; i < feed.raw.series.size(); ++i) feed.frame.set(i, generation * 4096.0 + static_cast<double>(i));
    feed.append(store);
    most = std::max(most, store.bytes());
    if (generation % 1000 == 999) {
      const StoreRange recent =
          store.query("nvml", feed.key(power), feed.frame.wall - 31 * kSecond, feed.frame.wall, kMany);
      ASSERT_EQ(recent.points.size(), 31u) << generation;
      EXPECT_EQ(recent.points.back().mean, generation % 500);
      // The first process was there in the generation before, too; the third is new.
      EXPECT_EQ(store.query("nvml", feed.key(1), recent.points[0].wall, kFar, kMany).points.size(), 2u);
      EXPECT_EQ(store.query("nvml", feed.key(3), recent.points[0].wall, kFar, kMany).points.size(), 1u);
    }
  }
  EXPECT_LE(most, store.limit());
  EXPECT_GT(store.full_rate_span(), 60 * kSecond);
}

TEST(Store, MoreSeriesThanThereIsRoomForDoNotBreakTheBound) {
  Store store(64 << 10);
  Feed feed;
  for (int i = 0; i < 5000; ++i) feed.add(MetricId::temperature, {{AttributeId::sensor_location, std::to_string(i)}});
  feed.start();
  for (int k = 0; k < 200; ++k) {
    for (size_t i = 0; i < 5000; ++i) feed.frame.set(i, static_cast<double>((static_cast<size_t>(k) + i) % 100));
    feed.append(store);
    ASSERT_LE(store.bytes(), store.limit());
    if (k == 100) feed.start();
  }
  for (const size_t tiny : {size_t{0}, size_t{1}, size_t{9000}, size_t{10000}}) {
    Store none(tiny);
    for (int k = 0; k < 40; ++k) feed.append(none);
    none.query("nvml", feed.key(0), 0, kFar, kMany);
  }
}

TEST(Store, ASilentSourceGivesWayToAnActiveOne) {
  Store store(64 << 10);
  Feed silent("amd");
  Feed active("nvml");
  for (Feed* feed : {&silent, &active}) {
    for (int i = 0; i < 20; ++i) feed->add(MetricId::temperature, {{AttributeId::sensor_location, std::to_string(i)}});
    feed->start();
  }
  const auto fill = [&](Feed& feed, int rows) {
    for (int k = 0; k < rows; ++k) {
      for (size_t i = 0; i < 20; ++i) feed.frame.set(i, (k * 7 + static_cast<int>(i)) % 100);
      feed.append(store);
    }
  };
  fill(silent, 100);
  EXPECT_EQ(store.query("amd", silent.key(0), 0, kFar, kMany).points.size(), 100u);
  fill(active, 20000);
  EXPECT_TRUE(store.query("amd", silent.key(0), 0, kFar, kMany).points.empty());
  silent.frame.wall = active.frame.wall;
  fill(silent, 10);
  EXPECT_EQ(store.query("amd", silent.key(0), silent.frame.wall - 10 * kSecond, kFar, kMany).points.size(), 10u);
  EXPECT_LE(store.bytes(), store.limit());
}

TEST(Store, FramesThatDoNotFitTheirCatalogAreRefused) {
  Store store(1 << 20);
  Feed feed;
  feed.add(MetricId::power);
  feed.start();
  feed.frame.resize(0);
  feed.append(store);
  store.append("nvml", nullptr, feed.frame);
  EXPECT_TRUE(store.query("nvml", feed.key(0), 0, kFar, kMany).points.empty());
  feed.frame.resize(1);
  feed.frame.set(0, 5);
  for (const Nanos time : {std::numeric_limits<Nanos>::min(), kFar, Nanos{0}, Nanos{-1}}) {
    feed.frame.wall = feed.frame.monotonic = time;
    store.append("nvml", feed.catalog, feed.frame);
  }
  EXPECT_EQ(store.query("nvml", feed.key(0), std::numeric_limits<Nanos>::min(), kFar, kMany).points.size(), 4u);
  EXPECT_GE(store.full_rate_span(), 0);
  for (int i = 0; i < 100; ++i) store.append("source" + std::to_string(i), feed.catalog, feed.frame);
  EXPECT_LE(store.bytes(), store.limit());
}

TEST(Forms, CountersAndWhatFloatsCannotHoldAreDoubles) {
  using store::Form;
  EXPECT_EQ(store::form_of(MetricId::energy), Form::total);
  EXPECT_EQ(store::form_of(MetricId::agent_start_time), Form::total);
  EXPECT_EQ(store::form_of(MetricId::gpu_memory_usage), Form::wide);
  EXPECT_EQ(store::form_of(MetricId::process_memory), Form::wide);
  for (const MetricId narrow : {MetricId::power, MetricId::temperature, MetricId::gpu_utilization,
                                MetricId::throttle_share, MetricId::clock_frequency, MetricId::gpu_io_rate})
    EXPECT_EQ(store::form_of(narrow), Form::narrow) << info(narrow).name;
}

TEST(Store, ReadersAndTheWriterDoNotDisturbEachOther) {
  Store store(128 << 10);
  Feed feed;
  for (int i = 0; i < 30; ++i) feed.add(MetricId::temperature, {{AttributeId::sensor_location, std::to_string(i)}});
  feed.start();
  const std::string key = feed.key(4);
  std::atomic<bool> done{false};
  std::atomic<uint64_t> wrong{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r)
    readers.emplace_back([&, r] {
      while (!done.load()) {
        const StoreRange range = store.query("nvml", key, r == 0 ? 0 : kStart + 500 * kSecond, kFar, 400);
        for (const StorePoint& point : range.points)
          if (!(point.minimum <= point.mean && point.mean <= point.maximum) || point.maximum > 99) ++wrong;
        if (store.bytes() > store.limit() || store.full_rate_span() < 0) ++wrong;
      }
    });
  for (int k = 0; k < 5000; ++k) {
    if (k % 500 == 0) feed.start();
    for (size_t i = 0; i < 30; ++i) feed.frame.set(i, (k * 7 + static_cast<int>(i)) % 100);
    feed.append(store);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0u);
}

#ifdef ACCELMON_HAVE_RAPIDCHECK

// The history by its definition.
struct Model {
  struct Row {
    Nanos wall;
    std::map<std::string, double> values;
  };
  std::vector<Row> rows;

  std::vector<StorePoint> full(const std::string& key) const {
    std::vector<StorePoint> points;
    for (const Row& row : rows)
      if (const auto found = row.values.find(key); found != row.values.end())
        points.push_back({row.wall, found->second, found->second, found->second});
    return points;
  }
  std::vector<StorePoint> coarse(const std::string& key, Nanos step, bool total) const {
    std::vector<StorePoint> points;
    StorePoint point;
    int count = 0;
    const auto end = [&](Nanos wall) {
      if (count > 0) {
        point.wall = wall;
        if (total)
          point.minimum = point.maximum = point.mean;
        else
          point.mean /= count;
        points.push_back(point);
      }
      count = 0;
    };
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i > 0 && rows[i].wall / step != rows[i - 1].wall / step) end(rows[i - 1].wall);
      const auto found = rows[i].values.find(key);
      if (found == rows[i].values.end()) continue;
      const double value = found->second;
      if (count++ == 0)
        point = {0, value, value, value};
      else
        point = {0, std::min(point.minimum, value), total ? value : point.mean + value, std::max(point.maximum, value)};
    }
    if (!rows.empty()) end(rows.back().wall);
    return points;
  }
};

bool same(const std::vector<StorePoint>& a, const std::vector<StorePoint>& b) {
  const auto near = [](double x, double y) { return std::abs(x - y) <= 2e-7 * std::abs(y); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const StorePoint& x, const StorePoint& y) {
    return x.wall == y.wall && near(x.minimum, y.minimum) && near(x.mean, y.mean) && near(x.maximum, y.maximum);
  });
}

// Random rows of series that come and go, into a store and the model.
struct Act {
  int kind;
  int value;
  Nanos elapsed;
};
rc::Gen<std::vector<Act>> acts(int size) {
  return rc::gen::resize(
      size, rc::gen::container<std::vector<Act>>(rc::gen::map(
                rc::gen::tuple(rc::gen::inRange(0, 40), rc::gen::inRange(0, 6), rc::gen::inRange<Nanos>(1, 12)),
                [](const std::tuple<int, int, Nanos>& of) {
                  return Act{std::get<0>(of), std::get<1>(of), std::get<2>(of) * 250 * kMillisecond};
                })));
}

const Series kSeries[] = {{MetricId::power, 0, Tier::fast, {}},
                          {MetricId::energy, 0, Tier::fast, {}},
                          {MetricId::gpu_memory_usage, 0, Tier::fast, {}},
                          {MetricId::gpu_utilization, 0, Tier::slow, {}},
                          {MetricId::link_up, 0, Tier::slow, {{AttributeId::link, "1"}}}};

void play(const std::vector<Act>& script, Store& store, Feed& feed, Model& model) {
  unsigned present = 31;
  const auto rebuild = [&] {
    feed.raw.series.clear();
    for (unsigned i = 0; i < std::size(kSeries); ++i)
      if ((present >> i) & 1u) feed.raw.series.push_back(kSeries[i]);
    feed.start();
  };
  rebuild();
  for (size_t k = 0; k < script.size(); ++k) {
    const Act& act = script[k];
    if (act.kind < 5) {
      present ^= 1u << act.kind;
      rebuild();
    }
    Model::Row row{feed.frame.wall, {}};
    for (size_t i = 0; i < feed.raw.series.size(); ++i) {
      const double value = feed.raw.series[i].metric == MetricId::link_up ? act.value % 2
                           : act.value < 3                                ? 1.0
                                                                          : act.value * 100.5 + static_cast<double>(i);
      if ((static_cast<size_t>(act.kind) + i) % 7 == 6) {
        feed.frame.absent(i, State::error);
      } else {
        feed.frame.set(i, value);
        row.values[feed.key(i)] = value;
      }
    }
    model.rows.push_back(row);
    feed.append(store, act.elapsed);
    RC_ASSERT(store.bytes() <= store.limit());
  }
  feed.raw.series.assign(std::begin(kSeries), std::end(kSeries));
}

RC_GTEST_PROP(StoreProperty, ABigStoreIsTheModel, ()) {
  Store store(4 << 20);
  Feed feed;
  Model model;
  play(*acts(600), store, feed, model);
  for (size_t i = 0; i < std::size(kSeries); ++i) {
    const std::string key = feed.key(i);
    const std::vector<StorePoint> full = model.full(key);
    RC_ASSERT(same(store.query("nvml", key, 0, kFar, kMany).points, full));
    if (full.empty()) continue;
    const bool total = kSeries[i].metric == MetricId::energy;
    const std::vector<StorePoint> tens = model.coarse(key, 10 * kSecond, total);
    if (tens.size() < full.size()) {
      const StoreRange range = store.query("nvml", key, 0, kFar, full.size() - 1);
      RC_ASSERT(range.step == 10 * kSecond);
      RC_ASSERT(same(range.points, tens));
    }
    const std::vector<StorePoint> minutes = model.coarse(key, 60 * kSecond, total);
    const StoreRange range = store.query("nvml", key, 0, kFar, 0);
    RC_ASSERT(range.step == 60 * kSecond);
    RC_ASSERT(same(range.points, minutes));
  }
}

RC_GTEST_PROP(StoreProperty, ASmallStoreHoldsTheNewestOfTheModelWithoutHoles, ()) {
  constexpr size_t outside = 8192;  // more than is held outside the cells
  Store store(outside + static_cast<size_t>(*rc::gen::inRange(0, 20'000)));
  Feed feed;
  Model model;
  play(*acts(600), store, feed, model);
  for (size_t i = 0; i < std::size(kSeries); ++i) {
    const std::string key = feed.key(i);
    // From the newest rows backwards: as long as full rate answers, it answers with all of them.
    for (const Nanos back : {5 * kSecond, 30 * kSecond, 100 * kSecond, 10'000 * kSecond}) {
      const Nanos from = feed.frame.wall - back;
      const StoreRange range = store.query("nvml", key, from, kFar, kMany);
      if (range.step != 0) continue;
      std::vector<StorePoint> wanted = model.full(key);
      wanted.erase(std::remove_if(wanted.begin(), wanted.end(), [&](const StorePoint& p) { return p.wall < from; }),
                   wanted.end());
      if (store.limit() < outside + 15'000) {
        // So little memory that even the open block may not fit: what is there must still be true.
        for (const StorePoint& point : range.points)
          RC_ASSERT(std::any_of(wanted.begin(), wanted.end(), [&](const StorePoint& p) { return same({p}, {point}); }));
      } else {
        RC_ASSERT(same(range.points, wanted));
      }
    }
  }
}

#endif  // ACCELMON_HAVE_RAPIDCHECK

}  // namespace
}  // namespace accelmon

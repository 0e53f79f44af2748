#include "pipeline/pipeline.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/text.h"
#include "pipeline/pipeline_test_support.h"

namespace accelmon::pipeline_test {
namespace {

std::vector<std::string> texts(const Series& series) {
  std::vector<std::string> out;
  for (const Attribute& attribute : series.attributes)
    out.push_back(std::string(info(attribute.id).key) + "=" + attribute.value);
  return out;
}

TEST(Catalogs, RawSeriesKeepTheirIndicesAndDerivedOnesFollow) {
  Rig rig;
  rig.raw.generation = 42;
  CatalogBuilder(rig.raw).absent(MetricId::fan_speed, 0, State::unsupported, "no fan");
  CatalogBuilder(rig.raw).fact("library", "x");
  rig.add(MetricId::gpu_utilization, general());
  rig.add(MetricId::power, board("instant"), Tier::slow);
  rig.start();
  EXPECT_EQ(rig.catalog->generation, 42u);
  EXPECT_EQ(rig.catalog->devices, rig.raw.devices);
  EXPECT_EQ(rig.catalog->absences, rig.raw.absences);
  EXPECT_EQ(rig.catalog->facts, rig.raw.facts);
  for (size_t i = 0; i < rig.raw.series.size(); ++i) EXPECT_EQ(rig.catalog->series[i], rig.raw.series[i]);

  // busy time, 2 EMA, 4 windows; energy, 2 EMA, 4 windows
  EXPECT_EQ(rig.catalog->series.size(), 2u + 7u + 7u);
  const int window = rig.find(MetricId::power_window, {{AttributeId::stat, "p95"}});
  ASSERT_GE(window, 0);
  const Series& series = rig.catalog->series[static_cast<size_t>(window)];
  EXPECT_EQ(series.tier, Tier::slow);
  EXPECT_EQ(texts(series), (std::vector<std::string>{"accelmon.power.scope=gpu", "accelmon.power.reading=instant",
                                                     "window=1m", "stat=p95"}));
  const int ema = rig.find(MetricId::gpu_utilization_ema, {{AttributeId::window, "10s"}});
  ASSERT_GE(ema, 0);
  EXPECT_EQ(texts(rig.catalog->series[static_cast<size_t>(ema)]),
            (std::vector<std::string>{"hw.gpu.task=general", "window=10s"}));
  EXPECT_GE(rig.find(MetricId::gpu_utilization_ema, {{AttributeId::window, "1m"}}), 0);
  EXPECT_TRUE(rig.catalog->series[static_cast<size_t>(rig.find(MetricId::energy))].attributes.empty());
}

TEST(Catalogs, WhatTheCollectorGivesIsNotDerived) {
  Rig rig;
  rig.add(MetricId::power, board("instant"));
  rig.add(MetricId::energy);
  rig.add(MetricId::throttle_active, reason("power_cap"));
  rig.add(MetricId::throttle_active, reason("idle"));
  rig.add(MetricId::throttle_time, reason("power_cap"));
  rig.add(MetricId::gpu_io, {{AttributeId::io_direction, "receive"}});
  rig.add(MetricId::gpu_io_rate, {{AttributeId::io_direction, "receive"}});
  rig.start();
  const auto count = [&](MetricId metric) {
    return std::count_if(rig.catalog->series.begin(), rig.catalog->series.end(),
                         [&](const Series& series) { return series.metric == metric; });
  };
  EXPECT_EQ(count(MetricId::energy), 1);
  EXPECT_EQ(count(MetricId::throttle_time), 2);  // the native one, and idle's
  EXPECT_EQ(count(MetricId::throttle_share), 2);
  EXPECT_EQ(count(MetricId::throttle_share_window), 1);  // idle is no throttling
  EXPECT_EQ(count(MetricId::gpu_io_rate), 1);
}

TEST(Catalogs, BusyTimeIsOfTheWholeDevice) {
  Rig rig;
  rig.add(MetricId::gpu_utilization, {{AttributeId::gpu_task, "encoder"}});
  rig.start();
  EXPECT_EQ(rig.find(MetricId::gpu_busy_time), -1);
  rig.add(MetricId::gpu_utilization, general());
  rig.start();
  EXPECT_GE(rig.find(MetricId::gpu_busy_time), 0);
}

TEST(Catalogs, EnergyComesFromTheBoardAndFromTheInstantReading) {
  Rig rig;
  const auto add = [&](const char* scope, const char* reading, double watts) {
    const int i = rig.add(MetricId::power, {{AttributeId::power_scope, scope}, {AttributeId::power_reading, reading}});
    rig.start();
    for (int k = 0; k < i; ++k) rig.in.set(static_cast<size_t>(k), 0);
    rig.in.set(static_cast<size_t>(i), watts);
  };
  add("memory", "instant", 10);
  EXPECT_EQ(rig.find(MetricId::energy), -1);
  EXPECT_EQ(rig.find(MetricId::power_ema), -1);
  double before = 0;
  for (const auto& [scope, reading] : std::vector<std::pair<const char*, const char*>>{
           {"module", "average"}, {"module", "instant"}, {"gpu", "average"}, {"gpu", "instant"}}) {
    add(scope, reading, 100);  // all others 0: energy that grows by 100 W comes from this one
    rig.poll(1);
    rig.poll(1);
    EXPECT_DOUBLE_EQ(rig.value(MetricId::energy) - before, 100) << scope << reading;
    before = rig.value(MetricId::energy);
  }
  EXPECT_EQ(rig.find(MetricId::power_ema, {{AttributeId::power_scope, "module"}}), -1);
  EXPECT_GE(rig.find(MetricId::power_ema, {{AttributeId::power_scope, "gpu"}}), 0);
}

TEST(Catalogs, AFullCatalogSaysWhatWasLeftOut) {
  Rig rig;
  for (size_t i = 0; i < kMaxSeries; ++i) rig.add(MetricId::throttle_active, reason(("r" + std::to_string(i)).c_str()));
  rig.start();
  EXPECT_EQ(rig.catalog->series.size(), kMaxSeries);
  ASSERT_EQ(rig.catalog->facts.size(), 1u);
  EXPECT_EQ(rig.catalog->facts[0].second, std::to_string(kMaxSeries));
}

TEST(Rates, AreGrowthOverRealTime) {
  Rig rig;
  rig.add(MetricId::gpu_io, {{AttributeId::io_direction, "receive"}});
  rig.start();
  rig.feed(1e6);
  EXPECT_EQ(rig.state(MetricId::gpu_io_rate), State::not_ready);
  rig.feed(1e6 + 500, 0.5);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 1000);
  rig.feed(1e6 + 500, 2);
  EXPECT_EQ(rig.value(MetricId::gpu_io_rate), 0);
  rig.feed(1e6 + 800, 3);  // exactly three intervals: no gap yet
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 100);
  rig.feed(1e6 + 900, 3.5);
  EXPECT_EQ(rig.state(MetricId::gpu_io_rate), State::not_ready);
  rig.feed(1e6 + 1000, 1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 100);
}

TEST(Rates, AreNotReadyOnceAfterAResetAndSpanAHeldSample) {
  Rig rig;
  rig.add(MetricId::gpu_io, {{AttributeId::io_direction, "receive"}});
  rig.start();
  rig.feed(5000);
  rig.feed(6000);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 1000);
  rig.feed(10);
  EXPECT_EQ(rig.state(MetricId::gpu_io_rate), State::implausible);
  rig.feed(20);
  EXPECT_EQ(rig.state(MetricId::gpu_io), State::ok);
  EXPECT_EQ(rig.state(MetricId::gpu_io_rate), State::not_ready);
  rig.feed(50);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 30);
  rig.feed(0);  // a glitch
  rig.feed(250);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 100);  // 200 over two seconds
  rig.in.absent(0, State::error);
  rig.poll(1);
  EXPECT_EQ(rig.state(MetricId::gpu_io_rate), State::error);
}

TEST(Rates, NeedAClockThatMoves) {
  Rig rig;
  rig.add(MetricId::gpu_io, {{AttributeId::io_direction, "receive"}});
  rig.start();
  rig.feed(100);
  rig.feed(200, 0);
  EXPECT_EQ(rig.state(MetricId::gpu_io_rate), State::not_ready);
  rig.feed(300, 0);
  EXPECT_EQ(rig.state(MetricId::gpu_io_rate), State::not_ready);
  rig.feed(600, 1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 500);
  rig.in.set(0, 700);
  rig.poll_after(-100 * kSecond);
  EXPECT_EQ(rig.state(MetricId::gpu_io_rate), State::not_ready);
  rig.feed(900, 1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 200);
}

TEST(Rates, AShareOfABitMoreThanAllIsAll) {
  Rig rig;
  rig.add(MetricId::pressure_time, {{AttributeId::resource, "cpu"}, {AttributeId::pressure_scope, "some"}});
  rig.start();
  rig.feed(10);
  rig.feed(11.003);
  EXPECT_EQ(rig.value(MetricId::pressure_share), 1);
}

TEST(Rates, TheWallClockChangesNothing) {
  Rig rig;
  rig.add(MetricId::gpu_io, {{AttributeId::io_direction, "receive"}});
  rig.start();
  rig.feed(100);
  rig.in.wall -= 3600 * kSecond;
  rig.feed(200);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 100);
  rig.in.wall += 7200 * kSecond;
  rig.feed(400);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_io_rate), 200);
}

TEST(Integrals, UtilizationHoldsTheNewValueOverThePeriodItDescribes) {
  Rig rig;
  rig.add(MetricId::gpu_utilization, general());
  rig.start();
  rig.feed(0.5);
  EXPECT_EQ(rig.value(MetricId::gpu_busy_time), 0);
  rig.feed(1, 2);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_busy_time), 2);
  rig.feed(0.25, 1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::gpu_busy_time), 2.25);
}

TEST(Integrals, AStateHoldsUntilItIsSeenToChangeAndTheChainFollows) {
  Rig rig;
  rig.add(MetricId::throttle_active, reason("power_cap"));
  rig.start();
  rig.feed(1);
  EXPECT_EQ(rig.value(MetricId::throttle_time), 0);
  EXPECT_EQ(rig.state(MetricId::throttle_share), State::not_ready);
  EXPECT_EQ(rig.state(MetricId::throttle_share_window), State::not_ready);
  rig.feed(0, 1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_time), 1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_share), 1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_share_window), 1);
  rig.feed(1, 3);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_time), 1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_share), 0);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_share_window), 0.25);  // one second of four
  EXPECT_EQ(rig.catalog->series[static_cast<size_t>(rig.find(MetricId::throttle_share_window))].attributes.back(),
            (Attribute{AttributeId::stat, "mean"}));
}

TEST(Integrals, AShareDoesNotClaimThatNothingHappenedWhileTheStateWasUnread) {
  Rig rig;
  rig.add(MetricId::throttle_active, reason("power_cap"));
  rig.start();
  rig.feed(1);
  rig.feed(1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_share), 1);
  rig.in.absent(0, State::error);
  rig.poll(1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_share), 1);  // the last one known, not 0
  rig.feed(1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_share), 1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::throttle_time), 3);
}

TEST(Integrals, InstantPowerIsJoinedByLines) {
  Rig rig;
  rig.add(MetricId::power, board("instant"));
  rig.start();
  rig.feed(100);
  rig.feed(300, 2);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 400);
  Rig average;
  average.add(MetricId::power, board("average"));
  average.start();
  average.feed(100);
  average.feed(300, 2);
  EXPECT_DOUBLE_EQ(average.value(MetricId::energy), 600);
}

TEST(Integrals, AGapAddsNothingAndTheTotalIsGoneOnlyWhileNothingIsRead) {
  Rig rig;
  rig.add(MetricId::power, board("instant"));
  rig.start();
  rig.feed(100);
  rig.feed(100);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 100);
  rig.feed(100, 3);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 400);
  rig.feed(100, 3.001);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 400);
  rig.in.absent(0, State::error);
  rig.poll(3);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 400);
  rig.poll(1);
  EXPECT_EQ(rig.state(MetricId::energy), State::error);
  rig.feed(100);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 400);
  rig.feed(100);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 500);
}

TEST(Integrals, SurviveChangesOfTheCatalogAndADeviceThatComesBack) {
  Rig rig;
  rig.add(MetricId::power, board("instant"));
  rig.start();
  rig.feed(100);
  rig.feed(100);
  rig.raw.generation = 2;
  rig.raw.series.insert(rig.raw.series.begin(), Series{MetricId::gpu_memory_usage, 0, Tier::fast, {}});
  rig.start();
  rig.in.set(0, 5);
  rig.in.set(1, 100);
  rig.poll(1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 200);

  const Catalog whole = rig.raw;
  rig.raw = Catalog{.generation = 3};
  rig.start();
  rig.poll(1);
  EXPECT_EQ(rig.find(MetricId::energy), -1);
  rig.raw = whole;
  rig.raw.generation = 4;
  rig.start();
  rig.in.set(1, 100);
  rig.poll(1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 200);
  rig.poll(1);
  EXPECT_DOUBLE_EQ(rig.value(MetricId::energy), 300);
}

TEST(Smoothing, EmaStartsAtTheFirstSampleAndFollowsRealTime) {
  Rig rig;
  rig.add(MetricId::gpu_memory_utilization);
  rig.start();
  rig.feed(0.8);
  const int ema = rig.find(MetricId::memory_utilization_ema, {{AttributeId::window, "10s"}});
  EXPECT_EQ(rig.value(ema), 0.8);
  rig.feed(0.2, 5);
  EXPECT_NEAR(rig.value(ema), 0.2 + 0.6 * std::exp(-0.5), 1e-15);
  rig.feed(0.2, 2);
  EXPECT_NEAR(rig.value(ema), 0.2 + 0.6 * std::exp(-0.7), 1e-15);
}

TEST(Smoothing, EmaSpansAMissedSampleAndThenSaysWhy) {
  Rig rig;
  rig.add(MetricId::gpu_memory_utilization);
  rig.start();
  rig.feed(0.8);
  const int ema = rig.find(MetricId::memory_utilization_ema, {{AttributeId::window, "10s"}});
  rig.in.absent(0, State::error);
  rig.poll(2);
  EXPECT_EQ(rig.value(ema), 0.8);
  rig.poll(2);
  EXPECT_EQ(rig.state(ema), State::error);
  rig.feed(0.2, 1);
  EXPECT_NEAR(rig.value(ema), 0.2 + 0.6 * std::exp(-0.5), 1e-15);
}

TEST(Ages, ATierThatIsNotReadRepeatsAndThenGoesStale) {
  Rig rig;
  const int power = rig.add(MetricId::power, board("instant"), Tier::slow);
  rig.add(MetricId::gpu_memory_usage);
  rig.start();
  rig.in.set(0, 100);
  rig.in.set(1, 1);
  rig.poll(1, kAll);
  rig.in.set(0, 4000);  // must not be looked at: the tier is not fresh
  rig.in.set(1, 2);
  rig.poll(30, kFast);
  EXPECT_EQ(rig.value(power), 100);
  EXPECT_EQ(rig.value(MetricId::gpu_memory_usage), 2);
  EXPECT_EQ(rig.out.fresh, kFast);
  rig.poll(0.001, kFast);
  EXPECT_EQ(rig.state(power), State::stale);
  EXPECT_EQ(rig.state(MetricId::energy), State::stale);
  EXPECT_EQ(rig.state(MetricId::power_ema), State::stale);
  EXPECT_EQ(rig.state(MetricId::power_window), State::stale);
  EXPECT_EQ(rig.state(MetricId::gpu_memory_usage), State::ok);
  rig.poll(1, kAll);
  EXPECT_EQ(rig.value(power), 4000);
  EXPECT_EQ(rig.value(MetricId::energy), 0);  // the gap is not integrated over
}

TEST(Ages, WhatWasReadBeforeTheFirstFrameCounts) {
  Rig rig;
  rig.add(MetricId::gpu_memory_usage, {}, Tier::rare);
  rig.start();
  rig.in.set(0, 7);
  rig.in.read_at[2] = rig.in.monotonic - 10 * kSecond;
  rig.poll(0, kFast);
  EXPECT_EQ(rig.value(MetricId::gpu_memory_usage), 7);
  rig.poll(171, kFast);
  EXPECT_EQ(rig.state(MetricId::gpu_memory_usage), State::stale);
}

TEST(Frames, CarryTheCollectorsStamps) {
  Rig rig;
  rig.add(MetricId::gpu_memory_usage);
  rig.start();
  rig.in.duration = 5;
  rig.feed(1);
  EXPECT_EQ(rig.out.generation, 1u);
  EXPECT_EQ(rig.out.sequence, rig.in.sequence);
  EXPECT_EQ(rig.out.wall, rig.in.wall);
  EXPECT_EQ(rig.out.monotonic, rig.in.monotonic);
  EXPECT_EQ(rig.out.duration, 5);
  EXPECT_EQ(rig.out.read_at, rig.in.read_at);
}

TEST(Status, IsTheWorstOfWhatTheDeviceShows) {
  Rig rig;
  const auto state_of = [](const char* name) { return std::vector<Attribute>{{AttributeId::row_state, name}}; };
  const int throttle = rig.add(MetricId::throttle_active, reason("thermal_hardware"));
  rig.add(MetricId::throttle_active, reason("power_cap"));
  const int pending = rig.add(MetricId::memory_rows, state_of("pending"), Tier::slow);
  const int failed = rig.add(MetricId::memory_rows, state_of("failed"), Tier::slow);
  rig.add(MetricId::memory_rows, state_of("remapped_uncorrected"), Tier::slow);
  const int reset = rig.add(MetricId::recovery_action, state_of("gpu_reset"), Tier::slow);
  rig.add(MetricId::recovery_action, state_of("none"), Tier::slow);
  rig.start();
  const auto status = [&] {
    std::string shown;
    for (const char* name : {"ok", "degraded", "predicted_failure", "failed"})
      if (rig.value(MetricId::hw_status, {{AttributeId::hw_state, name}}) == 1) shown += name;
    return shown;
  };
  for (size_t i = 0; i < rig.raw.series.size(); ++i) rig.in.set(i, 0);
  rig.in.set(1, 1);  // a power cap is no defect
  rig.in.set(4, 3);
  rig.in.set(6, 1);
  rig.poll(1);
  EXPECT_EQ(status(), "ok");
  rig.in.set(static_cast<size_t>(throttle), 1);
  rig.poll(1);
  EXPECT_EQ(status(), "degraded");
  rig.in.set(static_cast<size_t>(failed), 1);
  rig.in.set(static_cast<size_t>(pending), 1);
  rig.poll(1);
  EXPECT_EQ(status(), "predicted_failure");
  rig.in.set(static_cast<size_t>(reset), 1);
  rig.poll(1, kFast);
  EXPECT_EQ(status(), "predicted_failure");
  rig.poll(1, kSlow);
  EXPECT_EQ(status(), "failed");
  for (size_t i = 0; i < rig.raw.series.size(); ++i) rig.in.absent(i, State::error);
  rig.poll(1);
  EXPECT_EQ(rig.state(MetricId::hw_status), State::error);
}

TEST(Status, IsNotMadeUpAndNotDerivedTwice) {
  Rig rig;
  rig.add(MetricId::gpu_memory_usage);
  rig.start();
  EXPECT_EQ(rig.find(MetricId::hw_status), -1);
  rig.add(MetricId::throttle_active, reason("thermal_hardware"));
  rig.add(MetricId::hw_status, {{AttributeId::hw_state, "ok"}});
  rig.start();
  EXPECT_EQ(rig.find(MetricId::hw_status, {{AttributeId::hw_state, "failed"}}), -1);
}

// A device that fell off the bus has no link width of a minute ago either.
TEST(Tiers, WhatIsKnownToBeGoneIsGoneBeforeItsTiersTurn) {
  Rig rig;
  const int width = rig.add(MetricId::pcie_width, {{AttributeId::which, "current"}}, Tier::rare);
  const int power = rig.add(MetricId::power, {{AttributeId::power_scope, "gpu"}});
  rig.start();
  rig.in.set(static_cast<size_t>(width), 16);
  rig.in.set(static_cast<size_t>(power), 300);
  rig.poll(1);
  rig.poll(1, kFast);
  EXPECT_EQ(rig.state(width), State::ok) << "its last reading stands between its turns";
  rig.in.absent(static_cast<size_t>(width), State::error);
  rig.in.absent(static_cast<size_t>(power), State::error);
  rig.poll(1, kFast);
  EXPECT_EQ(rig.state(power), State::error);
  EXPECT_EQ(rig.state(width), State::error);
  rig.in.set(static_cast<size_t>(width), 16);
  rig.poll(1, kFast);
  EXPECT_EQ(rig.state(width), State::error) << "a value comes with its tier's turn alone";
  rig.poll(1, kAll);
  EXPECT_EQ(rig.state(width), State::ok);
}

// A server has a hundred sensors: their windows would be four hundred series that nobody asked for.
TEST(Smoothing, TemperaturesOfAcceleratorsAlone) {
  Rig rig;
  const int chip = CatalogBuilder(rig.raw).add_device({.type = DeviceType::cpu, .id = "k10temp", .model = "k10temp"});
  rig.add(MetricId::temperature, {{AttributeId::sensor_location, "gpu"}});
  CatalogBuilder(rig.raw).add(MetricId::temperature, chip, Tier::fast, {{AttributeId::sensor_location, "tctl"}});
  rig.start();
  size_t windows = 0;
  for (const Series& series : rig.catalog->series)
    if (series.metric == MetricId::temperature_window) {
      ++windows;
      EXPECT_EQ(series.device, 0);
    }
  EXPECT_GT(windows, 0u);
}

}  // namespace
}  // namespace accelmon::pipeline_test

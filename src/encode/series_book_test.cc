// What encoders of pushes remember, over losses, gaps and changes of catalogs, in random order: the receiver's view is
// kept beside it and must always make sense.
#include "encode/series_book.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "encode/runs_for_test.h"

namespace accelmon {
namespace {

using for_test::BatchMaker;
using for_test::five_kinds;
using for_test::kBegin;
using for_test::kGone;

struct Said {
  std::string id;  // of the device
  Nanos time;
  bool sample;
  double grown;
};

// All that an encoder would send of the energy of each device.
std::vector<Said> encode(SeriesBook& book, std::span<const FrameRun> batch) {
  std::vector<Said> out;
  book.begin(batch);
  for (const MetricInfo& metric : all_metrics()) {
    for (const SeriesBook::Group& group : book.groups(metric.id))
      for (const SeriesBook::Entry& entry : group.entries)
        for (const Frame* frame : group.frames) {
          SeriesBook::Memory& memory = book.memory(entry);
          const SeriesBook::Seen seen = book.look(group, entry, *frame, memory);
          if (seen == SeriesBook::Seen::nothing) continue;
          double grown = 0;
          if (seen == SeriesBook::Seen::sample) {
            const auto growth = SeriesBook::count(memory, frame->values[entry.series], frame->wall);
            if (!growth.first && !growth.fell) grown = growth.by;
          }
          if (metric.id == MetricId::energy)
            out.push_back({std::string(group.plan->text(entry)), frame->wall, seen == SeriesBook::Seen::sample, grown});
        }
    for (const SeriesBook::Ended& ended : book.ended(metric.id))
      if (metric.id == MetricId::energy)
        out.push_back({std::string(ended.plan->text(*ended.entry)), ended.time, false, 0});
  }
  return out;
}

TEST(SeriesBook, LossesNeitherDoubleNorLose) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const auto chance = [&](uint32_t one_in) { return random() % one_in == 0; };
    SeriesBook book(
        [](SeriesBook::Plan& plan, SeriesBook::Entry& entry, const LabelSet& labels) {
          entry.at = static_cast<uint32_t>(plan.bytes.size());
          plan.bytes += labels.labels()[0].value;  // hw_id
          entry.size = static_cast<uint32_t>(plan.bytes.size()) - entry.at;
        },
        kMillisecond);
    struct Receiver {
      Nanos last = 0;
      bool shown = false;
      double grown = 0;
    };
    std::map<std::string, Receiver> receiver;
    std::map<std::string, double> counter;
    BatchMaker make;
    CatalogPtr catalog = five_kinds(1, "GPU-0");
    uint64_t generation = 1;
    make.run("nvml", catalog);
    Nanos now = kBegin;
    for (int step = 0; step < 60; ++step) {
      if (chance(8)) {
        catalog = five_kinds(++generation, "GPU-" + std::to_string(random() % 3));
        make.run("nvml", catalog);
      }
      const std::string id = catalog->devices[0].id;
      now += kSecond;
      counter[id] += random() % 100;
      make.frame(now, {1, chance(5) ? kGone : counter[id], 1, 1, 1});
      if (!chance(3)) continue;
      const std::vector<Said> said = encode(book, make.batch());
      if (chance(2)) continue;  // lost: the next batch has these frames too
      book.commit();
      make = BatchMaker();
      make.run("nvml", catalog);
      for (const Said& one : said) {
        Receiver& there = receiver[one.id];
        ASSERT_GT(one.time, there.last) << "seed " << seed;
        there.last = one.time;
        ASSERT_TRUE(one.sample || there.shown) << "an end of what was not there, seed " << seed;
        there.shown = one.sample;
        there.grown += one.grown;
      }
      for (const auto& [device, there] : receiver) {
        ASSERT_EQ(there.shown && device != id, false) << "a device that is gone is still shown, seed " << seed;
      }
      ASSERT_EQ(book.series(), 5u) << "what is gone is forgotten";
    }
    for (const auto& [device, there] : receiver) ASSERT_LE(there.grown, counter[device]) << "seed " << seed;
  }
}

// With one catalog and no gaps at the ends the growth that arrives is all there was.
TEST(SeriesBook, GrowthArrivesWhole) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    std::mt19937 random(seed);
    SeriesBook book([](SeriesBook::Plan&, SeriesBook::Entry&, const LabelSet&) {}, 1);
    const CatalogPtr catalog = five_kinds();
    BatchMaker make;
    make.run("nvml", catalog);
    double counter = 1000, arrived = 0;
    for (int step = 0; step < 100; ++step) {
      if (step > 0) counter += random() % 100;
      const bool edge = step == 0 || step == 99;
      make.frame(kBegin + step * kSecond, {1, !edge && random() % 4 == 0 ? kGone : counter, 1, 1, 1});
      if (!edge && random() % 2 == 0) continue;
      double grown = 0;
      for (const Said& one : encode(book, make.batch())) grown += one.grown;
      if (!edge && random() % 2 == 0) continue;
      book.commit();
      arrived += grown;
      make = BatchMaker();
      make.run("nvml", catalog);
    }
    ASSERT_EQ(arrived, counter - 1000) << "seed " << seed;
  }
}

// A far end that is down while catalogs come and go.
TEST(SeriesBook, TriesLeaveNothingBehind) {
  SeriesBook book([](SeriesBook::Plan&, SeriesBook::Entry&, const LabelSet&) {}, 1);
  for (uint64_t generation = 1; generation <= 50; ++generation) {
    BatchMaker make;
    make.run("nvml", five_kinds(generation, "GPU-" + std::to_string(generation)))
        .frame(kBegin + static_cast<Nanos>(generation) * kSecond, {1, 1, 1, 1, 1});
    encode(book, make.batch());
    EXPECT_LE(book.series(), 10u);
  }
}

}  // namespace
}  // namespace accelmon

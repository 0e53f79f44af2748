// A collector in miniature for the room's tests: a catalog made by hand, and polls with values by name.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "pipeline/pipeline.h"

namespace accelmon::pipeline_test {

inline constexpr uint8_t kFast = 1;
inline constexpr uint8_t kSlow = 2;
inline constexpr uint8_t kAll = 7;

class Rig {
 public:
  explicit Rig(PipelineOptions options = {}) : pipeline(std::move(options)) {
    raw.generation = 1;
    CatalogBuilder(raw).add_device({.id = "GPU-1", .index = "0", .vendor = "nvidia", .model = "X"});
  }

  // A raw series of device 0.
  int add(MetricId metric, std::vector<Attribute> attributes = {}, Tier tier = Tier::fast) {
    return CatalogBuilder(raw).add(metric, 0, tier, std::move(attributes));
  }

  // Gives the catalog to the pipeline. May be called again after a change.
  void start() {
    EXPECT_TRUE(validate(raw).ok());
    catalog = pipeline.set_catalog(std::make_shared<const Catalog>(raw));
    EXPECT_TRUE(validate(*catalog).ok()) << validate(*catalog).message();
    in.resize(raw.series.size());
    in.generation = raw.generation;
  }

  // Polls after `seconds`.
  void poll(double seconds, uint8_t fresh = kAll) { poll_after(std::llround(seconds * 1e9), fresh); }
  void poll_after(Nanos elapsed, uint8_t fresh = kAll) {
    in.monotonic += elapsed;
    in.wall += elapsed;
    ++in.sequence;
    in.fresh = fresh;
    for (size_t t = 0; t < kTiers; ++t)
      if ((fresh >> t) & 1u) in.read_at[t] = in.monotonic;
    pipeline.process(in, out);
  }

  // Sets the only series of a rig with one, polls, and gives what left.
  State feed(double value, double seconds = 1) {
    in.set(0, value);
    poll(seconds);
    return out.states[0];
  }

  int find(MetricId metric, std::vector<Attribute> attributes = {}) const {
    return find_series(*catalog, metric, 0, std::move(attributes));
  }
  double value(int series) const {
    EXPECT_GE(series, 0) << "no such series";
    if (series < 0) return -1;
    EXPECT_EQ(out.states[static_cast<size_t>(series)], State::ok);
    return out.values[static_cast<size_t>(series)];
  }
  State state(int series) const { return out.states.at(static_cast<size_t>(series)); }
  double value(MetricId metric, std::vector<Attribute> attributes = {}) const {
    return value(find(metric, std::move(attributes)));
  }
  State state(MetricId metric, std::vector<Attribute> attributes = {}) const {
    return state(find(metric, std::move(attributes)));
  }

  uint64_t implausible(MetricId metric) const {
    for (const auto& [id, count] : pipeline.implausible())
      if (id == metric) return count;
    return 0;
  }

  Catalog raw;
  Pipeline pipeline;
  CatalogPtr catalog;
  Frame in{.wall = 1'700'000'000 * kSecond, .monotonic = 1000 * kSecond};
  Frame out;
};

inline std::vector<Attribute> general() {
  return {{AttributeId::gpu_task, "general"}};
}
inline std::vector<Attribute> board(const char* reading) {
  return {{AttributeId::power_scope, "gpu"}, {AttributeId::power_reading, reading}};
}
inline std::vector<Attribute> reason(const char* name) {
  return {{AttributeId::reason, name}};
}
inline std::vector<Attribute> with(std::vector<Attribute> attributes, AttributeId id, const char* value) {
  attributes.push_back({id, value});
  return attributes;
}

}  // namespace accelmon::pipeline_test

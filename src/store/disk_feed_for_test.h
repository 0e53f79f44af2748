// A source in miniature for the tests of the history on disk, and a folder that goes with the test.
#pragma once

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "model/catalog.h"
#include "model/frame.h"
#include "store/disk_store.h"

namespace accelmon::store_test {

inline constexpr Nanos kStart = 1'700'000'040 * kSecond;  // on a minute

class Folder {
 public:
  explicit Folder(std::filesystem::path in = {}) {
    if (in.empty()) in = std::filesystem::temp_directory_path();
    std::string pattern = (in / "accelmon-disk-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Feed {
  explicit Feed(std::string source = "nvml") : name(std::move(source)) {
    CatalogBuilder build(raw);
    build.add_device({.id = "GPU-1", .index = "0", .vendor = "nvidia", .model = "X"});
    const auto add = [&](MetricId metric, std::vector<Attribute> attributes = {}) {
      return static_cast<size_t>(build.add(metric, 0, Tier::fast, std::move(attributes)));
    };
    power = add(MetricId::power);
    smoothed = add(MetricId::power_ema);
    energy = add(MetricId::energy);
    memory = add(MetricId::gpu_memory_usage);
    share = add(MetricId::gpu_memory_utilization);
    window = add(MetricId::power_window);
    ratio = add(MetricId::gpu_utilization);
    device = add(MetricId::device_info);
    missing = add(MetricId::fan_speed);
    restart();
  }
  // As a new process makes its catalog again.
  void restart() {
    ++raw.generation;
    catalog = std::make_shared<const Catalog>(raw);
    frame.resize(raw.series.size());
  }
  void add_series() {
    CatalogBuilder(raw).add(MetricId::temperature, 0, Tier::fast,
                            {{AttributeId::sensor_location, std::to_string(raw.series.size())}});
    restart();
  }
  void noisy(int series) {
    for (int i = 0; i < series; ++i)
      CatalogBuilder(raw).add(MetricId::gpu_io_rate, 0, Tier::fast, {{AttributeId::io_direction, std::to_string(i)}});
    restart();
  }
  // The next poll.
  const Frame& poll() {
    ++frame.sequence;
    frame.generation = raw.generation;
    frame.duration = 200'000 + static_cast<Nanos>(random() % 5000);
    frame.fresh = frame.sequence % 10 == 1 ? 3 : 1;
    frame.read_at[0] = frame.monotonic;
    if (frame.fresh == 3) frame.read_at[1] = frame.monotonic;
    for (size_t i = 0; i < frame.values.size(); ++i) frame.set(i, static_cast<double>(random() % 1000003) / 7);
    frame.set(power, static_cast<double>(300'000 + random() % 100'000) * 0.001);
    frame.set(energy, std::round((joules += 0.3 + frame.values[power] * 1e-3) * 1000) / 1000);
    frame.set(memory, 60e9 + static_cast<double>(frame.sequence / 50) * 2097152.0);
    frame.set(share, frame.values[memory] / 80e9);
    frame.set(ratio, static_cast<double>(random() % 101) / 100.0);
    frame.set(device, 1);
    frame.absent(missing, frame.sequence % 97 == 0 ? State::error : State::unsupported);
    if (frame.sequence % 41 == 0) frame.absent(ratio, State::stale);
    return frame;
  }
  void append(DiskStore& store) {
    poll();
    store.append(name, catalog, frame);
    if (keep) sent.push_back(frame);
    frame.wall += kSecond;
    frame.monotonic += kSecond + static_cast<Nanos>(random() % 1000);
  }
  std::string key(size_t i) const { return series_key(raw, raw.series[i]); }
  std::vector<double> values_of(size_t i) const {
    std::vector<double> found;
    for (const Frame& one : sent)
      if (one.states[i] == State::ok) found.push_back(one.values[i]);
    return found;
  }

  std::string name;
  Catalog raw;
  CatalogPtr catalog;
  Frame frame{.wall = kStart, .monotonic = kSecond};
  std::vector<Frame> sent;
  bool keep = true;
  std::mt19937 random{7};
  double joules = 1000;
  size_t power = 0, smoothed = 0, energy = 0, memory = 0, share = 0, window = 0, ratio = 0, device = 0, missing = 0;
};

}  // namespace accelmon::store_test

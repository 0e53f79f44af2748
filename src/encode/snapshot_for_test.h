// Snapshots for the tests of this room, and a small reader of exposition pages that shares no code with the writer.
#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/snapshot.h"

namespace accelmon::for_test {

// Puts a snapshot together source by source. Values go into the newest source's frame in the order of add().
class SnapshotMaker {
 public:
  SnapshotMaker& source(std::string name) {
    finish();
    name_ = std::move(name);
    catalog_ = std::make_shared<Catalog>();
    catalog_->generation = ++generation_;
    values_.clear();
    return *this;
  }
  int device(Device device) { return CatalogBuilder(*catalog_).add_device(std::move(device)); }
  SnapshotMaker& add(MetricId metric, int device, std::vector<Attribute> attributes, double value,
                     State state = State::ok) {
    CatalogBuilder(*catalog_).add(metric, device, Tier::fast, std::move(attributes));
    values_.emplace_back(value, state);
    return *this;
  }
  Snapshot take() {
    finish();
    snapshot_.sequence = 1;
    return std::move(snapshot_);
  }

 private:
  void finish() {
    if (catalog_ == nullptr) return;
    Recycled<Frame> frame = frames_.take();
    frame->generation = catalog_->generation;
    frame->resize(values_.size());
    for (size_t i = 0; i < values_.size(); ++i) {
      frame->values[i] = values_[i].first;
      frame->states[i] = values_[i].second;
    }
    snapshot_.sources.push_back({name_, std::move(catalog_), std::move(frame)});
    catalog_ = nullptr;
  }

  Recycler<Frame> frames_;
  Snapshot snapshot_;
  std::string name_;
  std::shared_ptr<Catalog> catalog_;
  std::vector<std::pair<double, State>> values_;
  uint64_t generation_ = 0;
};

// Two sources that share a family, a device and a part of it, one absent value of each kind, hostile texts.
inline Snapshot small_snapshot() {
  SnapshotMaker make;
  make.source("nvml");
  const int gpu = make.device({.id = "GPU-1f3a",
                               .index = "0",
                               .vendor = "nvidia",
                               .model = "NVIDIA \"H100\" \\ 80GB",
                               .info = {{AttributeId::hw_serial_number, "1654\n922"},
                                        {AttributeId::pci_address, "0000:1b:00.0"},
                                        {AttributeId::hw_vendor, "a second vendor"},
                                        {AttributeId::numa_node, ""}}});
  const int part = make.device(
      {.type = DeviceType::gpu_partition, .id = "MIG-77", .index = "0:1", .vendor = "nvidia", .parent = gpu});
  make.add(MetricId::gpu_utilization, gpu, {{AttributeId::gpu_task, "general"}}, 0.37)
      .add(MetricId::gpu_utilization, gpu, {{AttributeId::gpu_task, "encoder"}}, 0, State::unsupported)
      .add(MetricId::energy, gpu, {}, 123456789.125)
      .add(MetricId::temperature, gpu, {{AttributeId::sensor_location, "gpu"}}, 41)
      .add(MetricId::temperature, gpu, {{AttributeId::sensor_location, "memory"}}, 44.5)
      .add(MetricId::gpu_memory_usage, gpu, {}, 64.0 * 1024 * 1024 * 1024)
      .add(MetricId::gpu_memory_usage, part, {}, 1)
      .add(MetricId::power, gpu, {{AttributeId::power_scope, "gpu"}}, 0, State::no_permission)
      .add(MetricId::throttle_active, gpu, {{AttributeId::reason, "power_cap"}}, 1)
      .add(MetricId::throttle_active, gpu, {{AttributeId::reason, "idle"}}, 0)
      .add(MetricId::device_info, gpu, {}, 1)
      .add(MetricId::device_info, part, {{AttributeId::partition_profile, "1g.10gb"}}, 1);
  make.source("agent");
  const int card = make.device({.id = "0000:41:00.0",
                                .index = "card1",
                                .vendor = "intel",
                                .model = "B\xff"
                                         "0"});
  make.add(MetricId::temperature, card, {{AttributeId::sensor_location, "g\x01pu"}}, -1.5)
      .add(MetricId::collector_up, -1, {{AttributeId::collector, "nvml"}}, 1)
      .add(MetricId::uptime, -1, {}, 1e21)
      .add(MetricId::collector_call_time, -1, {{AttributeId::collector, "nvml"}, {AttributeId::call, "nvmlInit"}}, 3);
  return make.take();
}

// Every metric of the table, on two devices or for the host, with its own attributes.
inline Snapshot whole_table() {
  SnapshotMaker make;
  make.source("all");
  int devices[2];
  for (int i = 0; i < 2; ++i)
    devices[i] = make.device(
        {.id = "GPU-" + std::to_string(i), .index = std::to_string(i), .vendor = "nvidia", .model = "Model X"});
  for (const MetricInfo& metric : all_metrics()) {
    std::vector<Attribute> attributes;
    std::string_view keys = metric.attributes;
    while (!keys.empty()) {
      const std::string_view key = keys.substr(0, keys.find(','));
      keys.remove_prefix(key.size() < keys.size() ? key.size() + 1 : keys.size());
      if (const auto id = find_attribute(key)) attributes.push_back({*id, "some " + std::string(key)});
    }
    const double value = metric.kind == Kind::info ? 1 : metric.minimum;
    if (metric.name.starts_with("hw.") || metric.name.find(".gpu.") != std::string_view::npos ||
        metric.id == MetricId::device_info) {
      for (const int device : devices) make.add(metric.id, device, attributes, value);
    } else {
      make.add(metric.id, -1, attributes, value);
    }
  }
  return make.take();
}

struct Sample {
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
  std::string label(std::string_view wanted) const {
    for (const auto& [key, text] : labels)
      if (key == wanted) return text;
    return {};
  }
};

struct Page {
  std::vector<std::string> comments;  // without "# "
  std::vector<Sample> samples;
};

// Throws std::runtime_error at the first thing that the grammar does not allow.
inline Page read_page(std::string_view text) {
  const auto require = [](bool good, std::string_view what) {
    if (!good) throw std::runtime_error(std::string(what));
  };
  require(text.empty() || text.back() == '\n', "the last line has no end");
  Page page;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    require(!line.empty(), "empty line");
    if (line[0] == '#') {
      require(line.starts_with("# "), "comment without blank");
      page.comments.emplace_back(line.substr(2));
      continue;
    }
    Sample sample;
    size_t i = 0;
    while (i < line.size() && (std::isalnum(static_cast<unsigned char>(line[i])) || line[i] == '_')) ++i;
    require(i > 0 && i < line.size(), "no name");
    sample.name = line.substr(0, i);
    if (line[i] == '{') {
      do {
        ++i;
        const size_t equals = line.find('=', i);
        require(equals != std::string_view::npos && equals > i, "label without a name");
        std::pair<std::string, std::string> label;
        label.first = line.substr(i, equals - i);
        for (const char c : label.first)
          require(std::isalnum(static_cast<unsigned char>(c)) || c == '_', "a label's name");
        i = equals + 1;
        require(i < line.size() && line[i] == '"', "label without a quote");
        for (++i; i < line.size() && line[i] != '"'; ++i) {
          char c = line[i];
          if (c == '\\') {
            require(++i < line.size(), "escape at the end");
            require(line[i] == 'n' || line[i] == '"' || line[i] == '\\', "unknown escape");
            c = line[i] == 'n' ? '\n' : line[i];
          }
          label.second += c;
        }
        require(i + 1 < line.size(), "label without an end");
        sample.labels.push_back(std::move(label));
        ++i;
      } while (line[i] == ',');
      require(line[i] == '}', "labels without an end");
      ++i;
    }
    require(i + 1 < line.size() && line[i] == ' ', "no value");
    const std::string number(line.substr(i + 1));
    char* number_end = nullptr;
    sample.value = std::strtod(number.c_str(), &number_end);
    require(*number_end == '\0', "not a number: " + number);
    page.samples.push_back(std::move(sample));
  }
  return page;
}

}  // namespace accelmon::for_test

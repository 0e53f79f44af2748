// A made-up host for the tests of the questions: devices with readings, and all other facts, which begin empty.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "analysis/question.h"

namespace accelmon::analysis::for_test {

class Host {
 public:
  Host() {
    catalog_->generation = 1;
    frame_ = frames_.take();
    frame_->generation = 1;
    frame_->resize(0);
  }
  int gpu(const std::string& index, const std::string& vendor = "nvidia", int parent = -1) {
    Device device;
    device.type = parent < 0 ? DeviceType::gpu : DeviceType::gpu_partition;
    device.id = "GPU-" + vendor + index;
    device.index = index;
    device.vendor = vendor;
    device.model = "a model";
    device.parent = parent;
    return CatalogBuilder(*catalog_).add_device(std::move(device));
  }
  // Adds a series, or changes the one that is there.
  Host& set(MetricId metric, int device, std::vector<Attribute> attributes, double value, State state = State::ok) {
    int at = find_series(*catalog_, metric, device, attributes);
    if (at < 0) {
      at = CatalogBuilder(*catalog_).add(metric, device, Tier::fast, std::move(attributes));
      frame_->values.push_back(0);
      frame_->states.push_back(State::ok);
    }
    frame_->values[static_cast<size_t>(at)] = value;
    frame_->states[static_cast<size_t>(at)] = state;
    return *this;
  }
  Host& status(int device, const char* word) {
    for (const char* one : {"ok", "degraded", "failed", "predicted_failure"})
      set(MetricId::hw_status, device, {{AttributeId::hw_state, one}}, std::string_view(one) == word ? 1 : 0);
    return *this;
  }
  // Every question's findings; they are those "before" of the next call.
  Findings ask() {
    Snapshot snapshot;
    snapshot.sources.push_back({"nvml", catalog_, frame_});
    const Readings readings(snapshot);
    const Findings before = std::exchange(last_, {});
    Facts facts{.readings = readings,
                .wall = wall,
                .watched = watched,
                .events = events,
                .collectors = collectors,
                .exporters = exporters,
                .history = history,
                .certificate_expires = certificate_expires,
                .growth = growth,
                .before = before};
    last_ = analyse(facts);
    return last_;
  }
  std::string codes() {
    std::string out;
    for (const Finding& one : ask()) out += (out.empty() ? "" : " ") + one.code;
    return out;
  }
  Snapshot snapshot() const {
    Snapshot out;
    out.sources.push_back({"nvml", catalog_, frame_});
    return out;
  }

  Nanos wall = 1'764'000'000 * kSecond;
  Nanos watched = 3600 * kSecond;
  std::vector<Event> events;
  std::vector<CollectorFact> collectors;
  std::vector<ExporterFact> exporters;
  std::optional<HistoryFact> history;
  std::optional<Nanos> certificate_expires;
  std::vector<GrowthFact> growth;

 private:
  std::shared_ptr<Catalog> catalog_ = std::make_shared<Catalog>();
  Recycler<Frame> frames_;
  Recycled<Frame> frame_;
  Findings last_;
};

}  // namespace accelmon::analysis::for_test

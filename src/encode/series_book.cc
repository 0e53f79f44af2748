#include "encode/series_book.h"

#include <algorithm>
#include <unordered_set>

namespace accelmon {

uint32_t SeriesBook::source_of(std::string_view name) {
  for (size_t i = 0; i < sources_.size(); ++i)
    if (sources_[i].name == name) return static_cast<uint32_t>(i);
  sources_.push_back({std::string(name), nullptr, nullptr});
  return static_cast<uint32_t>(sources_.size() - 1);
}

std::shared_ptr<SeriesBook::Plan> SeriesBook::plan_of(uint32_t source, const CatalogPtr& catalog) {
  const auto fits = [&](const std::shared_ptr<Plan>& plan) {
    return plan != nullptr && plan->catalog == catalog && plan->generation == catalog->generation;
  };
  if (fits(sources_[source].newest)) return sources_[source].newest;
  for (const std::shared_ptr<Plan>& plan : built_)
    if (fits(plan)) return plan;

  auto plan = std::make_shared<Plan>();
  plan->catalog = catalog;
  plan->generation = catalog->generation;
  std::vector<uint32_t> order;
  for (size_t i = 0; i < catalog->series.size(); ++i)
    if (is_exported(*catalog, catalog->series[i])) order.push_back(static_cast<uint32_t>(i));
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return catalog->series[a].metric < catalog->series[b].metric; });
  plan->entries.reserve(order.size());
  std::unordered_set<uint32_t> seen;
  for (const uint32_t i : order) {
    const Series& series = catalog->series[i];
    const LabelSet labels = labels_of(*catalog, series);
    std::string key = labels.identity();
    key += static_cast<char>(index(series.metric) & 0xff);
    key += static_cast<char>(index(series.metric) >> 8);
    auto [place, fresh] = ids_.try_emplace(std::move(key), 0);
    if (fresh) {
      if (free_ids_.empty()) {
        place->second = static_cast<uint32_t>(now_.size());
        now_.emplace_back();
        kept_.emplace_back();
        claims_.push_back(0);
      } else {
        place->second = free_ids_.back();
        free_ids_.pop_back();
      }
    }
    if (!seen.insert(place->second).second) continue;
    Entry entry{series.metric, i, place->second, 0, 0};
    prepare_(*plan, entry, labels);
    plan->entries.push_back(entry);
  }
  plan->bytes.shrink_to_fit();
  built_.push_back(plan);
  return plan;
}

void SeriesBook::begin(std::span<const FrameRun> batch) {
  ++batch_;
  late_ = 0;
  changed_ = false;
  for (Source& source : sources_) source.newest = source.kept;
  now_ = kept_;
  frames_.clear();
  run_count_ = 0;
  for (const FrameRun& from : batch) {
    if (from.catalog == nullptr) continue;
    const size_t size = from.catalog->series.size();
    const size_t first = frames_.size();
    for (const Frame* frame : from.frames)
      if (frame != nullptr && frame->generation == from.catalog->generation && frame->values.size() == size &&
          frame->states.size() == size)
        frames_.push_back(frame);
    if (frames_.size() == first) continue;
    const uint32_t source = source_of(from.source);
    if (runs_.size() == run_count_) runs_.emplace_back();
    Run& run = runs_[run_count_++];
    run.plan = plan_of(source, from.catalog);
    run.source = source;
    run.first = first;
    run.count = frames_.size() - first;
    run.next = 0;
    sources_[source].newest = run.plan;
    if (sources_[source].newest != sources_[source].kept) changed_ = true;
    for (const Entry& entry : run.plan->entries)
      if (claims_[entry.id] >> 16 != batch_) claims_[entry.id] = claim_of(source);
  }
  for (size_t r = run_count_; r < runs_.size(); ++r) runs_[r].plan.reset();
  ended_.clear();
  if (changed_) find_ended();
  // What an earlier try needed and this one does not: while a far end is down catalogs come and go.
  const size_t tried = std::erase_if(built_, [&](const std::shared_ptr<Plan>& plan) {
    return std::none_of(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(run_count_),
                        [&](const Run& run) { return run.plan == plan; });
  });
  if (tried != 0) forget_gone();
}

// Series of plans that were replaced in this batch, and that no newest plan has.
void SeriesBook::find_ended() {
  std::vector<bool> held(now_.size());
  for (const Source& source : sources_)
    if (source.newest != nullptr)
      for (const Entry& entry : source.newest->entries) held[entry.id] = true;
  for (size_t s = 0; s < sources_.size(); ++s) {
    const Plan* before = sources_[s].kept.get();
    for (size_t r = 0; r < run_count_; ++r) {
      const Run& run = runs_[r];
      if (run.source != s) continue;
      if (before != nullptr && before != run.plan.get())
        for (const Entry& entry : before->entries)
          if (!held[entry.id]) {
            held[entry.id] = true;  // once
            ended_.push_back({before, &entry, frames_[run.first]->wall});
          }
      before = run.plan.get();
    }
  }
  std::stable_sort(ended_.begin(), ended_.end(),
                   [](const Ended& a, const Ended& b) { return a.entry->metric < b.entry->metric; });
}

std::span<const SeriesBook::Group> SeriesBook::groups(MetricId metric) {
  groups_.clear();
  for (size_t r = 0; r < run_count_; ++r) {
    Run& run = runs_[r];
    const std::vector<Entry>& entries = run.plan->entries;
    const size_t begin = run.next;
    while (run.next < entries.size() && entries[run.next].metric == metric) ++run.next;
    if (run.next > begin)
      groups_.push_back({run.plan.get(), std::span(entries).subspan(begin, run.next - begin),
                         std::span<const Frame* const>(frames_).subspan(run.first, run.count), run.source});
  }
  return groups_;
}

std::span<const SeriesBook::Ended> SeriesBook::ended(MetricId metric) {
  ended_now_.clear();
  for (Ended one : ended_) {
    Memory& memory = now_[one.entry->id];
    if (one.entry->metric != metric || !memory.shown) continue;
    memory.shown = false;
    memory.time = one.time = std::max(one.time, memory.time + resolution_);
    ended_now_.push_back(one);
  }
  return ended_now_;
}

void SeriesBook::commit() {
  for (Source& source : sources_) source.kept = source.newest;
  kept_ = now_;
  ended_.clear();
  run_count_ = 0;
  if (!changed_ && built_.empty()) return;
  changed_ = false;
  built_.clear();
  for (Run& run : runs_) run.plan.reset();
  forget_gone();
}

// Ids that no plan has are used again.
void SeriesBook::forget_gone() {
  std::vector<bool> held(now_.size());
  const auto hold = [&](const std::shared_ptr<Plan>& plan) {
    if (plan == nullptr) return;
    for (const Entry& entry : plan->entries) held[entry.id] = true;
  };
  for (const Source& source : sources_) hold(source.kept), hold(source.newest);
  for (const std::shared_ptr<Plan>& plan : built_) hold(plan);
  for (auto it = ids_.begin(); it != ids_.end();) {
    if (held[it->second]) {
      ++it;
      continue;
    }
    kept_[it->second] = now_[it->second] = Memory();
    free_ids_.push_back(it->second);
    it = ids_.erase(it);
  }
}

}  // namespace accelmon

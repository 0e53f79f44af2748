#include "collectors/cell_block.h"

#include <algorithm>
#include <limits>

#include "base/text.h"

namespace accelmon {

int CellBlock::cell() {
  cells_.emplace_back();
  return static_cast<int>(cells_.size()) - 1;
}

int CellBlock::aggregate(Op op, std::vector<int> parts) {
  const int made = cell();
  aggregates_.push_back(Aggregate{op, made, std::move(parts)});
  return made;
}

bool CellBlock::show(MetricId metric, int device, Tier tier, std::vector<Attribute> attributes, int cell) {
  const State state = at(cell).state;
  if (state == State::unsupported || state == State::no_permission) {
    absent(metric, device, state, state == State::unsupported ? unsupported_ : forbidden_);
    return false;
  }
  Series series{metric, device, tier, std::move(attributes)};
  if (std::any_of(shown_.begin(), shown_.end(), [&](const Shown& one) { return one.series == series; })) return false;
  shown_.push_back(Shown{std::move(series), cell});
  return true;
}

void CellBlock::add_up(MetricId metric, Op op, Tier tier, const std::vector<Attribute>& attributes) {
  std::vector<int> parts;
  for (const Shown& one : shown_) {
    if (one.series.metric != metric || one.series.attributes != attributes) continue;
    if (one.series.device == 0) return;
    parts.push_back(one.cell);
  }
  if (!parts.empty()) show(metric, 0, tier, attributes, aggregate(op, std::move(parts)));
}

void CellBlock::absent(MetricId metric, int device, State state, const std::string& reason) {
  const std::pair<int, Absence> entry{device, Absence{metric, -1, state, printable(reason, 250)}};
  if (std::find(absences_.begin(), absences_.end(), entry) == absences_.end()) absences_.push_back(entry);
}

void CellBlock::show_margin(int device, const Attribute& where, double limit, int temperature) {
  const int made = cell();
  margins_.push_back(Below{limit, temperature, made});
  show(MetricId::temperature_margin, device, Tier::fast, {where}, made);
}

bool CellBlock::has(MetricId metric, int device) const {
  return std::any_of(shown_.begin(), shown_.end(),
                     [&](const Shown& one) { return one.series.metric == metric && one.series.device == device; });
}

void CellBlock::clear_cells() {
  cells_.clear();
  margins_.clear();
  aggregates_.clear();
  shown_.clear();
  absences_.clear();
}

void CellBlock::build_series(CatalogBuilder& builder, int first) const {
  for (const Shown& one : shown_)
    builder.add(one.series.metric, first + one.series.device, one.series.tier, one.series.attributes);
}

void CellBlock::build_absences(CatalogBuilder& builder, int first) const {
  for (const auto& [device, absence] : absences_)
    builder.absent(absence.metric, first + device, absence.state, absence.reason);
}

void CellBlock::compute_aggregates() {
  for (const Below& margin : margins_) {
    const Cell from = at(margin.of);
    if (from.state == State::ok)
      at(margin.cell).set(margin.limit - from.value);
    else
      at(margin.cell).absent(from.state);
  }
  for (const Aggregate& aggregate : aggregates_) {
    double sum = 0;
    double most = -std::numeric_limits<double>::infinity(), least = -most;
    size_t good = 0;
    State missing = State::not_ready;
    for (const int part : aggregate.parts) {
      const Cell& cell = at(part);
      if (cell.state == State::ok) {
        ++good;
        sum += cell.value;
        most = std::max(most, cell.value);
        least = std::min(least, cell.value);
      } else {
        missing = cell.state;
      }
    }
    Cell& out = at(aggregate.cell);
    // A sum with a part that failed is no sum, nor is the largest of those that did not certainly the largest.
    if (good < aggregate.parts.size()) {
      out.absent(missing);
    } else {
      switch (aggregate.op) {
        case Op::sum:
          out.set(sum);
          break;
        case Op::mean:
          out.set(sum / static_cast<double>(good));
          break;
        case Op::most:
          out.set(most);
          break;
        case Op::least:
          out.set(least);
          break;
      }
    }
  }
}

void CellBlock::publish(const PollRequest& due, Frame& frame, int base) const {
  for (size_t i = 0; i < shown_.size(); ++i) {
    const Shown& one = shown_[i];
    if (one.cell < 0 || !due.is_due(one.series.tier)) continue;
    const Cell& cell = at(one.cell);
    const size_t place = static_cast<size_t>(base) + i;
    if (cell.state == State::ok) {
      frame.set(place, cell.value);
    } else {
      frame.absent(place, cell.state);
    }
  }
}

}  // namespace accelmon

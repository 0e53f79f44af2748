// The readings of one device and its parts, and the series that show them.
//
// A collector's sources fill cells; series show cells; some cells are made of others (the sum over a GPU's tiles, the
// distance to a limit). What stands here is the bookkeeping between them, which does not depend on how a source reads.
// Base class of a device. Threads: the collector's. Cost of compute() and publish(): arithmetic; nothing is allocated.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "collectors/collector.h"
#include "model/catalog.h"

namespace accelmon {

struct Cell {
  State state = State::not_ready;
  double value = 0;

  void set(double v) { *this = Cell{State::ok, v}; }
  void absent(State why) { *this = Cell{why, 0}; }
};

class CellBlock {
 protected:
  enum class Op : uint8_t { sum, mean, most, least };
  struct Shown {
    Series series;  // its device: 0 is the device itself, part n is n + 1
    int cell;       // -1: somebody else gives its values
  };
  struct Aggregate {
    Op op;
    int cell;
    std::vector<int> parts;
  };
  struct Below {
    double limit;
    int of;
    int cell;
  };

  // Why a cell is not shown that its driver has not, or keeps from us.
  CellBlock(const char* unsupported, const char* forbidden) : unsupported_(unsupported), forbidden_(forbidden) {}
  ~CellBlock() = default;

  // ---- discovery ----
  int cell();  // a new one
  int aggregate(Op op, std::vector<int> parts);
  // A series of that cell, unless the cell cannot be read for good (then an absence), or nothing tells it from one
  // that is there. Returns whether there is a new series.
  bool show(MetricId metric, int device, Tier tier, std::vector<Attribute> attributes, int cell);
  // Gives the device the sum, or the largest, of what its parts have, unless it has that itself.
  void add_up(MetricId metric, Op op, Tier tier, const std::vector<Attribute>& attributes = {});
  void absent(MetricId metric, int device, State state, const std::string& reason);
  // How far the cell of a temperature is below `limit`, the lowest at which the device slows down.
  void show_margin(int device, const Attribute& where, double limit, int temperature);
  bool has(MetricId metric, int device) const;
  void clear_cells();
  // Adds the series and absences; `first`: the device's index in the catalog.
  void build_series(CatalogBuilder& builder, int first) const;
  void build_absences(CatalogBuilder& builder, int first) const;

  // ---- polling ----
  Cell& at(int i) { return cells_[static_cast<size_t>(i)]; }
  const Cell& at(int i) const { return cells_[static_cast<size_t>(i)]; }
  void compute_aggregates();  // and margins
  // The series of the due tiers, from `base` on.
  void publish(const PollRequest& due, Frame& frame, int base) const;

  std::vector<Cell> cells_;
  std::vector<Below> margins_;
  std::vector<Aggregate> aggregates_;
  std::vector<Shown> shown_;
  std::vector<std::pair<int, Absence>> absences_;  // device, and what it has not

 private:
  const char* unsupported_;
  const char* forbidden_;
};

}  // namespace accelmon

// One column of a chunk, values and states over rows, to bytes and back without any loss.
//
// A value is first made an integer: what the driver gave, where one decimal scale fits the whole column (612.345 W are
// 612345 of 0.001), else the bits of the double, ordered as the numbers are. Their common divisor is taken out (clocks
// step by 15 MHz, memory by pages). What is left is coded as the error of the best of a few predictors, or, where there
// are at most 16 different values, as which of them follows which; both by an adaptive range coder, so a column that
// seldom moves costs a hundredth of a bit a row, and one that never moves a few bytes. States are runs; where a state
// is not `ok` there is no value, and 0 is read back.
//
// Threads: values. Cost: 50 to 100 ns to write a value that moves, half of that to read it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/frame.h"
#include "store/range_coder.h"

namespace accelmon::store {

inline constexpr size_t kMaxChunkRows = 1u << 16;

// Appends the bytes of a column. `step`: the driver's resolution (MetricInfo::step), the first scale that is tried.
// Keeps its buffers between columns.
class ColumnEncoder {
 public:
  void encode(std::string& out, std::span<const double> values, std::span<const State> states, double step);
  // Integers as they are, all of them there: times and numbers of rows.
  void encode(std::string& out, std::span<const int64_t> values);

 private:
  void put_values(std::string& out, size_t header_at, uint8_t transform);
  bool to_integers(double step, uint8_t& transform);

  std::vector<double> present_;
  std::vector<int64_t> integers_;
  std::vector<int64_t> sorted_;
  std::string other_;
};

// Reads a column row by row, some at a time. Whatever the bytes are, it stays within them and gives `rows` rows at
// most.
class ColumnDecoder {
 public:
  // False: the bytes are no column of so many rows. They must stay while it is read.
  bool start(std::string_view bytes, size_t rows);
  // The next values.size() rows; false: there are not so many.
  bool next(std::span<double> values, std::span<State> states);
  bool next(std::span<int64_t> values);

 private:
  static constexpr size_t kModel = 512;
  bool next_run();
  int64_t next_integer();

  size_t left_ = 0;  // rows
  // States.
  std::string_view runs_;
  size_t run_ = 0;
  State state_ = State::ok;
  // Values.
  uint8_t mode_ = 0;
  uint8_t predictor_ = 0;
  uint8_t transform_ = 0;
  int64_t base_ = 0;
  int64_t divisor_ = 1;
  std::array<int64_t, 16> words_{};
  uint32_t word_count_ = 0;
  uint32_t word_ = 0;
  uint64_t last_ = 0;
  uint64_t memory_ = 0;
  uint32_t context_ = 0;
  RangeDecoder range_;
  std::array<Bit, kModel> model_{};
};

}  // namespace accelmon::store

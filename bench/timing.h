// Processor time of rounds that two or more ways take in turn, so that their ratio is one of the same moments.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <vector>

namespace accelmon {

inline double cpu_microseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

struct Timing {
  std::vector<double> rounds;
  double minimum() const { return *std::min_element(rounds.begin(), rounds.end()); }
  double median() {
    std::nth_element(rounds.begin(), rounds.begin() + static_cast<std::ptrdiff_t>(rounds.size() / 2), rounds.end());
    return rounds[rounds.size() / 2];
  }
};

}  // namespace accelmon

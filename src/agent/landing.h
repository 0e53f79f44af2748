// The page at "/": name, version, what is read, and links. No script, no request to anywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace accelmon {

struct LandingRow {
  std::string collector;
  std::string brief;
  std::string state;
  std::string message;
  size_t devices = 0;
};

std::string render_landing(std::string_view version, std::string_view hostname, const std::vector<LandingRow>& rows);

}  // namespace accelmon

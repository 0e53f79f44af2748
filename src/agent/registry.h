// All collectors of this build.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "agent/agent.h"
#include "agent/arbiter.h"
#include "collectors/collector.h"

namespace accelmon {

struct CollectorEntry {
  std::string_view name;
  std::string_view vendor;
  std::string_view brief;
  std::unique_ptr<Collector> (*make)(CollectorContext context);
  Shows shows = Shows::devices;
};

std::span<const CollectorEntry> collector_table();
const CollectorEntry* find_collector(std::string_view name);

}  // namespace accelmon

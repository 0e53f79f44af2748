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
  // How often it is polled: at the interval of this tier. What changes seldom, or wakes its process when something is
  // there (Collector::wake_descriptor), need not be asked at every tick.
  Tier pace = Tier::fast;
};

std::span<const CollectorEntry> collector_table();
const CollectorEntry* find_collector(std::string_view name);

}  // namespace accelmon

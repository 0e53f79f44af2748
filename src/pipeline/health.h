// hw.status of a device, where its collector does not tell it: the worst of what its other series show.
//
//   failed             the driver asks for a reset, a reboot or a drain (recovery.action other than none)
//   predicted_failure  replacing bad memory has failed: no spare rows are left (memory.rows failed)
//   degraded           memory waits for a reset to be repaired (memory.rows or memory.pages pending), or hardware holds
//                      the clocks down to protect the device (thermal_hardware, hardware_slowdown, power_brake)
//   ok                 none of these, as far as can be read
// Exactly one of the four is 1. A device without any of these series has no hw.status: nothing is known. While none of
// them can be read, all four take the state of the first. Threads: one. Cost: a few nanoseconds a series looked at.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "model/catalog.h"
#include "pipeline/samples.h"

namespace accelmon::pipeline {

enum class Health : uint8_t { ok, degraded, predicted_failure, failed };
inline constexpr size_t kHealths = 4;
std::string_view to_string(Health health);

// What a device's health is when this series is above zero; nothing for a series that does not tell.
std::optional<Health> evidence(const Series& series);

struct HealthStep {
  struct Evidence {
    uint32_t series;
    Health means;
  };
  std::vector<Evidence> evidence;
  std::array<uint32_t, kHealths> targets{};  // by Health
  uint8_t tiers = 0;                         // bit t: some evidence is read with Tier t
};

class Healths {
 public:
  void configure(std::vector<HealthStep> steps) { steps_ = std::move(steps); }
  // `fresh`: the tiers read in this frame.
  void run(uint8_t fresh, Nanos now, Samples& samples);

 private:
  std::vector<HealthStep> steps_;
};

}  // namespace accelmon::pipeline

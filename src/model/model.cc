// Names of the model's enumerations.
#include "model/catalog.h"
#include "model/event.h"
#include "model/frame.h"

namespace accelmon {

std::string_view to_string(State state) {
  switch (state) {
    case State::ok:
      return "ok";
    case State::unsupported:
      return "unsupported";
    case State::no_permission:
      return "no_permission";
    case State::not_ready:
      return "not_ready";
    case State::stale:
      return "stale";
    case State::implausible:
      return "implausible";
    case State::error:
      return "error";
  }
  return "unknown";
}

std::string_view to_string(DeviceType type) {
  switch (type) {
    case DeviceType::gpu:
      return "gpu";
    case DeviceType::gpu_partition:
      return "gpu_partition";
    case DeviceType::cpu:
      return "cpu";
    case DeviceType::memory:
      return "memory";
    case DeviceType::network:
      return "network";
    case DeviceType::physical_disk:
      return "physical_disk";
    case DeviceType::enclosure:
      return "enclosure";
  }
  return "unknown";
}

std::string_view to_string(Tier tier) {
  switch (tier) {
    case Tier::fast:
      return "fast";
    case Tier::slow:
      return "slow";
    case Tier::rare:
      return "rare";
  }
  return "unknown";
}

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::info:
      return "info";
    case Severity::warning:
      return "warning";
    case Severity::critical:
      return "critical";
  }
  return "unknown";
}

}  // namespace accelmon

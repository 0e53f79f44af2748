// Temperature, power and energy, fans.
#include <cmath>

#include "api.h"

namespace accelmon::simulator::level_zero {

namespace {

constexpr double kGlitchJoules = 200;

// As the driver makes microjoules of the hardware's counter.
double counter_joules(const Entry& entry, const PowerDomain& domain) {
  const IntelDevice& d = entry.device();
  double joules = 0;
  if (domain.tile) {
    joules = d.tile_energy(*domain.tile, entry.since, entry.t);
  } else if (domain.domain == ZES_POWER_DOMAIN_PACKAGE) {
    joules = d.package_energy(entry.since, entry.t);
  } else {
    joules = d.energy(entry.since, entry.t);
  }
  if (d.energy_glitch && d.energy_glitch->value(entry.t) >= 0.5) joules = kGlitchJoules;
  if (d.energy_resolution > 0) joules = std::floor(joules / d.energy_resolution) * d.energy_resolution;
  return d.energy_modulus > 0 ? std::fmod(joules, d.energy_modulus) : joules;
}

int32_t milli(const std::optional<double>& watts) {
  return watts ? static_cast<int32_t>(*watts * 1000) : -1;
}

std::optional<double> limits_of(const IntelDevice& device, const PowerDomain& domain, zes_power_level_t level) {
  if (domain.domain != ZES_POWER_DOMAIN_CARD) return std::nullopt;
  return level == ZES_POWER_LEVEL_SUSTAINED ? device.limit_sustained
         : level == ZES_POWER_LEVEL_BURST   ? device.limit_burst
                                            : device.limit_peak;
}

}  // namespace

ze_result_t ZE_APICALL enum_temperatures(zes_device_handle_t device, uint32_t* count, zes_temp_handle_t* out) {
  return handled(ZeCall::zesDeviceEnumTemperatureSensors, device, Kind::device, count, [&](Entry& entry) {
    return give_handles(entry, Kind::temperature, sensors(entry.device()).size(), count, out);
  });
}

ze_result_t ZE_APICALL temperature_properties(zes_temp_handle_t sensor, zes_temp_properties_t* out) {
  return of_part(ZeCall::zesTemperatureGetProperties, sensor, Kind::temperature, out, sensors,
                 [&](Entry& entry, const Sensor& one) {
                   if (!is_typed(out, ZES_STRUCTURE_TYPE_TEMP_PROPERTIES)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
                   out->type = one.type;
                   set_place(entry, one.tile, out);
                   const IntelTile& tile = entry.device().tiles[one.tile];
                   out->maxTemperature =
                       (one.type == ZES_TEMP_SENSORS_MEMORY ? tile.memory_temperature_most : tile.gpu_temperature_most)
                           .value_or(-1);
                   out->isCriticalTempSupported = 0;
                   out->isThreshold1Supported = 0;
                   out->isThreshold2Supported = 0;
                   return ZE_RESULT_SUCCESS;
                 });
}

ze_result_t ZE_APICALL temperature_state(zes_temp_handle_t sensor, double* out) {
  return of_part(
      ZeCall::zesTemperatureGetState, sensor, Kind::temperature, out, sensors, [&](Entry& entry, const Sensor& one) {
        const IntelDevice& d = entry.device();
        const IntelTile& tile = d.tiles[one.tile];
        const Wave& wave = one.type == ZES_TEMP_SENSORS_MEMORY ? *tile.memory_temperature : *tile.gpu_temperature;
        // Telemetry that this user may not read comes out as 0 degrees, and this is no error.
        *out = d.may.root ? entry.real(wave.value(entry.t)) : 0;
        return ZE_RESULT_SUCCESS;
      });
}

ze_result_t ZE_APICALL enum_powers(zes_device_handle_t device, uint32_t* count, zes_pwr_handle_t* out) {
  return handled(ZeCall::zesDeviceEnumPowerDomains, device, Kind::device, count, [&](Entry& entry) {
    return give_handles(entry, Kind::power, power_domains(entry.device()).size(), count, out);
  });
}

ze_result_t ZE_APICALL power_properties(zes_pwr_handle_t domain, zes_power_properties_t* out) {
  return of_part(ZeCall::zesPowerGetProperties, domain, Kind::power, out, power_domains,
                 [&](Entry& entry, const PowerDomain& one) {
                   if (!is_typed(out, ZES_STRUCTURE_TYPE_POWER_PROPERTIES)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
                   set_place(entry, one.tile, out);
                   const bool card = one.domain == ZES_POWER_DOMAIN_CARD;
                   out->canControl = card ? 1 : 0;
                   out->isEnergyThresholdSupported = 0;
                   out->defaultLimit = card ? milli(entry.device().limit_rated) : -1;
                   out->minLimit = -1;
                   out->maxLimit = -1;
                   auto* more = static_cast<zes_power_ext_properties_t*>(out->pNext);
                   if (more != nullptr && is_typed(more, ZES_STRUCTURE_TYPE_POWER_EXT_PROPERTIES))
                     more->domain = one.domain;
                   return ZE_RESULT_SUCCESS;
                 });
}

ze_result_t ZE_APICALL energy_counter(zes_pwr_handle_t domain, zes_power_energy_counter_t* out) {
  return of_part(ZeCall::zesPowerGetEnergyCounter, domain, Kind::power, out, power_domains,
                 [&](Entry& entry, const PowerDomain& one) {
                   out->energy = entry.u64(counter_joules(entry, one) * 1e6);
                   out->timestamp = microseconds(entry.t);
                   return ZE_RESULT_SUCCESS;
                 });
}

ze_result_t ZE_APICALL power_limits(zes_pwr_handle_t domain, zes_power_sustained_limit_t* sustained,
                                    zes_power_burst_limit_t* burst, zes_power_peak_limit_t* peak) {
  return of_part(ZeCall::zesPowerGetLimits, domain, Kind::power, domain, power_domains,
                 [&](Entry& entry, const PowerDomain& one) {
                   const IntelDevice& d = entry.device();
                   const auto pl1 = limits_of(d, one, ZES_POWER_LEVEL_SUSTAINED);
                   const auto pl2 = limits_of(d, one, ZES_POWER_LEVEL_BURST);
                   const auto pl4 = limits_of(d, one, ZES_POWER_LEVEL_PEAK);
                   if (!pl1 && !pl2 && !pl4) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
                   if (sustained != nullptr)
                     *sustained = zes_power_sustained_limit_t{pl1 ? ze_bool_t{1} : ze_bool_t{0}, milli(pl1), 28};
                   if (burst != nullptr)
                     *burst = zes_power_burst_limit_t{pl2 ? ze_bool_t{1} : ze_bool_t{0}, milli(pl2)};
                   if (peak != nullptr) *peak = zes_power_peak_limit_t{milli(pl4), -1};
                   return ZE_RESULT_SUCCESS;
                 });
}

ze_result_t ZE_APICALL power_limits_ext(zes_pwr_handle_t domain, uint32_t* count, zes_power_limit_ext_desc_t* out) {
  return of_part(
      ZeCall::zesPowerGetLimitsExt, domain, Kind::power, count, power_domains,
      [&](Entry& entry, const PowerDomain& one) {
        std::vector<zes_power_limit_ext_desc_t> limits;
        for (const zes_power_level_t level : {ZES_POWER_LEVEL_SUSTAINED, ZES_POWER_LEVEL_BURST, ZES_POWER_LEVEL_PEAK}) {
          const auto watts = limits_of(entry.device(), one, level);
          if (!watts) continue;
          zes_power_limit_ext_desc_t limit{};
          limit.stype = ZES_STRUCTURE_TYPE_POWER_LIMIT_EXT_DESC;
          limit.level = level;
          limit.source = ZES_POWER_SOURCE_ANY;
          limit.limitUnit = ZES_LIMIT_UNIT_POWER;
          limit.enabled = 1;
          limit.interval = level == ZES_POWER_LEVEL_SUSTAINED ? 28 : 0;
          limit.limit = entry.i32(*watts * 1000);
          limits.push_back(limit);
        }
        return give(static_cast<uint32_t>(limits.size()), count, out, [&](uint32_t i) { return limits[i]; });
      });
}

ze_result_t ZE_APICALL enum_fans(zes_device_handle_t device, uint32_t* count, zes_fan_handle_t* out) {
  return handled(ZeCall::zesDeviceEnumFans, device, Kind::device, count,
                 [&](Entry& entry) { return give_handles(entry, Kind::fan, entry.device().fans, count, out); });
}

ze_result_t ZE_APICALL fan_properties(zes_fan_handle_t fan, zes_fan_properties_t* out) {
  return handled(ZeCall::zesFanGetProperties, fan, Kind::fan, out, [&](Entry& entry) {
    if (!is_typed(out, ZES_STRUCTURE_TYPE_FAN_PROPERTIES)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    const IntelDevice& d = entry.device();
    if (entry.number >= d.fans) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    set_place(entry, std::nullopt, out);
    out->canControl = 0;
    out->supportedModes = 1;
    out->supportedUnits = d.fan_max_rpm > 0 ? 3 : 1;
    out->maxRPM = d.fan_max_rpm > 0 ? static_cast<int32_t>(d.fan_max_rpm) : -1;
    out->maxPoints = -1;
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL fan_state(zes_fan_handle_t fan, zes_fan_speed_units_t units, int32_t* out) {
  return handled(ZeCall::zesFanGetState, fan, Kind::fan, out, [&](Entry& entry) {
    const IntelDevice& d = entry.device();
    if (entry.number >= d.fans) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    const double rpm = d.fan_rpm.value(entry.t);
    if (units == ZES_FAN_SPEED_UNITS_PERCENT && d.fan_max_rpm <= 0) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
    *out = entry.i32(units == ZES_FAN_SPEED_UNITS_RPM ? rpm : rpm / d.fan_max_rpm * 100);
    return ZE_RESULT_SUCCESS;
  });
}

}  // namespace accelmon::simulator::level_zero

// Our declarations against Level Zero's own headers.
#include "collectors/level_zero/ze_abi.h"

#include <gtest/gtest.h>

#ifdef ACCELMON_HAVE_LEVEL_ZERO
#include <level_zero/ze_api.h>
#include <level_zero/zes_api.h>

#include <cstddef>

namespace accelmon::level_zero {
namespace {

#define SAME_SIZE(ours, theirs) EXPECT_EQ(sizeof(ours), sizeof(theirs)) << #ours
#define SAME_PLACE(ours, our_member, theirs, their_member)                                        \
  EXPECT_EQ(offsetof(ours, our_member), offsetof(theirs, their_member)) << #ours "." #our_member; \
  EXPECT_EQ(sizeof(ours::our_member), sizeof(theirs::their_member)) << #ours "." #our_member

TEST(LevelZeroAbi, StructuresAreLaidOutAlike) {
  SAME_SIZE(DeviceProperties, zes_device_properties_t);
  SAME_PLACE(DeviceProperties, stype, zes_device_properties_t, stype);
  SAME_PLACE(DeviceProperties, next, zes_device_properties_t, pNext);
  SAME_PLACE(DeviceProperties, type, zes_device_properties_t, core.type);
  SAME_PLACE(DeviceProperties, vendor_id, zes_device_properties_t, core.vendorId);
  SAME_PLACE(DeviceProperties, device_id, zes_device_properties_t, core.deviceId);
  SAME_PLACE(DeviceProperties, flags, zes_device_properties_t, core.flags);
  SAME_PLACE(DeviceProperties, uuid, zes_device_properties_t, core.uuid);
  SAME_PLACE(DeviceProperties, name, zes_device_properties_t, core.name);
  SAME_PLACE(DeviceProperties, subdevices, zes_device_properties_t, numSubdevices);
  SAME_PLACE(DeviceProperties, serial_number, zes_device_properties_t, serialNumber);
  SAME_PLACE(DeviceProperties, model_name, zes_device_properties_t, modelName);
  SAME_PLACE(DeviceProperties, driver_version, zes_device_properties_t, driverVersion);

  SAME_SIZE(DeviceState, zes_device_state_t);
  SAME_PLACE(DeviceState, reset, zes_device_state_t, reset);
  SAME_PLACE(DeviceState, repaired, zes_device_state_t, repaired);

  SAME_SIZE(ProcessState, zes_process_state_t);
  SAME_PLACE(ProcessState, pid, zes_process_state_t, processId);
  SAME_PLACE(ProcessState, memory, zes_process_state_t, memSize);
  SAME_PLACE(ProcessState, shared, zes_process_state_t, sharedSize);
  SAME_PLACE(ProcessState, engines, zes_process_state_t, engines);

  SAME_SIZE(PciProperties, zes_pci_properties_t);
  SAME_PLACE(PciProperties, address.domain, zes_pci_properties_t, address.domain);
  SAME_PLACE(PciProperties, address.bus, zes_pci_properties_t, address.bus);
  SAME_PLACE(PciProperties, address.device, zes_pci_properties_t, address.device);
  SAME_PLACE(PciProperties, address.function, zes_pci_properties_t, address.function);
  SAME_PLACE(PciProperties, most.generation, zes_pci_properties_t, maxSpeed.gen);
  SAME_PLACE(PciProperties, most.width, zes_pci_properties_t, maxSpeed.width);
  SAME_PLACE(PciProperties, most.bandwidth, zes_pci_properties_t, maxSpeed.maxBandwidth);
  SAME_PLACE(PciProperties, have_bandwidth, zes_pci_properties_t, haveBandwidthCounters);
  SAME_PLACE(PciProperties, have_packets, zes_pci_properties_t, havePacketCounters);
  SAME_PLACE(PciProperties, have_replays, zes_pci_properties_t, haveReplayCounters);
  SAME_SIZE(PciState, zes_pci_state_t);
  SAME_PLACE(PciState, status, zes_pci_state_t, status);
  SAME_PLACE(PciState, quality_issues, zes_pci_state_t, qualityIssues);
  SAME_PLACE(PciState, speed.generation, zes_pci_state_t, speed.gen);
  SAME_SIZE(PciStats, zes_pci_stats_t);
  SAME_PLACE(PciStats, timestamp, zes_pci_stats_t, timestamp);
  SAME_PLACE(PciStats, replays, zes_pci_stats_t, replayCounter);
  SAME_PLACE(PciStats, received, zes_pci_stats_t, rxCounter);
  SAME_PLACE(PciStats, transmitted, zes_pci_stats_t, txCounter);

  SAME_SIZE(EccProperties, zes_device_ecc_properties_t);
  SAME_PLACE(EccProperties, current, zes_device_ecc_properties_t, currentState);
  SAME_PLACE(EccProperties, pending, zes_device_ecc_properties_t, pendingState);

  SAME_SIZE(EngineProperties, zes_engine_properties_t);
  SAME_PLACE(EngineProperties, type, zes_engine_properties_t, type);
  SAME_PLACE(EngineProperties, on_subdevice, zes_engine_properties_t, onSubdevice);
  SAME_PLACE(EngineProperties, subdevice, zes_engine_properties_t, subdeviceId);
  SAME_SIZE(EngineStats, zes_engine_stats_t);
  SAME_PLACE(EngineStats, active, zes_engine_stats_t, activeTime);
  SAME_PLACE(EngineStats, timestamp, zes_engine_stats_t, timestamp);

  SAME_SIZE(MemoryProperties, zes_mem_properties_t);
  SAME_PLACE(MemoryProperties, location, zes_mem_properties_t, location);
  SAME_PLACE(MemoryProperties, size, zes_mem_properties_t, physicalSize);
  SAME_SIZE(MemoryState, zes_mem_state_t);
  SAME_PLACE(MemoryState, health, zes_mem_state_t, health);
  SAME_PLACE(MemoryState, free, zes_mem_state_t, free);
  SAME_PLACE(MemoryState, size, zes_mem_state_t, size);
  SAME_SIZE(MemoryBandwidth, zes_mem_bandwidth_t);
  SAME_PLACE(MemoryBandwidth, read, zes_mem_bandwidth_t, readCounter);
  SAME_PLACE(MemoryBandwidth, written, zes_mem_bandwidth_t, writeCounter);
  SAME_PLACE(MemoryBandwidth, most, zes_mem_bandwidth_t, maxBandwidth);
  SAME_PLACE(MemoryBandwidth, timestamp, zes_mem_bandwidth_t, timestamp);

  SAME_SIZE(TemperatureProperties, zes_temp_properties_t);
  SAME_PLACE(TemperatureProperties, type, zes_temp_properties_t, type);
  SAME_PLACE(TemperatureProperties, subdevice, zes_temp_properties_t, subdeviceId);

  SAME_SIZE(PowerProperties, zes_power_properties_t);
  SAME_PLACE(PowerProperties, on_subdevice, zes_power_properties_t, onSubdevice);
  SAME_PLACE(PowerProperties, subdevice, zes_power_properties_t, subdeviceId);
  SAME_PLACE(PowerProperties, default_limit, zes_power_properties_t, defaultLimit);
  SAME_PLACE(PowerProperties, least_limit, zes_power_properties_t, minLimit);
  SAME_PLACE(PowerProperties, most_limit, zes_power_properties_t, maxLimit);
  SAME_SIZE(PowerExtProperties, zes_power_ext_properties_t);
  SAME_PLACE(PowerExtProperties, domain, zes_power_ext_properties_t, domain);
  SAME_SIZE(EnergyCounter, zes_power_energy_counter_t);
  SAME_PLACE(EnergyCounter, energy, zes_power_energy_counter_t, energy);
  SAME_PLACE(EnergyCounter, timestamp, zes_power_energy_counter_t, timestamp);
  SAME_SIZE(PowerLimitExt, zes_power_limit_ext_desc_t);
  SAME_PLACE(PowerLimitExt, level, zes_power_limit_ext_desc_t, level);
  SAME_PLACE(PowerLimitExt, unit, zes_power_limit_ext_desc_t, limitUnit);
  SAME_PLACE(PowerLimitExt, enabled, zes_power_limit_ext_desc_t, enabled);
  SAME_PLACE(PowerLimitExt, limit, zes_power_limit_ext_desc_t, limit);
  SAME_SIZE(SustainedLimit, zes_power_sustained_limit_t);
  SAME_PLACE(SustainedLimit, power, zes_power_sustained_limit_t, power);

  SAME_SIZE(FrequencyProperties, zes_freq_properties_t);
  SAME_PLACE(FrequencyProperties, type, zes_freq_properties_t, type);
  SAME_PLACE(FrequencyProperties, subdevice, zes_freq_properties_t, subdeviceId);
  SAME_PLACE(FrequencyProperties, most, zes_freq_properties_t, max);
  SAME_SIZE(FrequencyState, zes_freq_state_t);
  SAME_PLACE(FrequencyState, actual, zes_freq_state_t, actual);
  SAME_PLACE(FrequencyState, throttle, zes_freq_state_t, throttleReasons);

  SAME_SIZE(FanProperties, zes_fan_properties_t);
  SAME_PLACE(FanProperties, most_rpm, zes_fan_properties_t, maxRPM);
  SAME_SIZE(RasProperties, zes_ras_properties_t);
  SAME_PLACE(RasProperties, type, zes_ras_properties_t, type);
  SAME_PLACE(RasProperties, subdevice, zes_ras_properties_t, subdeviceId);
  SAME_SIZE(RasState, zes_ras_state_t);
  SAME_PLACE(RasState, category, zes_ras_state_t, category);

  SAME_SIZE(PortProperties, zes_fabric_port_properties_t);
  SAME_PLACE(PortProperties, subdevice, zes_fabric_port_properties_t, subdeviceId);
  SAME_PLACE(PortProperties, id.attach, zes_fabric_port_properties_t, portId.attachId);
  SAME_PLACE(PortProperties, id.port, zes_fabric_port_properties_t, portId.portNumber);
  SAME_SIZE(PortState, zes_fabric_port_state_t);
  SAME_PLACE(PortState, status, zes_fabric_port_state_t, status);
  SAME_PLACE(PortState, transmit, zes_fabric_port_state_t, txSpeed);
  SAME_SIZE(PortThroughput, zes_fabric_port_throughput_t);
  SAME_PLACE(PortThroughput, received, zes_fabric_port_throughput_t, rxCounter);
  SAME_PLACE(PortThroughput, transmitted, zes_fabric_port_throughput_t, txCounter);
}

TEST(LevelZeroAbi, StructuresSayWhatTheyAre) {
  EXPECT_EQ(DeviceProperties().stype, ZES_STRUCTURE_TYPE_DEVICE_PROPERTIES);
  EXPECT_EQ(DeviceProperties().core_stype, static_cast<uint32_t>(ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES));
  EXPECT_EQ(DeviceState().stype, ZES_STRUCTURE_TYPE_DEVICE_STATE);
  EXPECT_EQ(ProcessState().stype, ZES_STRUCTURE_TYPE_PROCESS_STATE);
  EXPECT_EQ(PciProperties().stype, ZES_STRUCTURE_TYPE_PCI_PROPERTIES);
  EXPECT_EQ(PciState().stype, ZES_STRUCTURE_TYPE_PCI_STATE);
  EXPECT_EQ(EccProperties().stype, ZES_STRUCTURE_TYPE_DEVICE_ECC_PROPERTIES);
  EXPECT_EQ(EngineProperties().stype, ZES_STRUCTURE_TYPE_ENGINE_PROPERTIES);
  EXPECT_EQ(MemoryProperties().stype, ZES_STRUCTURE_TYPE_MEM_PROPERTIES);
  EXPECT_EQ(MemoryState().stype, ZES_STRUCTURE_TYPE_MEM_STATE);
  EXPECT_EQ(TemperatureProperties().stype, ZES_STRUCTURE_TYPE_TEMP_PROPERTIES);
  EXPECT_EQ(PowerProperties().stype, ZES_STRUCTURE_TYPE_POWER_PROPERTIES);
  EXPECT_EQ(PowerExtProperties().stype, ZES_STRUCTURE_TYPE_POWER_EXT_PROPERTIES);
  EXPECT_EQ(PowerLimitExt().stype, ZES_STRUCTURE_TYPE_POWER_LIMIT_EXT_DESC);
  EXPECT_EQ(FrequencyProperties().stype, ZES_STRUCTURE_TYPE_FREQ_PROPERTIES);
  EXPECT_EQ(FrequencyState().stype, ZES_STRUCTURE_TYPE_FREQ_STATE);
  EXPECT_EQ(FanProperties().stype, ZES_STRUCTURE_TYPE_FAN_PROPERTIES);
  EXPECT_EQ(RasProperties().stype, ZES_STRUCTURE_TYPE_RAS_PROPERTIES);
  EXPECT_EQ(RasState().stype, ZES_STRUCTURE_TYPE_RAS_STATE);
  EXPECT_EQ(PortProperties().stype, ZES_STRUCTURE_TYPE_FABRIC_PORT_PROPERTIES);
  EXPECT_EQ(PortState().stype, ZES_STRUCTURE_TYPE_FABRIC_PORT_STATE);
}

TEST(LevelZeroAbi, NumbersMeanTheSame) {
  const auto same = [](uint32_t ours, auto theirs) { EXPECT_EQ(ours, static_cast<uint32_t>(theirs)); };
  same(kNotReady, ZE_RESULT_NOT_READY);
  same(kDeviceLost, ZE_RESULT_ERROR_DEVICE_LOST);
  same(kInsufficientPermissions, ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS);
  same(kNotAvailable, ZE_RESULT_ERROR_NOT_AVAILABLE);
  same(kDependencyUnavailable, ZE_RESULT_ERROR_DEPENDENCY_UNAVAILABLE);
  same(kUninitialized, ZE_RESULT_ERROR_UNINITIALIZED);
  same(kUnsupportedVersion, ZE_RESULT_ERROR_UNSUPPORTED_VERSION);
  same(kUnsupportedFeature, ZE_RESULT_ERROR_UNSUPPORTED_FEATURE);
  same(kInvalidArgument, ZE_RESULT_ERROR_INVALID_ARGUMENT);
  same(kInvalidNullHandle, ZE_RESULT_ERROR_INVALID_NULL_HANDLE);
  same(kInvalidNullPointer, ZE_RESULT_ERROR_INVALID_NULL_POINTER);
  same(kInvalidSize, ZE_RESULT_ERROR_INVALID_SIZE);
  same(kUnknownError, ZE_RESULT_ERROR_UNKNOWN);
  same(kDeviceTypeGpu, ZE_DEVICE_TYPE_GPU);
  same(kDeviceIntegrated, ZE_DEVICE_PROPERTY_FLAG_INTEGRATED);
  same(kResetWedged, ZES_RESET_REASON_FLAG_WEDGED);
  same(kResetRepair, ZES_RESET_REASON_FLAG_REPAIR);
  same(kPciQualityIssues, ZES_PCI_LINK_STATUS_QUALITY_ISSUES);
  same(kPciStabilityIssues, ZES_PCI_LINK_STATUS_STABILITY_ISSUES);
  same(kEccEnabled, ZES_DEVICE_ECC_STATE_ENABLED);
  same(kEccDisabled, ZES_DEVICE_ECC_STATE_DISABLED);
  same(kEngineAll, ZES_ENGINE_GROUP_ALL);
  same(kEngineComputeAll, ZES_ENGINE_GROUP_COMPUTE_ALL);
  same(kEngineMediaAll, ZES_ENGINE_GROUP_MEDIA_ALL);
  same(kEngineCopyAll, ZES_ENGINE_GROUP_COPY_ALL);
  same(kEngineCompute, ZES_ENGINE_GROUP_COMPUTE_SINGLE);
  same(kEngineRender, ZES_ENGINE_GROUP_RENDER_SINGLE);
  same(kEngineMediaDecode, ZES_ENGINE_GROUP_MEDIA_DECODE_SINGLE);
  same(kEngineMediaEncode, ZES_ENGINE_GROUP_MEDIA_ENCODE_SINGLE);
  same(kEngineCopy, ZES_ENGINE_GROUP_COPY_SINGLE);
  same(kEngineMediaEnhance, ZES_ENGINE_GROUP_MEDIA_ENHANCEMENT_SINGLE);
  same(kEngineRenderAll, ZES_ENGINE_GROUP_RENDER_ALL);
  same(kMemoryInDevice, ZES_MEM_LOC_DEVICE);
  same(kMemoryDegraded, ZES_MEM_HEALTH_DEGRADED);
  same(kMemoryCritical, ZES_MEM_HEALTH_CRITICAL);
  same(kMemoryReplace, ZES_MEM_HEALTH_REPLACE);
  same(kSensorGlobal, ZES_TEMP_SENSORS_GLOBAL);
  same(kSensorGpu, ZES_TEMP_SENSORS_GPU);
  same(kSensorMemory, ZES_TEMP_SENSORS_MEMORY);
  same(kPowerCard, ZES_POWER_DOMAIN_CARD);
  same(kPowerPackage, ZES_POWER_DOMAIN_PACKAGE);
  same(kPowerStack, ZES_POWER_DOMAIN_STACK);
  same(kLevelSustained, ZES_POWER_LEVEL_SUSTAINED);
  same(kUnitPower, ZES_LIMIT_UNIT_POWER);
  same(kFrequencyGpu, ZES_FREQ_DOMAIN_GPU);
  same(kFrequencyMemory, ZES_FREQ_DOMAIN_MEMORY);
  same(kThrottleAveragePower, ZES_FREQ_THROTTLE_REASON_FLAG_AVE_PWR_CAP);
  same(kThrottleBurstPower, ZES_FREQ_THROTTLE_REASON_FLAG_BURST_PWR_CAP);
  same(kThrottleCurrent, ZES_FREQ_THROTTLE_REASON_FLAG_CURRENT_LIMIT);
  same(kThrottleThermalLimit, ZES_FREQ_THROTTLE_REASON_FLAG_THERMAL_LIMIT);
  same(kThrottlePsuAlert, ZES_FREQ_THROTTLE_REASON_FLAG_PSU_ALERT);
  same(kThrottleSoftwareRange, ZES_FREQ_THROTTLE_REASON_FLAG_SW_RANGE);
  same(kThrottleHardwareRange, ZES_FREQ_THROTTLE_REASON_FLAG_HW_RANGE);
  same(kFanRpm, ZES_FAN_SPEED_UNITS_RPM);
  same(kFanPercent, ZES_FAN_SPEED_UNITS_PERCENT);
  same(kRasCategories, ZES_MAX_RAS_ERROR_CATEGORY_COUNT);
  same(kRasCorrectable, ZES_RAS_ERROR_TYPE_CORRECTABLE);
  same(kRasUncorrectable, ZES_RAS_ERROR_TYPE_UNCORRECTABLE);
  same(kPortHealthy, ZES_FABRIC_PORT_STATUS_HEALTHY);
  same(kPortDegraded, ZES_FABRIC_PORT_STATUS_DEGRADED);
  same(kPortFailed, ZES_FABRIC_PORT_STATUS_FAILED);
  same(kPortDisabled, ZES_FABRIC_PORT_STATUS_DISABLED);
}

}  // namespace
}  // namespace accelmon::level_zero

#else

TEST(LevelZeroAbi, IsComparedWhereItsHeadersAre) {
  GTEST_SKIP() << "no Level Zero headers: install libze-dev";
}

#endif

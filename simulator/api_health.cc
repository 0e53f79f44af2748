// Errors and repairs: ECC, retired pages, remapped rows.

#include <cmath>

#include "api.h"

namespace accelmon::nvml {

namespace {

// Errors since the driver was loaded (volatile), or over the board's life.
double ecc_errors(const Entry& entry, int error, int counter, std::optional<int> location) {
  const Device& d = entry.device();
  const bool corrected = error == kEccCorrected;
  const auto grown = [&](const Wave& wave) {
    // Counted by a function of time; loading the driver sets the volatile count back.
    const double before = counter == kEccVolatile && entry.since > 0 ? wave.value(entry.since) : 0;
    return std::max(std::floor(wave.value(entry.t)) - std::floor(before), 0.0);
  };
  const double sram = grown(corrected ? d.ecc_sram_corrected : d.ecc_sram_uncorrected);
  const double dram = grown(corrected ? d.ecc_dram_corrected : d.ecc_dram_uncorrected);
  const double earlier = counter != kEccAggregate ? 0
                         : corrected              ? d.ecc_aggregate_corrected
                                                  : d.ecc_aggregate_uncorrected;
  if (!location) return sram + dram + earlier;
  return *location == kLocationDram ? dram + earlier : sram;
}

int good_counter(int error, int counter) {
  const bool good =
      (error == kEccCorrected || error == kEccUncorrected) && (counter == kEccVolatile || counter == kEccAggregate);
  return good ? kSuccess : kInvalidArgument;
}

int retired_pages(Call call, DeviceHandle device, int cause, U32* count, U64* addresses, U64* timestamps) {
  return device_call(call, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!count || cause < kRetiredSingleBit || cause > kRetiredDoubleBit) return kInvalidArgument;
    const Device& d = entry.device();
    if (!d.retired_pages) return kNotSupported;
    const Wave& wave = cause == kRetiredSingleBit ? d.pages_single : d.pages_double;
    const U32 room = *count;
    *count = entry.u32(std::floor(wave.value(entry.t)));
    if (room < *count) return kInsufficientSize;
    if (*count > 0 && !addresses) return kInvalidArgument;
    for (U32 i = 0; i < *count; ++i) {
      addresses[i] = simulator::mix(*entry.index * 128 + static_cast<U32>(cause) * 64 + i) & 0xfffff000;
      if (timestamps) timestamps[i] = static_cast<U64>(Library::get().wall_us(entry.since));
    }
    return kSuccess;
  });
}

}  // namespace

int nvmlDeviceGetEccMode(DeviceHandle device, int* current, int* pending) {
  return device_call(Call::nvmlDeviceGetEccMode, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!current || !pending) return kInvalidArgument;
    if (!entry.device().ecc) return kNotSupported;
    *current = *pending = *entry.device().ecc ? 1 : 0;
    return kSuccess;
  });
}

int nvmlDeviceGetTotalEccErrors(DeviceHandle device, int error, int counter, U64* out) {
  return read_number(Call::nvmlDeviceGetTotalEccErrors, device, Takes::gpu, out, [&](Entry& entry, int& code) {
    code = good_counter(error, counter);
    if (code == kSuccess && !entry.device().ecc.value_or(false)) code = kNotSupported;
    return ecc_errors(entry, error, counter, std::nullopt);
  });
}

int nvmlDeviceGetMemoryErrorCounter(DeviceHandle device, int error, int counter, int location, U64* out) {
  return read_number(Call::nvmlDeviceGetMemoryErrorCounter, device, Takes::gpu_or_mig, out,
                     [&](Entry& entry, int& code) {
                       code = good_counter(error, counter);
                       if (location < kLocationL1 || location > kLocationSram) code = kInvalidArgument;
                       // Boards of today count by DRAM and SRAM only.
                       const bool known = location == kLocationDram || location == kLocationSram;
                       if (code == kSuccess && !(known && entry.device().ecc.value_or(false))) code = kNotSupported;
                       return ecc_errors(entry, error, counter, location);
                     });
}

int nvmlDeviceGetRetiredPages(DeviceHandle device, int cause, U32* count, U64* addresses) {
  return retired_pages(Call::nvmlDeviceGetRetiredPages, device, cause, count, addresses, nullptr);
}
int nvmlDeviceGetRetiredPages_v2(DeviceHandle device, int cause, U32* count, U64* addresses, U64* timestamps) {
  return retired_pages(Call::nvmlDeviceGetRetiredPages_v2, device, cause, count, addresses, timestamps);
}

int nvmlDeviceGetRetiredPagesPendingStatus(DeviceHandle device, int* out) {
  return read_number(Call::nvmlDeviceGetRetiredPagesPendingStatus, device, Takes::gpu, out,
                     [](Entry& entry, int& code) {
                       if (!entry.device().retired_pages) code = kNotSupported;
                       return std::floor(entry.device().pages_pending.value(entry.t));
                     });
}

int nvmlDeviceGetRemappedRows(DeviceHandle device, U32* corrected, U32* uncorrected, U32* pending, U32* failed) {
  return device_call(Call::nvmlDeviceGetRemappedRows, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!corrected || !uncorrected || !pending || !failed) return kInvalidArgument;
    const Device& d = entry.device();
    if (!d.remapped_rows || d.mig_enabled()) return kNotSupported;
    *corrected = entry.u32(std::floor(d.rows_corrected.value(entry.t)));
    *uncorrected = entry.u32(std::floor(d.rows_uncorrected.value(entry.t)));
    *pending = entry.u32(std::floor(d.rows_pending.value(entry.t)));
    *failed = entry.u32(std::floor(d.rows_failure.value(entry.t)));
    return kSuccess;
  });
}

int nvmlDeviceGetRowRemapperHistogram(DeviceHandle device, RowRemapperHistogram* out) {
  return device_call(Call::nvmlDeviceGetRowRemapperHistogram, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    const Device& d = entry.device();
    if (!d.remapped_rows || d.mig_enabled()) return kNotSupported;
    *out = RowRemapperHistogram{entry.u32(d.row_histogram[0]), entry.u32(d.row_histogram[1]),
                                entry.u32(d.row_histogram[2]), entry.u32(d.row_histogram[3]),
                                entry.u32(d.row_histogram[4])};
    return kSuccess;
  });
}

}  // namespace accelmon::nvml

#include "collectors/nvml/nvml_fields.h"

#include <algorithm>

#include "base/text.h"

namespace accelmon::nvml {

int interface_version(int cuda_version, std::string_view driver_version) {
  if (cuda_version >= 1000 && cuda_version < 1'000'000) return cuda_version / 1000 * 100 + cuda_version % 1000 / 10;
  struct Branch {
    uint64_t driver;
    int interface;
  };
  static constexpr Branch kBranches[] = {{610, 1303}, {595, 1302}, {590, 1301}, {580, 1300}, {575, 1209},
                                         {570, 1208}, {565, 1207}, {560, 1206}, {555, 1205}, {550, 1204},
                                         {545, 1203}, {535, 1202}, {530, 1201}, {525, 1200}};
  const auto driver = parse_u64(driver_version.substr(0, driver_version.find('.')));
  if (!driver) return 0;
  for (const Branch& branch : kBranches)
    if (*driver >= branch.driver) return branch.interface;
  return 0;
}

std::vector<std::array<U32, 3>> reason_time_fields(int interface) {
  std::vector<std::array<U32, 3>> candidates;
  if (interface >= 1209)
    candidates.push_back({kFieldThermalSoftwareTime131, kFieldThermalHardwareTime131, kFieldPowerBrakeTime131});
  if (interface >= 1209 && interface < 1301)
    candidates.push_back({kFieldThermalSoftwareTime129, kFieldThermalHardwareTime129, kFieldPowerBrakeTime129});
  return candidates;
}

FieldNumber decode(const FieldValue& field) {
  FieldNumber number;
  number.code = field.result;
  number.type = field.value_type;
  if (field.result != kSuccess) return number;
  const auto whole = [&](uint64_t value, bool not_available) {
    number.integer = value;
    number.value = static_cast<double>(value);
    if (not_available) number.code = kNotSupported;
  };
  const auto with_sign = [&](int64_t value) {
    number.integer = value > 0 ? static_cast<uint64_t>(value) : 0;
    number.value = static_cast<double>(value);
  };
  switch (field.value_type) {
    case kDouble:
      number.value = field.value.f64;
      // Doubles outside have no integer; NaN compares false.
      if (number.value >= 0 && number.value < 9e18) number.integer = static_cast<uint64_t>(number.value);
      break;
    case kUnsignedInt:
      whole(field.value.u32, field.value.u32 == kNoValue32);
      break;
    case kUnsignedLong:
      whole(field.value.ul, field.value.ul == ~0ul);
      break;
    case kUnsignedLongLong:
      whole(field.value.u64, field.value.u64 == kNoValue64);
      break;
    case kSignedLongLong:
      with_sign(field.value.i64);
      break;
    case kSignedInt:
      with_sign(field.value.i32);
      break;
    case kUnsignedShort:
      whole(field.value.u16, false);
      break;
    default:
      number.code = kUnknownError;  // a type that we cannot read is no number
  }
  return number;
}

void FieldBatch::add(const FieldRequest& request) {
  requests_.push_back(request);
  counters_.emplace_back(request.most);
  values_.push_back(FieldValue{});
}

int FieldBatch::read(Library& nvml, DeviceHandle device) {
  for (size_t i = 0; i < requests_.size(); ++i) {
    values_[i] = FieldValue{};
    values_[i].field_id = requests_[i].id;
    values_[i].scope_id = requests_[i].scope;
    // What the library leaves as it was is no answer.
    values_[i].result = kNotSupported;
    values_[i].value_type = -1;
  }
  code_ = nvml.call<Symbol::nvmlDeviceGetFieldValues>(device, static_cast<int>(values_.size()), values_.data());
  return code_;
}

FieldNumber FieldBatch::number(size_t i) const {
  if (code_ != kSuccess) {
    FieldNumber number;
    number.code = code_;
    return number;
  }
  return decode(values_[i]);
}

Reading FieldBatch::reading(size_t i, Nanos monotonic) {
  const FieldNumber number = this->number(i);
  const FieldRequest& request = requests_[i];
  if (number.code != kSuccess || request.use == FieldRequest::Use::plain)
    return Reading{number.code, number.value * request.scale};
  if (number.type == kUnsignedInt) counters_[i].set_width(uint64_t{1} << 32);
  const auto total = counters_[i].update(number.integer, monotonic);
  if (!total) return Reading{kNoData, 0};
  return Reading{kSuccess, static_cast<double>(*total) * request.scale};
}

void FieldBatch::inherit(const FieldBatch& earlier) {
  for (size_t i = 0; i < requests_.size(); ++i)
    for (size_t j = 0; j < earlier.requests_.size(); ++j)
      if (requests_[i].id == earlier.requests_[j].id && requests_[i].scope == earlier.requests_[j].scope)
        counters_[i] = earlier.counters_[j];
}

}  // namespace accelmon::nvml

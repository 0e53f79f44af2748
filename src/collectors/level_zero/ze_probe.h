// Templates of discovery that ze_probe.cc and ze_probe_links.cc share.
#pragma once

#include <utility>

#include "collectors/level_zero/ze_device.h"

namespace accelmon::level_zero {

// Makes the source and reads it once; null where it cannot tell, or may not.
template <class S, class... More>
S* Gpu::offer(MetricId metric, int device, std::string_view why, Handle handle, More&&... more) {
  if (lost_) return nullptr;
  auto source = std::make_unique<S>(handle, cells_, std::forward<More>(more)...);
  Reads in{host_.ze, cells_, host_.clock.monotonic()};
  const ZeResult code = source->read(in);
  if (fails(code)) return nullptr;
  // A driver that leaves a function out: with several drivers the loader answers in its place.
  const State state = code == kUninitialized ? State::unsupported : state_of(code);
  if (state == State::unsupported || state == State::no_permission) {
    absent(metric, device, state, reason_for(code, why));
    return nullptr;
  }
  source->call = host_.ze.calls().last();
  S* const made = source.get();
  sources_.push_back(std::move(source));
  return made;
}

// Calls take(handle, properties, device) for every handle of a kind.
template <class Properties, Symbol kList, Symbol kProperties, class Take>
ZeResult Gpu::each(Take&& take) {
  if (lost_) return kDeviceLost;
  std::vector<Handle> handles;
  const ZeResult code = host_.ze.list<kList>(handles, handle_);
  if (fails(code)) return code;
  for (const Handle handle : handles) {
    if (handle == nullptr) continue;
    Properties properties;
    if (fails(host_.ze.call<kProperties>(handle, &properties))) return lost_code_;
    take(handle, properties, local(properties.on_subdevice, properties.subdevice));
    if (lost_) return lost_code_;
  }
  return code;
}

}  // namespace accelmon::level_zero

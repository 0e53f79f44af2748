// Units of the metric table. SI base units inside; what a vendor gives in another one is converted by its collector.
#pragma once

#include <cstdint>
#include <string_view>

namespace accelmon {

enum class Unit : uint8_t {
  one,  // a share of something, 0 to 1; also the unit of states and infos
  bytes,
  bytes_per_second,
  seconds,
  joules,
  watts,
  hertz,
  celsius,
  rpm,
  volts,
  // Counted things (braced units: annotations in UCUM, dropped by Prometheus).
  state,
  lane,
  generation,
  error,
  replay,
  row,
  page,
  event,
  process,
  cpu,
  operation,
  packet,
  fault,
  load,
  tick,
  restart,
  call,
  sample,
  series,
  scrape,
  request,
  connection,
  line,
  reload,
  transition,
  poll,
  finding,
};

// UCUM text as OpenTelemetry writes it ("By", "s", "Cel", "{row}").
constexpr std::string_view unit_text(Unit unit) {
  switch (unit) {
    case Unit::one:
      return "1";
    case Unit::bytes:
      return "By";
    case Unit::bytes_per_second:
      return "By/s";
    case Unit::seconds:
      return "s";
    case Unit::joules:
      return "J";
    case Unit::watts:
      return "W";
    case Unit::hertz:
      return "Hz";
    case Unit::celsius:
      return "Cel";
    case Unit::rpm:
      return "rpm";
    case Unit::volts:
      return "V";
    case Unit::state:
      return "{state}";
    case Unit::lane:
      return "{lane}";
    case Unit::generation:
      return "{generation}";
    case Unit::error:
      return "{error}";
    case Unit::replay:
      return "{replay}";
    case Unit::row:
      return "{row}";
    case Unit::page:
      return "{page}";
    case Unit::event:
      return "{event}";
    case Unit::process:
      return "{process}";
    case Unit::cpu:
      return "{cpu}";
    case Unit::operation:
      return "{operation}";
    case Unit::packet:
      return "{packet}";
    case Unit::fault:
      return "{fault}";
    case Unit::load:
      return "{load}";
    case Unit::tick:
      return "{tick}";
    case Unit::restart:
      return "{restart}";
    case Unit::call:
      return "{call}";
    case Unit::sample:
      return "{sample}";
    case Unit::series:
      return "{series}";
    case Unit::scrape:
      return "{scrape}";
    case Unit::request:
      return "{request}";
    case Unit::connection:
      return "{connection}";
    case Unit::line:
      return "{line}";
    case Unit::reload:
      return "{reload}";
    case Unit::transition:
      return "{transition}";
    case Unit::poll:
      return "{poll}";
    case Unit::finding:
      return "{finding}";
  }
  return "";
}

// The word that the OpenTelemetry-to-Prometheus translation appends; empty for braced units and, except for gauges
// (see prometheus_name), for `one`.
constexpr std::string_view prometheus_unit(Unit unit) {
  switch (unit) {
    case Unit::bytes:
      return "bytes";
    case Unit::bytes_per_second:
      return "bytes_per_second";
    case Unit::seconds:
      return "seconds";
    case Unit::joules:
      return "joules";
    case Unit::watts:
      return "watts";
    case Unit::hertz:
      return "hertz";
    case Unit::celsius:
      return "celsius";
    case Unit::rpm:
      return "rpm";
    case Unit::volts:
      return "volts";
    default:
      return "";
  }
}

}  // namespace accelmon

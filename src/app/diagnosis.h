// What `accelmon doctor` finds in a report: for each collector what is read, what is not and why, and what to do.
// Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/layout.h"
#include "app/report.h"

namespace accelmon {

struct NotRead {
  std::string reason;
  std::string state;                 // "unsupported", "no_permission", ...
  std::vector<std::string> metrics;  // OpenTelemetry names
  std::vector<std::string> devices;  // names; empty: all of the collector
};

struct CollectorDiagnosis {
  const ReportCollector* collector = nullptr;
  size_t metrics = 0;  // metrics with at least one known value
  size_t devices = 0;  // its own, and others' of which it reads something
  // The source before it, from which what both read is taken; nullptr: there is none.
  const ReportCollector* stands_by_for = nullptr;
  std::vector<NotRead> not_read;
  std::vector<ReportCall> slow;  // slowest first
};

struct Diagnosis {
  std::vector<CollectorDiagnosis> collectors;
  std::vector<std::string> advice;
};

// The result points into `report`.
Diagnosis diagnose(const Report& report);

std::string render_doctor(const Report& report, const Diagnosis& diagnosis, const View& view);
std::string doctor_json(const Report& report, const Diagnosis& diagnosis);

// "accelmon.gpu.sm.activity" -> "SM activity"
std::string plain_name(std::string_view metric);

}  // namespace accelmon

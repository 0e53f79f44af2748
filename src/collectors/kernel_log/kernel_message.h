// Records of /dev/kmsg, and which of them tell of an accelerator's error.
//
// Pure functions over hostile text: nothing is copied beyond bounds, and what a record claims is believed only of the
// kernel itself (facility 0); what a program writes into the log is not.
// Threads: values. Cost: a record that tells of nothing is left after a few comparisons and allocates nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "model/event.h"

namespace accelmon::kernel_log {

// "6,339,5140900,-;text\n SUBSYSTEM=pci\n DEVICE=+pci:0000:18:00.0\n"
struct Record {
  bool kernel = false;  // written by the kernel, not by a program
  uint64_t sequence = 0;
  Nanos since_boot = 0;      // by the kernel's own clock
  std::string_view text;     // its line, without what follows
  std::string_view address;  // of the DEVICE= line, where it is a PCI device
};
std::optional<Record> parse_record(std::string_view record);

enum class Source : uint8_t { nvidia, nvswitch, amd, intel };
std::string_view vendor_of(Source source);

struct Finding {
  Source source = Source::nvidia;
  std::string code;  // "xid:79", "amdgpu:reset_begin"
  Severity severity = Severity::warning;
  std::string address;  // "0000:18:00.0"; empty: the line names no device
  std::string message;  // meaning, and what the line says beyond, printable and bounded
};
// nullopt: the record tells of no accelerator's error.
std::optional<Finding> find_event_in(const Record& record);

// "NVRM: GPU at PCI:0000:18:00: GPU-..." tells which UUID is where.
struct Identity {
  std::string address, uuid;
};
std::optional<Identity> find_identity_in(const Record& record);

// The address at the start of `text` in the forms "0000:18:00", "0000:18:00.0" and with 8 digits of domain, as Linux
// writes it ("0000:18:00.0"); empty: there is none. `text` is moved past it.
std::string take_address(std::string_view& text);

}  // namespace accelmon::kernel_log

// What an event's code means and what to do about it: data/event-catalogue.toml, compiled in.
//
// Threads: constant data. Cost: a binary search.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/event.h"

namespace accelmon {

struct EventEntry {
  std::string_view code;
  Severity severity;
  bool sympathetic;  // follows another error; never the root of a burst that has another event
  std::string_view meaning;
  std::string_view action;
};

// The version that the file gives itself.
uint32_t event_catalogue_version();
// All entries, ordered by code.
std::span<const EventEntry> event_catalogue();
// nullptr: the catalogue does not know the code.
const EventEntry* find_event(std::string_view code);

// NVIDIA's Xid `number` as an event's code, severity and message ("Xid 79: the GPU has fallen off the bus; restart the
// node"). A number that the catalogue does not know is a warning.
struct XidMeaning {
  std::string code;
  Severity severity = Severity::warning;
  std::string message;
};
XidMeaning meaning_of_xid(uint64_t number);

}  // namespace accelmon

#include "model/event_catalogue.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace accelmon {
namespace {

#define EVENT_CATALOGUE_VERSION(number) constexpr uint32_t kVersion = number;
#define EVENT(...)
#include "model/event_catalogue.def"
#undef EVENT_CATALOGUE_VERSION
#undef EVENT

constexpr EventEntry kWritten[] = {
#define EVENT_CATALOGUE_VERSION(...)
#define EVENT(code, severity, sympathetic, meaning, action) {code, Severity::severity, sympathetic, meaning, action},
#include "model/event_catalogue.def"
#undef EVENT_CATALOGUE_VERSION
#undef EVENT
};

bool by_code(const EventEntry& a, const EventEntry& b) {
  return a.code < b.code;
}

const auto& sorted() {
  static const auto table = [] {
    std::array<EventEntry, std::size(kWritten)> all{};
    std::copy(std::begin(kWritten), std::end(kWritten), all.begin());
    std::sort(all.begin(), all.end(), by_code);
    return all;
  }();
  return table;
}

}  // namespace

uint32_t event_catalogue_version() {
  return kVersion;
}

std::span<const EventEntry> event_catalogue() {
  return sorted();
}

const EventEntry* find_event(std::string_view code) {
  const auto& all = sorted();
  const auto found = std::lower_bound(all.begin(), all.end(), EventEntry{code, Severity::info, false, {}, {}}, by_code);
  return found != all.end() && found->code == code ? &*found : nullptr;
}

XidMeaning meaning_of_xid(uint64_t number) {
  const std::string digits = std::to_string(number);
  XidMeaning out{"xid:" + digits, Severity::warning, "Xid " + digits};
  if (const EventEntry* entry = find_event(out.code); entry != nullptr) {
    out.severity = entry->severity;
    out.message += ": " + std::string(entry->meaning) + "; " + std::string(entry->action);
  }
  return out;
}

}  // namespace accelmon

// What the configuration says of one exporter, read with types.
//
// The configuration has checked forms (a duration is one, a list is one); what a destination needs is checked here,
// with errors that name the key. Threads: values.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "encode/labels.h"

namespace accelmon {

struct ExporterSettings {
  ExporterSettings() = default;
  // Of the section [exporters.NAME]: where it says no type, its name is the type.
  ExporterSettings(std::string section, std::map<std::string, std::string, std::less<>> written)
      : name(std::move(section)), options(std::move(written)) {
    type = text("type", name);
  }

  std::string name;                                         // of its section: [exporters.NAME]
  std::string type;                                         // "otlp", "remote_write", ...; see exporters/registry.h
  std::map<std::string, std::string, std::less<>> options;  // lists with one element a line

  bool has(std::string_view key) const { return options.find(key) != options.end(); }
  std::string text(std::string_view key, std::string_view fallback = {}) const;
  bool flag(std::string_view key, bool fallback) const;
  Nanos duration(std::string_view key, Nanos fallback) const;
  uint64_t number(std::string_view key, uint64_t fallback) const;  // counts, and sizes in bytes
  std::vector<std::string> list(std::string_view key) const;
  // A list of "name=value". invalid: an element without '='.
  Result<std::vector<std::pair<std::string, std::string>>> pairs(std::string_view key) const;
  // The list `labels`, and of `defaults` those that it does not name, as encode/labels.h wants them. invalid: what is
  // wrong with the list.
  Result<ConstantLabels> labels(ConstantLabels defaults) const;
  // One of `words`, the first of them by default. invalid: another one, with the known ones.
  Result<std::string> word(std::string_view key, std::vector<std::string_view> words) const;
  // absent: "exporters.NAME.KEY is needed: for example ..."
  Result<std::string> needed(std::string_view key, std::string_view example) const;
  Status wrong(std::string_view key, std::string_view why) const;
};

}  // namespace accelmon

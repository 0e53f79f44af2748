// The part of YAML that configuration files are written in: mappings, lists and texts, each with its place in the file.
//
// Refused, with the place: aliases (a short file could otherwise unfold to gigabytes), tags, several documents, a key
// that comes twice, more than 256 KiB, 4096 nodes or eight levels. Every scalar is a text; who reads it converts it.
// Threads: pure functions. The parser underneath is libyaml's, hidden in the .cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace accelmon {

struct YamlNode {
  enum class Kind : uint8_t { null, text, list, map };

  Kind kind = Kind::null;
  std::string text;
  bool quoted = false;         // the text stood in quotes or in a block: it is no number, truth value or null
  std::vector<YamlNode> keys;  // of a map: as many as values
  std::vector<YamlNode> values;
  uint32_t line = 1;
  uint32_t column = 1;

  const YamlNode* find(std::string_view key) const;  // of a map; nullptr: not there
};

inline constexpr size_t kMaxYamlBytes = 256u << 10;

// `file` is what errors begin with: "FILE:LINE:COLUMN: what is wrong". An empty document is a null.
Result<YamlNode> parse_yaml(std::string_view bytes, std::string_view file);

}  // namespace accelmon

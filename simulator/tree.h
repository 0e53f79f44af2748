// A parsed TOML file as a tree of our own, so that toml++ stays in tree.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace accelmon::simulator {

struct Node {
  enum class Kind : uint8_t { table, array, text, integer, real, flag, other };
  Kind kind = Kind::table;
  unsigned line = 0;  // 0: unknown
  std::string text;
  int64_t integer = 0;      // also of a flag: 0 or 1
  double real = 0;          // also of an integer
  std::string key;          // of a member of a table
  std::vector<Node> items;  // members of a table, elements of an array

  bool is(Kind k) const { return kind == k; }
  bool is_number() const { return kind == Kind::integer || kind == Kind::real; }
  const Node* get(std::string_view wanted) const;
};

// What went wrong first, with its line.
struct FirstError {
  std::string text;
  bool failed() const { return !text.empty(); }
  void add(const Node* at, const std::string& message);
};

// The root table. On an error: an empty one, and `error` says what.
Node parse_toml(std::string_view text, FirstError& error);

}  // namespace accelmon::simulator

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include "tree.h"

#include <toml++/toml.h>

namespace accelmon::simulator {

namespace {

constexpr size_t kLongest = 1 << 20;

Node convert(const toml::node& from) {
  Node node;
  node.line = static_cast<unsigned>(from.source().begin.line);
  if (const auto* table = from.as_table()) {
    node.kind = Node::Kind::table;
    for (const auto& [key, value] : *table) node.members.emplace_back(std::string(key.str()), convert(value));
  } else if (const auto* array = from.as_array()) {
    node.kind = Node::Kind::array;
    for (const toml::node& item : *array) node.items.push_back(convert(item));
  } else if (const auto* text = from.as_string()) {
    node.kind = Node::Kind::text;
    node.text = text->get();
  } else if (const auto* integer = from.as_integer()) {
    node.kind = Node::Kind::integer;
    node.integer = integer->get();
    node.real = static_cast<double>(integer->get());
  } else if (const auto* real = from.as_floating_point()) {
    node.kind = Node::Kind::real;
    node.real = real->get();
  } else if (const auto* flag = from.as_boolean()) {
    node.kind = Node::Kind::flag;
    node.integer = flag->get() ? 1 : 0;
  } else {
    node.kind = Node::Kind::other;  // dates and times: no key wants one
  }
  return node;
}

}  // namespace

const Node* Node::get(std::string_view key) const {
  for (const auto& [name, node] : members) {
    if (name == key) return &node;
  }
  return nullptr;
}

void FirstError::add(const Node* at, const std::string& message) {
  if (failed()) return;
  text = at && at->line ? "line " + std::to_string(at->line) + ": " + message : message;
}

Node parse_toml(std::string_view text, FirstError& error) {
  if (text.size() > kLongest) {
    error.add(nullptr, "longer than 1 MiB");
    return Node();
  }
  const toml::parse_result result = toml::parse(text);
  if (!result) {
    Node at;
    at.line = static_cast<unsigned>(result.error().source().begin.line);
    error.add(&at, std::string(result.error().description()));
    return Node();
  }
  return convert(result.table());
}

}  // namespace accelmon::simulator

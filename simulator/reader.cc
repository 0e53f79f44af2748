#include "reader.h"

#include <cmath>
#include <cstdio>

namespace accelmon::simulator {

namespace {

constexpr size_t kTermsMost = 64;
constexpr size_t kPointsMost = 4096;
constexpr double kBig = 1e18;

std::string shown(double value) {
  char buffer[32];
  snprintf(buffer, sizeof(buffer), "%.6g", value);
  return buffer;
}

}  // namespace

std::string Reader::quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 100)) out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return out + "\"";
}

const Node* Reader::find(std::string_view path) {
  known_.emplace(path);
  for (const Node* table : tables_) {
    if (const Node* node = walk(*table, path)) return node;
  }
  return nullptr;
}

const Node* Reader::walk(const Node& table, std::string_view path) {
  const size_t dot = path.find('.');
  const Node* node = table.get(path.substr(0, dot));
  if (!node || dot == std::string_view::npos) return node;
  if (node->is(Node::Kind::table)) return walk(*node, path.substr(dot + 1));
  fail(node, quoted(path.substr(0, dot)) + " must be a table");
  return nullptr;
}

void Reader::fail(const Node* at, const std::string& message) {
  error_.add(at ? at : (tables_.empty() ? nullptr : tables_.front()), what_ + ": " + message);
}

std::optional<std::string> Reader::text(std::string_view path, size_t longest) {
  const Node* node = find(path);
  if (!node) return std::nullopt;
  if (!node->is(Node::Kind::text)) {
    fail(node, quoted(path) + " must be a string");
  } else if (node->text.size() > longest || node->text.find('\0') != std::string::npos) {
    fail(node, quoted(path) + " is longer than " + std::to_string(longest) + " bytes or holds a NUL");
  } else {
    return node->text;
  }
  return std::nullopt;
}

std::optional<double> Reader::checked(const Node* node, std::string_view name, double low, double high) {
  if (!node->is_number() || !std::isfinite(node->real)) {
    fail(node, quoted(name) + " must be a number");
  } else if (node->real < low || node->real > high) {
    fail(node, quoted(name) + " must lie between " + shown(low) + " and " + shown(high));
  } else {
    return node->real;
  }
  return std::nullopt;
}

std::optional<double> Reader::number(std::string_view path, double low, double high) {
  const Node* node = find(path);
  return node ? checked(node, path, low, high) : std::nullopt;
}

std::optional<int64_t> Reader::integer(std::string_view path, int64_t low, int64_t high) {
  const Node* node = find(path);
  if (!node) return std::nullopt;
  if (!node->is(Node::Kind::integer)) {
    fail(node, quoted(path) + " must be a whole number");
  } else if (node->integer < low || node->integer > high) {
    fail(node, quoted(path) + " must lie between " + std::to_string(low) + " and " + std::to_string(high));
  } else {
    return node->integer;
  }
  return std::nullopt;
}

std::optional<bool> Reader::flag(std::string_view path) {
  const Node* node = find(path);
  if (!node) return std::nullopt;
  if (node->is(Node::Kind::flag)) return node->integer != 0;
  fail(node, quoted(path) + " must be true or false");
  return std::nullopt;
}

std::optional<Wave> Reader::wave(std::string_view path, double low, double high, double unit) {
  const Node* node = find(path);
  if (!node) return std::nullopt;
  Wave sum;
  if (node->is(Node::Kind::array)) {
    if (node->items.size() > kTermsMost) fail(node, quoted(path) + " has more than 64 terms");
    for (const Node& part : node->items) {
      if (error_.failed()) return std::nullopt;
      sum.add(term(part, path), unit);
    }
  } else {
    sum.add(term(*node, path), unit);
  }
  if (error_.failed()) return std::nullopt;
  if (sum.size() > kTermsMost) {
    fail(node, quoted(path) + " has more than 64 terms");
    return std::nullopt;
  }
  const auto [least, most] = sum.bounds();
  const double slack = 1e-9 * (std::abs(low) + std::abs(high)) * unit;
  if (!(least >= low * unit - slack && most <= high * unit + slack)) {
    fail(node, quoted(path) + " may run from " + shown(least / unit) + " to " + shown(most / unit) +
                   "; it must stay between " + shown(low) + " and " + shown(high));
    return std::nullopt;
  }
  return sum;
}

std::vector<std::string> Reader::texts(std::string_view path, std::vector<const Node*>* nodes) {
  std::vector<std::string> all;
  const Node* node = find(path);
  if (!node) return all;
  if (!node->is(Node::Kind::array)) {
    fail(node, quoted(path) + " must be an array of strings");
    return all;
  }
  for (const Node& part : node->items) {
    if (!part.is(Node::Kind::text)) fail(&part, quoted(path) + " must hold strings");
    all.push_back(part.text);
    if (nodes) nodes->push_back(&part);
  }
  return all;
}

std::vector<unsigned> Reader::numbers(std::string_view path, size_t most) {
  std::vector<unsigned> all;
  const Node* node = find(path);
  if (!node) return all;
  if (!node->is(Node::Kind::array)) {
    fail(node, quoted(path) + " must be an array of whole numbers");
    return all;
  }
  for (const Node& part : node->items) {
    if (!part.is(Node::Kind::integer) || part.integer < 0 || part.integer > 0xffffffff || all.size() == most) {
      fail(&part, quoted(path) + " must hold at most " + std::to_string(most) + " whole numbers from 0 to 4294967295");
      break;
    }
    all.push_back(static_cast<unsigned>(part.integer));
  }
  return all;
}

std::vector<const Node*> Reader::tables(std::string_view path, size_t most) {
  std::vector<const Node*> all;
  const Node* node = find(path);
  if (!node) return all;
  if (!node->is(Node::Kind::array)) {
    fail(node, quoted(path) + " must be an array of tables, written [[" + std::string(path) + "]]");
  } else if (node->items.size() > most) {
    fail(node, "more than " + std::to_string(most) + " of " + quoted(path));
  } else {
    for (const Node& part : node->items) {
      if (!part.is(Node::Kind::table)) {
        fail(&part, quoted(path) + " must hold tables");
        break;
      }
      all.push_back(&part);
    }
  }
  return all;
}

void Reader::refuse_unknown() {
  for (const Node* table : tables_) refuse_unknown(*table, "");
}

void Reader::refuse_unknown(const Node& table, const std::string& prefix) {
  for (const Node& node : table.items) {
    const std::string path = prefix + node.key;
    if (known_.count(path)) continue;
    const auto after = known_.lower_bound(path + ".");
    const bool group = after != known_.end() && after->compare(0, path.size() + 1, path + ".") == 0;
    if (group && node.is(Node::Kind::table)) {
      refuse_unknown(node, path + ".");
    } else {
      fail(&node, "unknown key " + quoted(path));
    }
  }
}

Wave Reader::term(const Node& node, std::string_view path) {
  if (node.is_number()) return Wave(checked(&node, path, -kBig, kBig).value_or(0));
  if (!node.is(Node::Kind::table)) {
    fail(&node, quoted(path) + " must be a number, a function { kind = ... }, or an array of them");
    return Wave();
  }
  Reader reader(what_ + ", " + std::string(path), {&node}, error_);
  Wave wave;
  if (const std::optional<std::string> of = reader.text("of")) {
    if (*of != "gpu" || !gpu_)
      reader.fail(&node, "\"of\" can name \"gpu\" only, and not within utilization.gpu itself");
    if (gpu_) wave.add(*gpu_, reader.number("scale", -kBig, kBig).value_or(1));
    wave.add(reader.number("offset", -kBig, kBig).value_or(0));
  } else {
    wave = Wave(function(node, reader));
  }
  reader.refuse_unknown();
  return wave;
}

Term Reader::function(const Node& table, Reader& reader) {
  Term term;
  const std::string kind = reader.text("kind").value_or("");
  const auto need = [&](std::string_view key, double low, double high) {
    const std::optional<double> value = reader.number(key, low, high);
    if (!value) reader.fail(&table, "needs " + quoted(key));
    return value.value_or(1);
  };
  const auto range = [&] {
    term.low = need("low", -kBig, kBig);
    term.high = need("high", -kBig, kBig);
  };
  const auto cycle = [&] {
    range();
    term.period = need("period", 1e-3, 1e9);
    term.phase = reader.number("phase", -1e9, 1e9).value_or(0);
  };
  if (kind == "constant") {
    term.low = term.high = need("value", -kBig, kBig);
  } else if (kind == "sine") {
    term.kind = Term::Kind::sine;
    cycle();
  } else if (kind == "square") {
    term.kind = Term::Kind::square;
    cycle();
    term.duty = reader.number("duty", 0, 1).value_or(0.5);
  } else if (kind == "sawtooth") {
    term.kind = Term::Kind::sawtooth;
    cycle();
  } else if (kind == "ramp") {
    term.kind = Term::Kind::ramp;
    range();
    term.start = need("start", 0, 1e9);
    term.end = need("end", 0, 1e9);
    if (!(term.end > term.start)) reader.fail(&table, "\"end\" must lie after \"start\"");
  } else if (kind == "noise") {
    term.kind = Term::Kind::noise;
    range();
    term.period = reader.number("step", 1e-3, 1e9).value_or(1);
    term.seed = static_cast<uint64_t>(reader.integer("seed", 0, INT64_MAX).value_or(0));
  } else if (kind == "steps") {
    term.kind = Term::Kind::steps;
    read_points(table, reader, term);
  } else {
    reader.fail(&table, "\"kind\" must be constant, sine, square, sawtooth, ramp, noise or steps");
  }
  return term;
}

void Reader::read_points(const Node& table, Reader& reader, Term& term) {
  const Node* list = reader.find("points");
  if (!list || !list->is(Node::Kind::array) || list->items.empty() || list->items.size() > kPointsMost) {
    return reader.fail(list ? list : &table, "needs \"points\" = [[time, value], ...], 1 to 4096 of them");
  }
  for (const Node& point : list->items) {
    if (!point.is(Node::Kind::array) || point.items.size() != 2) {
      return reader.fail(&point, "a point is [time, value]");
    }
    const std::optional<double> at = reader.checked(&point.items[0], "time", 0, 1e9);
    const std::optional<double> value = reader.checked(&point.items[1], "value", -kBig, kBig);
    if (!at || !value) return;
    if (!term.points.empty() && *at <= term.points.back().first) {
      return reader.fail(&point, "times of points must rise");
    }
    term.points.emplace_back(*at, *value);
  }
}

}  // namespace accelmon::simulator

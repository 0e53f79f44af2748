// Typed values out of the tables of a scenario: checks ranges, remembers which keys were asked for, keeps the first
// error with its line.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tree.h"
#include "wave.h"

namespace accelmon::simulator {

// A view of one thing in the file: its own table first, then those it inherits from. A path such as "power.limit_w" is
// looked up in each, so that a table may override one key of a group. The getters answer nothing where the key is
// absent or wrong; what was wrong is in the FirstError.
class Reader {
 public:
  Reader(std::string what, std::vector<const Node*> tables, FirstError& error)
      : what_(std::move(what)), tables_(std::move(tables)), error_(error) {}

  // What { of = "gpu" } means from now on.
  void set_gpu(const Wave* gpu) { gpu_ = gpu; }

  const Node* find(std::string_view path);
  bool has(std::string_view path) { return find(path) != nullptr; }
  void fail(const Node* at, const std::string& message);

  std::optional<std::string> text(std::string_view path, size_t longest = 90);
  std::optional<double> number(std::string_view path, double low, double high);
  std::optional<int64_t> integer(std::string_view path, int64_t low, int64_t high);
  std::optional<bool> flag(std::string_view path);

  // A number, a function { kind = ... }, { of = "gpu" }, or an array of these: their sum, times `unit`. Its bounds are
  // checked (in the file's unit), so that nothing has to be clamped later and integrals stay exact.
  std::optional<Wave> wave(std::string_view path, double low, double high, double unit = 1);

  // Members of an array; empty where there is none. `nodes` (if any): where each stands.
  std::vector<std::string> texts(std::string_view path, std::vector<const Node*>* nodes = nullptr);
  std::vector<unsigned> numbers(std::string_view path, size_t most);
  std::vector<const Node*> tables(std::string_view path, size_t most);

  // A key that nobody asked for is a slip of the pen: an error, not ignored.
  void refuse_unknown();

  static std::string quoted(std::string_view text);

 private:
  const Node* walk(const Node& table, std::string_view path);
  void refuse_unknown(const Node& table, const std::string& prefix);
  std::optional<double> checked(const Node* node, std::string_view name, double low, double high);
  Wave term(const Node& node, std::string_view path);
  Term function(const Node& table, Reader& reader);
  void read_points(const Node& table, Reader& reader, Term& term);

  std::string what_;
  std::vector<const Node*> tables_;
  FirstError& error_;
  std::set<std::string, std::less<>> known_;
  const Wave* gpu_ = nullptr;
};

}  // namespace accelmon::simulator

// What a verb is, and the words of a command line once they are understood.
//
// Help texts, completion, the man page and the parser are all made from a verb's description, so that they cannot
// differ. Threads: constant data and values.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace accelmon {

struct Option {
  std::string_view name;   // "--config"
  std::string_view value;  // "FILE"; empty: a flag
  std::string_view brief;
  std::string_view choices;  // "table|json": only these words; empty: anything
};

class Arguments {
 public:
  bool has(std::string_view option) const { return values_.find(option) != values_.end(); }
  // The option's value, or `fallback` where it was not given.
  std::string value(std::string_view option, std::string_view fallback = {}) const;
  const std::vector<std::string>& words() const { return words_; }  // what is no option

  void set(std::string option, std::string value) { values_[std::move(option)] = std::move(value); }
  void add_word(std::string word) { words_.push_back(std::move(word)); }

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::vector<std::string> words_;
};

struct Verb {
  std::string_view name;
  std::string_view words;  // what stands behind the name: "VENDOR", "check FILE"; empty: nothing
  size_t least_words;
  size_t most_words;
  std::string_view brief;  // one line of the list of verbs
  std::string_view about;  // a paragraph, lines broken at 80 columns
  std::span<const Option> options;
  std::string_view examples[2];
  int (*run)(const Arguments& arguments);
};

inline constexpr int kFine = 0;
inline constexpr int kFailure = 1;
inline constexpr int kWrongUse = 2;

// All verbs that people use, in the order in which they are shown.
std::span<const Verb> all_verbs();
const Verb* find_verb(std::string_view name);

// Understands `argv` (what stands behind the verb). Errors: invalid, one sentence with the nearest known word. `--help`
// and `-h` give Arguments with "--help".
Result<Arguments> parse_arguments(const Verb& verb, std::span<char* const> argv);

std::string main_help();
std::string short_help();
std::string verb_help(const Verb& verb);
std::string bash_completion();
std::string man_page();
// "unknown verb 'statsu'; did you mean 'status'?"
std::string unknown_verb(std::string_view word);

// Writes to standard output, all of it. Returns `code`, or kFailure with a message when it could not be written.
int print(std::string_view text, int code = kFine);
// "accelmon: MESSAGE" on standard error. Returns `code`.
int complain(std::string_view message, int code);

int run_serve(const Arguments& arguments);
int run_status(const Arguments& arguments);
int run_doctor(const Arguments& arguments);
int run_findings(const Arguments& arguments);
int run_cloudwatch_cost(const Arguments& arguments);
int run_torchserve_collect(const Arguments& arguments);
int run_metrics(const Arguments& arguments);
int run_export(const Arguments& arguments);
int run_release(const Arguments& arguments);
int run_resume(const Arguments& arguments);
int run_config(const Arguments& arguments);
int run_completion(const Arguments& arguments);
int run_version(const Arguments& arguments);
int run_help(const Arguments& arguments);

}  // namespace accelmon

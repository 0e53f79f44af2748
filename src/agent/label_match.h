// Prometheus' label matchers, evaluated: =, !=, and =~, !~ with RE2's expressions, anchored at both ends.
//
// RE2 is what PromQL's own engine has the syntax of, and takes time in proportion to the text and bounded memory
// whatever the expression (std::regex recurses once for each character, on a stack of 256 KiB, and backtracks). The
// program of an expression may have 1 MiB. Threads: a value; matching is const and thread-safe.
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "encode/remote_read.h"

namespace accelmon {

class LabelMatch {
 public:
  // invalid: the expression is wrong, or too large when it is unfolded ("(a{1000}){1000}").
  static Result<LabelMatch> make(const LabelMatcher& matcher);
  LabelMatch(LabelMatch&&) noexcept;
  LabelMatch& operator=(LabelMatch&&) noexcept;
  ~LabelMatch();

  std::string_view name() const;
  bool matches(std::string_view value) const;  // an absent label is the empty text

 private:
  struct Impl;
  explicit LabelMatch(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace accelmon

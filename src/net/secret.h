// A text that must never be shown: keys, tokens, passwords.
//
// It converts to nothing and prints nothing; reveal() is the one way to it, so that a search for that word finds every
// place which could leak one. Its memory is wiped before it is given back. Threads: a value.
#pragma once

#include <string.h>  // NOLINT(modernize-deprecated-headers): explicit_bzero

#include <string>
#include <string_view>
#include <utility>

namespace accelmon {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept { text_.swap(other.text_); }
  Secret& operator=(Secret other) noexcept {
    text_.swap(other.text_);
    return *this;
  }
  ~Secret() { ::explicit_bzero(text_.data(), text_.size()); }

  bool empty() const { return text_.empty(); }
  const std::string& reveal() const { return text_; }

 private:
  std::string text_;
};

}  // namespace accelmon

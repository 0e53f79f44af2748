// Writes JSON into a string: commas, quotes, escapes and numbers are right by construction.
//
//   JsonWriter json(out);
//   json.begin_object().key("age").number(0.4).key("states").begin_array().text("ok").end_array().end_object();
//
// NaN and infinities become null. Invalid UTF-8 becomes U+FFFD. Threads: one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace accelmon {

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& text(std::string_view value);
  JsonWriter& number(double value);
  JsonWriter& integer(int64_t value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();

 private:
  void separate();
  std::string& out_;
  std::vector<bool> first_;  // for each open object or array: nothing written in it yet
  bool after_key_ = false;
};

}  // namespace accelmon

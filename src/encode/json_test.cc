#include <gtest/gtest.h>

#include <limits>

#include "encode/json.h"

namespace accelmon {
namespace {

template <class Write>
std::string written(Write write) {
  std::string out;
  JsonWriter json(out);
  write(json);
  return out;
}

TEST(JsonWriter, CommasStandBetweenAndNowhereElse) {
  EXPECT_EQ(written([](JsonWriter& j) {
              j.begin_object().key("age").number(0.4).key("states").begin_array().text("ok").text("x").end_array();
              j.key("none").begin_array().end_array().key("empty").begin_object().end_object();
              j.key("deep").begin_array().begin_array().integer(-1).end_array().begin_object().key("t").boolean(true);
              j.key("n").null().end_object().end_array().end_object();
            }),
            R"({"age":0.4,"states":["ok","x"],"none":[],"empty":{},"deep":[[-1],{"t":true,"n":null}]})");
  EXPECT_EQ(written([](JsonWriter& j) { j.boolean(false); }), "false");
}

TEST(JsonWriter, WhatIsNoNumberIsNull) {
  EXPECT_EQ(written([](JsonWriter& j) {
              j.begin_array()
                  .number(std::numeric_limits<double>::quiet_NaN())
                  .number(std::numeric_limits<double>::infinity())
                  .number(-std::numeric_limits<double>::infinity())
                  .number(1e21)
                  .number(-0.5)
                  .integer(std::numeric_limits<int64_t>::min())
                  .end_array();
            }),
            "[null,null,null,1e+21,-0.5,-9223372036854775808]");
}

TEST(JsonWriter, TextIsEscaped) {
  const auto text = [](std::string_view value) { return written([&](JsonWriter& j) { j.text(value); }); };
  EXPECT_EQ(text("a\"b\\c/d\n\r\t"), R"("a\"b\\c/d\n\r\t")");
  EXPECT_EQ(text(std::string_view("\0\x1f\x7f", 3)), R"("\u0000\u001f\u007f")");
  EXPECT_EQ(text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\xa5"),
            "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\xa5\"");
  EXPECT_EQ(text("a\xff"
                 "b"),
            "\"a\xef\xbf\xbd"
            "b\"");
  EXPECT_EQ(text("\xe2\x82"), "\"\xef\xbf\xbd\"") << "cut off: one replacement";
  EXPECT_EQ(text("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"") << "a surrogate";
  EXPECT_EQ(text("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"") << "an overlong slash";
  EXPECT_EQ(written([](JsonWriter& j) { j.begin_object().key("a\"\n").null().end_object(); }), R"({"a\"\n":null})");
}

}  // namespace
}  // namespace accelmon

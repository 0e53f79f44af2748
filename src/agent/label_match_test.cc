#include "agent/label_match.h"

#include <gtest/gtest.h>

namespace accelmon {
namespace {

LabelMatch match(MatchType type, const std::string& value) {
  return LabelMatch::make({type, "gpu", value}).value();
}

TEST(LabelMatch, EqualAndNot) {
  EXPECT_TRUE(match(MatchType::equal, "0").matches("0"));
  EXPECT_FALSE(match(MatchType::equal, "0").matches("00"));
  EXPECT_TRUE(match(MatchType::equal, "").matches("")) << "an absent label is the empty text";
  EXPECT_FALSE(match(MatchType::not_equal, "").matches(""));
  EXPECT_TRUE(match(MatchType::not_equal, "0").matches("1"));
  EXPECT_EQ(match(MatchType::equal, "0").name(), "gpu");
}

TEST(LabelMatch, ExpressionsAreAnchored) {
  EXPECT_TRUE(match(MatchType::regex, "hw_.*").matches("hw_power_watts"));
  EXPECT_FALSE(match(MatchType::regex, "power").matches("hw_power_watts"));
  EXPECT_TRUE(match(MatchType::regex, "a|b").matches("b"));
  EXPECT_FALSE(match(MatchType::regex, "a|b").matches("ab")) << "the anchors stand around the alternatives";
  EXPECT_TRUE(match(MatchType::regex, "").matches(""));
  EXPECT_TRUE(match(MatchType::regex, ".*").matches(""));
  EXPECT_FALSE(match(MatchType::regex, ".+").matches(""));
  EXPECT_TRUE(match(MatchType::not_regex, "[0-3]").matches("4"));
  EXPECT_FALSE(match(MatchType::not_regex, "[0-3]").matches("3"));
  EXPECT_TRUE(match(MatchType::regex, "(?i)gpu-\\d+").matches("GPU-17"));
}

TEST(LabelMatch, WrongExpressionsAreErrors) {
  for (const char* wrong : {"(", "[", "a**", "\\", "(?=a)", "(a)\\1", "a{2000}", "(((a{100}){100}){100})", "\xff"}) {
    const Result<LabelMatch> made = LabelMatch::make({MatchType::regex, "gpu", wrong});
    ASSERT_FALSE(made) << wrong;
    EXPECT_EQ(made.error().code(), Code::invalid);
    EXPECT_NE(made.error().message().find("for the label gpu"), std::string::npos);
  }
}

TEST(LabelMatch, WhatMakesOthersHangDoesNot) {
  const std::string text(256, 'a');
  EXPECT_FALSE(match(MatchType::regex, "(a+)+b").matches(text));
  EXPECT_FALSE(match(MatchType::regex, "(a|aa)+$b").matches(text));
  EXPECT_FALSE(match(MatchType::regex, "(.*)*(.*)*(.*)*(.*)*[0-9]x").matches(text));
  // No recursion for each parenthesis.
  const auto deep = LabelMatch::make({MatchType::regex, "gpu", std::string(2000, '(') + "a" + std::string(2000, ')')});
  ASSERT_TRUE(deep);
  EXPECT_TRUE(deep->matches("a"));
}

}  // namespace
}  // namespace accelmon

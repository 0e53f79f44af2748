#include "collectors/level_zero/ze_rights.h"

#include <gtest/gtest.h>

namespace accelmon::level_zero {
namespace {

const std::string kHost = "         0          0 4294967295\n";

std::string status(const std::string& capabilities, const std::string& uid) {
  return "Name:\taccelmon\nUid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid +
         "\nCapInh:\t0000000000000000\nCapEff:\t" + capabilities + "\n";
}

TEST(Rights, OfRoot) {
  const Rights rights = rights_of(status("000001ffffffffff", "0"), kHost);
  EXPECT_TRUE(rights.root);
  EXPECT_TRUE(rights.perfmon);
  EXPECT_TRUE(rights.ptrace);
}

TEST(Rights, OfSingleCapabilities) {
  EXPECT_TRUE(rights_of(status("0000004000000000", "990"), kHost).perfmon);
  EXPECT_FALSE(rights_of(status("0000004000000000", "990"), kHost).root);
  EXPECT_FALSE(rights_of(status("0000004000000000", "990"), kHost).ptrace);
  EXPECT_TRUE(rights_of(status("0000000000200000", "990"), kHost).perfmon);
  EXPECT_TRUE(rights_of(status("0000000000080000", "990"), kHost).ptrace);
}

TEST(Rights, RootOfAContainerHasNone) {
  const Rights rights = rights_of(status("000001ffffffffff", "0"), "         0     100000      65536\n");
  EXPECT_FALSE(rights.root);
  EXPECT_FALSE(rights.perfmon);
  EXPECT_FALSE(rights.ptrace);
}

TEST(Rights, WhatCannotBeReadIsDenied) {
  EXPECT_FALSE(rights_of("", kHost).perfmon);
  EXPECT_FALSE(rights_of(status("xyz", "0"), kHost).perfmon);
  EXPECT_FALSE(own_rights("/nonexistent").root);
}

}  // namespace
}  // namespace accelmon::level_zero

#include "net/url.h"

#include <gtest/gtest.h>

namespace accelmon {
namespace {

TEST(Url, Parts) {
  const UrlParts all = split_url("https://user:p@ss@host:4318/v1/metrics?db=a&b=/c#d?e");
  EXPECT_EQ(all.scheme, "https://");
  EXPECT_EQ(all.authority, "user:p@ss@host:4318");
  EXPECT_EQ(all.host, "host:4318");
  EXPECT_EQ(all.path, "/v1/metrics");
  EXPECT_EQ(all.query, "db=a&b=/c");
}

TEST(Url, WhatIsMissingIsEmpty) {
  EXPECT_EQ(split_url("http://[::1]:80").host, "[::1]:80");
  EXPECT_EQ(split_url("http://[::1]:80").path, "");
  EXPECT_EQ(split_url("http://h?q").path, "");
  EXPECT_EQ(split_url("http://h?q").query, "q");
  EXPECT_EQ(split_url("http://h#f").host, "h");
  EXPECT_EQ(split_url("host/path").scheme, "");
  EXPECT_EQ(split_url("host/path").host, "host");
  EXPECT_EQ(split_url("http:///path").host, "");
  EXPECT_EQ(split_url("").path, "");
}

TEST(Url, OriginHoldsNoSecret) {
  EXPECT_EQ(url_origin("https://user:pass@host:4318/v1/metrics?token=a"), "https://host:4318");
  EXPECT_EQ(url_origin("http://[::1]:80/a"), "http://[::1]:80");
  EXPECT_EQ(url_origin("http://host/a@b"), "http://host");
  EXPECT_EQ(url_origin("http://user:pa/ss@host/"), "http://...") << "nobody knows where that password ends";
  EXPECT_EQ(url_origin("http://user:pa#ss@host/"), "http://...");
}

}  // namespace
}  // namespace accelmon

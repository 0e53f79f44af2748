// Against the published vectors of AWS' signature (testdata/aws-sigv4, with its licence).
#include "net/sigv4.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/text.h"

namespace accelmon {
namespace {

namespace fs = std::filesystem;

constexpr Nanos kWhen = 1440938160 * kSecond;  // 2015-08-30T12:36:00Z

std::string file(const fs::path& path) {
  Result<std::string> text = read_file(path.string());
  EXPECT_TRUE(text) << text.error().message();
  return text ? *text : std::string();
}

struct Case {
  SigV4Request request;
  std::string body;
  AwsCredentials credentials;
  SigV4Scope scope;
};

// request.txt: a request line, headers (a line that begins with a blank continues the one before), an empty line, body.
Case read_case(const fs::path& folder) {
  Case out;
  const auto context = nlohmann::json::parse(file(folder / "context.json"));
  const auto& keys = context["credentials"];
  out.credentials.access_key_id = keys["access_key_id"];
  out.credentials.secret_access_key = Secret(keys["secret_access_key"]);
  out.credentials.session_token = Secret(keys.value("token", ""));
  out.scope = {.region = context["region"],
               .service = context["service"],
               .wall = kWhen,
               .normalize_path = context["normalize"],
               .body_header = context["sign_body"],
               .sign_token = !context.value("omit_session_token", false)};
  EXPECT_EQ(context["timestamp"], "2015-08-30T12:36:00Z");

  const std::string text = file(folder / "request.txt");
  std::string_view rest = text;
  const std::string_view first = next_line(rest);
  const size_t space = first.find(' ');
  out.request.method = first.substr(0, space);
  std::string_view target = first.substr(space + 1, first.rfind(' ') - space - 1);
  const size_t question = std::min(target.find('?'), target.size());
  out.request.path = target.substr(0, question);
  if (question < target.size()) out.request.query = target.substr(question + 1);
  while (!rest.empty()) {
    const std::string_view line = next_line(rest);
    if (line.empty()) break;
    if (line.front() == ' ') {
      out.request.headers.back().second.append("\n").append(line);
      continue;
    }
    const size_t colon = line.find(':');
    out.request.headers.emplace_back(line.substr(0, colon), line.substr(colon + 1));
  }
  out.body = rest;
  return out;
}

std::string header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

TEST(SigV4, PublishedVectors) {
  size_t cases = 0;
  for (const auto& entry :
       fs::directory_iterator(std::string(ACCELMON_SOURCE_DIR) + "/src/net/testdata/aws-sigv4/v4")) {
    SCOPED_TRACE(entry.path().filename().string());
    ++cases;
    Case one = read_case(entry.path());
    one.request.body = one.body;
    const Headers added = sigv4_sign(one.request, one.credentials, one.scope);
    SigV4Request whole = one.request;
    for (const auto& [name, value] : added)
      if (name != "Authorization" && (one.scope.sign_token || name != "X-Amz-Security-Token"))
        whole.headers.emplace_back(name, value);
    const std::string canonical = sigv4_canonical_request(whole, one.scope);
    EXPECT_EQ(canonical, file(entry.path() / "header-canonical-request.txt"));
    const std::string to_sign = sigv4_string_to_sign(canonical, one.scope);
    EXPECT_EQ(to_sign, file(entry.path() / "header-string-to-sign.txt"));
    const std::string signature = file(entry.path() / "header-signature.txt");
    EXPECT_EQ(sigv4_signature(to_sign, one.credentials, one.scope), signature);
    EXPECT_TRUE(header(added, "Authorization").ends_with("Signature=" + signature));
    const std::string signed_request = file(entry.path() / "header-signed-request.txt");
    for (const auto& [name, value] : added) EXPECT_NE(signed_request.find(value), std::string::npos) << name;
  }
  EXPECT_EQ(cases, 38u);
}

TEST(SigV4, WhatTheWayChangesIsNotSigned) {
  const AwsCredentials credentials{.access_key_id = "A", .secret_access_key = Secret("s")};
  const SigV4Scope scope{.region = "r", .service = "monitoring", .wall = kWhen};
  SigV4Request request{.headers = {{"Host", "h"}}, .body = "x"};
  const std::string plain = header(sigv4_sign(request, credentials, scope), "Authorization");
  request.headers.insert(request.headers.end(),
                         {{"User-Agent", "x"}, {"Expect", "100-continue"}, {"Connection", "close"}});
  EXPECT_EQ(header(sigv4_sign(request, credentials, scope), "Authorization"), plain);
  request.headers.emplace_back("Content-Encoding", "gzip");
  EXPECT_NE(header(sigv4_sign(request, credentials, scope), "Authorization"), plain);
  EXPECT_NE(plain.find("SignedHeaders=host;x-amz-date,"), std::string::npos);
}

TEST(SigV4, BrokenEscapesAreText) {
  const SigV4Scope scope{.region = "r", .service = "s", .wall = 0};
  const auto query = [&](std::string text) {
    const std::string out = sigv4_canonical_request({.method = "GET", .query = std::move(text)}, scope);
    return out.substr(6, out.find('\n', 6) - 6);
  };
  EXPECT_EQ(query("a=%"), "a=%25");
  EXPECT_EQ(query("a=%4"), "a=%254");
  EXPECT_EQ(query("a=%41"), "a=A");
  EXPECT_EQ(query("a=%zz&&=&b"), "=&a=%25zz&b=");
}

}  // namespace
}  // namespace accelmon

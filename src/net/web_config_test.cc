#include "net/web_config.h"

#include <gtest/gtest.h>

namespace accelmon {
namespace {

constexpr const char* kHash = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

std::string error_of(const std::string& text) {
  const Result<WebConfig> config = parse_web_config(text, "dir/web.yml");
  return config ? "" : config.error().message();
}

TEST(WebConfig, ReadsAWholeFile) {
  const Result<WebConfig> config = parse_web_config(std::string(R"(
tls_server_config:
  cert_file: server.crt
  key_file: /abs/server.key
  client_auth_type: "RequireAndVerifyClientCert"
  client_ca_file: tls/ca.crt
  client_allowed_sans:
    - one.example
    - 10.0.0.1
  min_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  curve_preferences: [CurveP256, X25519]
  prefer_server_cipher_suites: off
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Content-Security-Policy: "default-src 'self'"
basic_auth_users:
  alice: )") + kHash + R"(
  1234: ')" + kHash + R"('
rate_limit:
  interval: 100ms
  burst: 20
)",
                                                    "dir/web.yml");
  ASSERT_TRUE(config) << config.error().message();
  const TlsConfig& tls = *config->tls;
  EXPECT_EQ(tls.cert_file, "dir/server.crt");
  EXPECT_EQ(tls.key_file, "/abs/server.key");
  EXPECT_EQ(tls.client_ca_file, "dir/tls/ca.crt");
  EXPECT_EQ(tls.client_auth, ClientAuth::require_and_verify);
  EXPECT_EQ(tls.client_allowed_sans, (std::vector<std::string>{"one.example", "10.0.0.1"}));
  EXPECT_EQ(tls.min_version, TlsVersion::tls13);
  EXPECT_EQ(tls.cipher_suites, (std::vector<std::string>{"ECDHE-RSA-AES128-GCM-SHA256"}));
  EXPECT_EQ(tls.curves, (std::vector<std::string>{"P-256", "X25519"}));
  EXPECT_FALSE(tls.prefer_server_cipher_suites);
  EXPECT_EQ(tls.where, "dir/web.yml:3:3");
  ASSERT_EQ(config->headers.size(), 2u);
  EXPECT_EQ(config->headers[1].second, "default-src 'self'");
  ASSERT_EQ(config->users.size(), 2u);
  EXPECT_EQ(config->users[1].first, "1234");
  EXPECT_EQ(config->users[0].second.reveal(), kHash);
  EXPECT_EQ(config->rate_interval, 100 * kMillisecond);
  EXPECT_EQ(config->rate_burst, 20u);
}

TEST(WebConfig, EmptyFilesAndSectionsAreNothing) {
  for (const char* text :
       {"", "# only words\n", "---\n", "tls_server_config:\nbasic_auth_users: {}\n", "tls_server_config: {}\n"}) {
    const Result<WebConfig> config = parse_web_config(text, "web.yml");
    ASSERT_TRUE(config) << text << config.error().message();
    EXPECT_FALSE(config->tls);
    EXPECT_TRUE(config->users.empty());
  }
}

TEST(WebConfig, KeysInTheFileItself) {
  const Result<WebConfig> config =
      parse_web_config("tls_server_config:\n  cert: |\n    -----BEGIN\n    x\n  key: |\n    secret\n", "/etc/web.yml");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->tls->cert, "-----BEGIN\nx\n");
  EXPECT_EQ(config->tls->key.reveal(), "secret\n");
}

TEST(WebConfig, OnlyCiphersOfTls13MeansTls13) {
  const Result<WebConfig> config = parse_web_config(
      "tls_server_config: {cert_file: a, key_file: b, cipher_suites: [TLS_AES_128_GCM_SHA256]}\n", "web.yml");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->tls->min_version, TlsVersion::tls13);
}

TEST(WebConfig, ErrorsSayWhereAndWhatToWrite) {
  const std::string tls = "tls_server_config:\n  cert_file: a\n  key_file: b\n  ";
  const struct {
    std::string text, wanted;
  } cases[] = {
      {"tls_config: {}\n", "dir/web.yml:1:1: unknown key \"tls_config\" in the file; it knows tls_server_config"},
      {"rate_limits: {}\n", "did you mean \"rate_limit\"?"},
      {tls + "cert: x\n", "write cert or cert_file, not both"},
      {tls + "client_auth_type: Sometimes\n", "dir/web.yml:4:21: client_auth_type is one of NoClientCert"},
      {tls + "client_auth_type: RequireAndVerifyClientCert\n", "needs client_ca_file"},
      {tls + "client_ca_file: c\n", "no client's certificate is asked for"},
      {tls + "client_allowed_sans: [x]\n", "client_allowed_sans needs client_auth_type"},
      {tls + "client_allowed_sans: x\n", "is a list"},
      {tls + "client_allowed_sans: [[x]]\n", "no text"},
      {tls + "min_version: TLS13\n  max_version: TLS12\n", "min_version is above max_version"},
      {tls + "min_version: TLS11\n", "broken and not offered"},
      {tls + "min_version: 1.2\n", "neither TLS12 nor TLS13"},
      {tls + "cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n", "too weak"},
      {tls + "cipher_suites: [RC5]\n", "which is unknown; it takes TLS_ECDHE"},
      {tls + "curve_preferences: [CurveP224]\n", "which is unknown; it takes X25519"},
      {tls + "prefer_server_cipher_suites: 'true'\n", "neither true nor false"},
      {tls + "cert_file: c\n", "dir/web.yml:4:3: the key cert_file comes twice"},
      {"http_server_config: {headers: {Server: x}}\n", "unknown key \"Server\" in headers"},
      {"http_server_config: {headers: {X-Frame-Options: maybe}}\n", "is deny or sameorigin"},
      {"http_server_config: {headers: {X-XSS-Protection: \"a\\r\\nEvil: yes\"}}\n", "control character"},
      {"basic_auth_users: {\"a:b\": x}\n", "colon"},
      {"basic_auth_users: {a: {}}\n", "no bcrypt hash"},
      {"rate_limit: {burst: -1}\n", "burst is a whole number"},
      {"rate_limit: {interval: 2h}\n", "at most an hour"},
      {"a: 1\n---\nb: 2\n", "a second document"},
      {"tls_server_config: !!map {}\n", "tags"},
      {"a: *b\n", "aliases"},
      {"a\tb: [\n", "not YAML"},
      {"? {a: b}\n: c\n", "a key is a text"},
      {"[[[[[[[[[[[[]]]]]]]]]]]]", "levels deep"},
      {std::string("a: \xff\n"), "UTF-8"},
  };
  for (const auto& [text, wanted] : cases) {
    const std::string error = error_of(text);
    EXPECT_NE(error.find(wanted), std::string::npos) << text << "\n -> " << error;
    EXPECT_TRUE(error.starts_with("dir/web.yml:")) << error;
  }
  EXPECT_NE(error_of(std::string(300u << 10, '#')).find("larger than"), std::string::npos);
}

TEST(WebConfig, NoErrorRepeatsASecret) {
  for (const char* text : {"basic_auth_users: {a: hunter22}\n", "basic_auth_users: [hunter22]\n",
                           "tls_server_config: {key: [hunter22]}\n", "basic_auth_users:\n  a: hunter22: x\n",
                           "basic_auth_users:\n  a: \"hunter22\n", "tls_server_config:\n  key: |\n hunter22\n"})
    EXPECT_EQ(error_of(text).find("hunter22"), std::string::npos) << error_of(text);
}

TEST(WebConfig, BcryptHashes) {
  EXPECT_EQ(bcrypt_cost(kHash), 10u);
  EXPECT_EQ(bcrypt_cost("$2b$04$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"), 4u);
  for (const char* bad : {"", "$2y$", "$1$abc", "$2y$99$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
                          "$2x$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
                          "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7z!",
                          "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zGG"})
    EXPECT_FALSE(bcrypt_cost(bad)) << bad;
}

}  // namespace
}  // namespace accelmon

#include "net/authenticator.h"

#include <gtest/gtest.h>

#include "net/rate_limiter.h"
#include "net/web_security.h"

namespace accelmon {
namespace {

using Verdict = Authenticator::Verdict;

// Of "secret", at cost 4.
constexpr const char* kHash = "$2y$04$GbMsPrEyZ3E4iDK7evH0VuDJfMb60vgdhx7dw7rx6FllsQmtJzFtO";

struct Door {
  explicit Door(std::vector<Secret> tokens = {})
      : door(std::move(*Authenticator::make({{"alice", Secret(kHash)}}, tokens))) {}
  Verdict check(std::string_view header, const ClientKey& client = {0, 1}) {
    return door->check(header, client, now, attempts, all_attempts);
  }
  std::unique_ptr<Authenticator> door;
  Nanos now = kSecond;
  RateLimiter attempts{kSecond, 3};
  RateLimiter all_attempts{kSecond, 5};
};

TEST(Authorization, ParsesWhatClientsSend) {
  const Authorization basic = parse_authorization("Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ==");
  EXPECT_EQ(basic.scheme, Authorization::Scheme::basic);
  EXPECT_EQ(basic.user.reveal(), "Aladdin");
  EXPECT_EQ(basic.password.reveal(), "open:sesame");
  EXPECT_EQ(parse_authorization("bAsIc  QTpi").user.reveal(), "A");
  EXPECT_EQ(parse_authorization("BEARER abc.def").password.reveal(), "abc.def");
  EXPECT_EQ(parse_authorization("Basic Og==").scheme, Authorization::Scheme::basic);
  for (const char* bad : {"", " ", "Basic", "Basic ", "Basic Q", "Basic Q?==", "Basic QUJD", "Basic QTpi QTpi",
                          "Digest x", "Bearer a b", "Basic QToAYg==", "Basic ===="})
    EXPECT_EQ(parse_authorization(bad).scheme, Authorization::Scheme::none) << bad;
}

TEST(Authenticator, PasswordsOfKnownAndUnknownNames) {
  Door door;
  EXPECT_EQ(door.check("Basic YWxpY2U6c2VjcmV0"), Verdict::granted);     // alice:secret
  EXPECT_EQ(door.check("Basic YWxpY2U6c2VjcmV0MQ=="), Verdict::denied);  // alice:secret1
  EXPECT_EQ(door.check("Basic Ym9iOnNlY3JldA=="), Verdict::denied);      // bob:secret
  EXPECT_EQ(door.check(""), Verdict::denied);
  EXPECT_EQ(door.check("Bearer secret"), Verdict::denied);
}

TEST(Authenticator, WhatWasCheckedOnceIsKnown) {
  Door door;
  EXPECT_EQ(door.check("Basic YWxpY2U6c2VjcmV0"), Verdict::granted);
  EXPECT_EQ(door.check("Basic YWxpY2U6c2VjcmV0MQ=="), Verdict::denied);
  EXPECT_EQ(door.check("Basic Ym9iOnNlY3JldA=="), Verdict::denied);
  // The bucket is empty; only what is known gets an answer.
  EXPECT_EQ(door.check("Basic YWxpY2U6YQ=="), Verdict::too_many);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(door.check("Basic YWxpY2U6c2VjcmV0"), Verdict::granted);
    EXPECT_EQ(door.check("Basic YWxpY2U6c2VjcmV0MQ=="), Verdict::denied);
  }
  door.now += kSecond;
  EXPECT_EQ(door.check("Basic YWxpY2U6YQ=="), Verdict::denied);
}

TEST(Authenticator, AllClientsTogetherAreBounded) {
  Door door;
  int checked = 0;
  // alice and a password of one letter, another for each client.
  for (uint64_t client = 1; client <= 20; ++client) {
    const std::string header = "Basic YWxpY2U6" + std::string(1, static_cast<char>('A' + client)) + "A==";
    if (door.check(header, {0, client}) != Verdict::too_many) ++checked;
  }
  EXPECT_EQ(checked, 5);
}

TEST(Authenticator, Tokens) {
  std::vector<Secret> tokens;
  tokens.emplace_back("token-one");
  tokens.emplace_back("token-two");
  Door door(tokens);
  EXPECT_EQ(door.check("Bearer token-two"), Verdict::granted);
  EXPECT_EQ(door.check("Bearer token-twO"), Verdict::denied);
  EXPECT_EQ(door.check("Bearer token-on"), Verdict::denied);
  EXPECT_EQ(door.check("Bearer x"), Verdict::denied);
  EXPECT_EQ(door.check("Bearer x"), Verdict::too_many);
  EXPECT_EQ(door.check("Bearer token-one"), Verdict::granted);
  EXPECT_EQ(door.door->challenges().size(), 2u);
}

TEST(BearerTokens, OneALine) {
  const auto tokens = parse_bearer_tokens("# comment\n\n  12345678 \n87654321\r\n", "t");
  ASSERT_TRUE(tokens);
  ASSERT_EQ(tokens->size(), 2u);
  EXPECT_EQ(tokens->at(1).reveal(), "87654321");
  for (const char* bad : {"", "# none\n", "short\n", "has a blank\n",
                          "b\xc3\xa4"
                          "d-token\n"}) {
    const auto refused = parse_bearer_tokens(bad, "t");
    ASSERT_FALSE(refused) << bad;
    EXPECT_TRUE(refused.error().message().starts_with("t:")) << refused.error().message();
  }
}

TEST(RateLimiter, ATokenBucketForEachClient) {
  RateLimiter limiter(kSecond, 3);
  Nanos now = 5 * kSecond;
  const ClientKey one{0, 1}, two{0, 2};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limiter.take(one, now));
  EXPECT_FALSE(limiter.take(one, now));
  EXPECT_FALSE(limiter.would_take(one, now));
  EXPECT_TRUE(limiter.take(two, now));
  now += kSecond;
  EXPECT_TRUE(limiter.would_take(one, now));
  EXPECT_TRUE(limiter.take(one, now));
  EXPECT_FALSE(limiter.take(one, now));
  now += 100 * kSecond;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limiter.take(one, now));
  EXPECT_FALSE(limiter.take(one, now));
  EXPECT_EQ(limiter.retry_after(), 1u);
}

TEST(RateLimiter, ManyAddressesDoNotGrowIt) {
  RateLimiter limiter(kSecond, 1, 16);
  for (uint64_t client = 0; client < 100000; ++client) limiter.take({client, client * 7}, kSecond);
  RateLimiter none(0, 1);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(none.take({}, kSecond));
}

TEST(RateLimiter, ClientsOfAnAddress) {
  const auto key = [](const char* text) { return client_key(resolve(*parse_host_port(text))->front()); };
  EXPECT_EQ(key("10.0.0.1:1"), key("10.0.0.1:2"));
  EXPECT_FALSE(key("10.0.0.1:1") == key("10.0.0.2:1"));
  EXPECT_EQ(key("[::ffff:10.0.0.1]:1"), key("10.0.0.1:1"));
  EXPECT_EQ(key("[2001:db8::1]:1"), key("[2001:db8::2]:1"));
  EXPECT_FALSE(key("[2001:db8::1]:1") == key("[2001:db8:0:1::1]:1"));
}

TEST(Host, LoopbackNames) {
  for (const char* good : {"localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:19400", "[::1]", "[::1]:1", "localhost.",
                           "x.localhost", "[::ffff:127.0.0.1]:5"})
    EXPECT_TRUE(is_loopback_host(good)) << good;
  for (const char* bad : {"", ":1", "localhost.evil", "127.0.0.1.evil", "128.0.0.1", "0.0.0.0", "[::]", "[::2]", "[::1",
                          "::1", "evil", "notlocalhost", "127.1"})
    EXPECT_FALSE(is_loopback_host(bad)) << bad;
}

}  // namespace
}  // namespace accelmon

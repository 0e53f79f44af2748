// How often somebody may do something: a token bucket for each client address, in a table of fixed size.
//
// A client is an IPv4 address or an IPv6 network of 64 bits (who has one address there has all of them). The table has
// sets of four; a set that is full forgets the client whose bucket is the fullest, so an attacker with many addresses
// makes us forget others like it, and nobody is locked out by it. Which set is whose depends on a random number.
// Threads: one at a time. Cost: some 50 ns a call, 24 bytes a client.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "net/address.h"

namespace accelmon {

struct ClientKey {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const ClientKey&) const = default;
};

ClientKey client_key(const SocketAddress& address);

class RateLimiter {
 public:
  // One each `interval`, and `burst` (at least 1) at once. An interval of 0: no limit.
  RateLimiter(Nanos interval, uint32_t burst, size_t clients = 1024);

  // Whether the client may go on; when it may, a token is taken.
  bool take(const ClientKey& client, Nanos now);
  // The same without taking one.
  bool would_take(const ClientKey& client, Nanos now) const;
  // When a client that was refused may try again, in whole seconds: what Retry-After says.
  uint32_t retry_after() const;

  bool limits() const { return interval_ != 0; }

 private:
  struct Bucket {
    ClientKey client;
    Nanos full_at = 0;  // when all of its tokens are back
  };
  static constexpr size_t kWays = 4;

  size_t set_of(const ClientKey& client) const;

  Nanos interval_;
  Nanos span_;  // of the whole burst
  uint64_t seed_ = 0;
  size_t count_ = 0;             // of buckets
  std::vector<Bucket> buckets_;  // none until the first is wanted
};

}  // namespace accelmon

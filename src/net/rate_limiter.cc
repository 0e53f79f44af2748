#include "net/rate_limiter.h"

#include <netinet/in.h>
#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace accelmon {

ClientKey client_key(const SocketAddress& address) {
  ClientKey key;
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address.storage, sizeof four);
    key.low = (uint64_t{0xffff} << 32) | ntohl(four.sin_addr.s_addr);
  } else if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, &address.storage, sizeof six);
    const unsigned char* bytes = six.sin6_addr.s6_addr;
    const auto word = [&](size_t from) {
      uint64_t value = 0;
      for (size_t i = 0; i < 8; ++i) value = value << 8 | bytes[from + i];
      return value;
    };
    key.high = word(0);
    // An IPv4 client of a socket that listens for both is that client.
    if (key.high == 0 && word(8) >> 32 == 0xffff) key.low = word(8);
  }
  return key;
}

RateLimiter::RateLimiter(Nanos interval, uint32_t burst, size_t clients)
    : interval_(std::max<Nanos>(interval, 0)), span_(interval_ * std::max<int64_t>(burst, 1)) {
  if (interval_ == 0) return;
  count_ = std::bit_ceil(std::max(clients, kWays));
  if (::getrandom(&seed_, sizeof seed_, 0) != sizeof seed_) seed_ = reinterpret_cast<uintptr_t>(this);
}

size_t RateLimiter::set_of(const ClientKey& client) const {
  uint64_t mixed = seed_;
  for (const uint64_t word : {client.high, client.low}) {
    mixed = (mixed ^ word) * 0x9e3779b97f4a7c15ull;
    mixed ^= mixed >> 32;
    mixed = (mixed + seed_) * 0xbf58476d1ce4e5b9ull;
    mixed ^= mixed >> 29;
  }
  return (mixed & (count_ / kWays - 1)) * kWays;
}

bool RateLimiter::take(const ClientKey& client, Nanos now) {
  if (!limits()) return true;
  if (buckets_.empty()) buckets_.resize(count_);
  Bucket* const set = &buckets_[set_of(client)];
  Bucket* its = std::find_if(set, set + kWays, [&](const Bucket& one) { return one.client == client; });
  if (its == set + kWays) {
    its = std::min_element(set, set + kWays, [](const Bucket& a, const Bucket& b) { return a.full_at < b.full_at; });
    *its = {client, 0};
  }
  const Nanos full_at = std::max(its->full_at, now) + interval_;
  if (full_at - now > span_) return false;
  its->full_at = full_at;
  return true;
}

bool RateLimiter::would_take(const ClientKey& client, Nanos now) const {
  if (!limits() || buckets_.empty()) return true;
  const Bucket* const set = &buckets_[set_of(client)];
  const Bucket* its = std::find_if(set, set + kWays, [&](const Bucket& one) { return one.client == client; });
  return its == set + kWays || std::max(its->full_at, now) + interval_ - now <= span_;
}

uint32_t RateLimiter::retry_after() const {
  return static_cast<uint32_t>(std::min<Nanos>(3600, (interval_ + kSecond - 1) / kSecond));
}

}  // namespace accelmon

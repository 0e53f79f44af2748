// SHA-256 and HMAC-SHA-256 of libcrypto, which is opened when the first of them is asked for: a process that signs and
// checks nothing does not carry its 5 MiB.
//
// Threads: any. Cost: 20 ms for the first call, then microseconds.
#pragma once

#include <array>
#include <string_view>

#include "base/status.h"

namespace accelmon {

using Sha256 = std::array<unsigned char, 32>;

// Loads libcrypto. Errors: absent, with the package to install. The other functions may be called after a success
// alone.
Status sha256_available();

Sha256 sha256(std::string_view text);
Sha256 hmac_sha256(std::string_view key, std::string_view text);

// Takes the same time wherever they differ.
bool equal_in_constant_time(const Sha256& left, const Sha256& right);

}  // namespace accelmon

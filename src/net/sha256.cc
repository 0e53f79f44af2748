#include "net/sha256.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <memory>

#include "base/dynamic_library.h"

namespace accelmon {
namespace {

static_assert(std::tuple_size_v<Sha256> == SHA256_DIGEST_LENGTH);

struct Crypto {
  DynamicLibrary file;
  decltype(&::SHA256) sha256 = nullptr;
  decltype(&::HMAC) hmac = nullptr;
  decltype(&::EVP_sha256) algorithm = nullptr;
};

const Crypto* crypto() {
  static const Crypto* const loaded = []() -> const Crypto* {
    auto fresh = std::make_unique<Crypto>();
    for (const char* name : {"libcrypto.so.3", "libcrypto.so.1.1"}) {
      Result<DynamicLibrary> file = DynamicLibrary::open(name);
      if (!file) continue;
      fresh->sha256 = file->symbol<decltype(::SHA256)>("SHA256");
      fresh->hmac = file->symbol<decltype(::HMAC)>("HMAC");
      fresh->algorithm = file->symbol<decltype(::EVP_sha256)>("EVP_sha256");
      if (fresh->sha256 == nullptr || fresh->hmac == nullptr || fresh->algorithm == nullptr) continue;
      fresh->file = std::move(*file);
      return fresh.release();  // kept: it cannot be unloaded safely
    }
    return nullptr;
  }();
  return loaded;
}

}  // namespace

Status sha256_available() {
  if (crypto() != nullptr) return {};
  return {Code::absent, "libcrypto cannot be loaded: install the package libssl3"};
}

Sha256 sha256(std::string_view text) {
  Sha256 digest{};
  if (const Crypto* library = crypto())
    library->sha256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

Sha256 hmac_sha256(std::string_view key, std::string_view text) {
  Sha256 digest{};
  unsigned length = 0;
  if (const Crypto* library = crypto())
    library->hmac(library->algorithm(), key.data(), static_cast<int>(key.size()),
                  reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &length);
  return digest;
}

bool equal_in_constant_time(const Sha256& left, const Sha256& right) {
  volatile unsigned char different = 0;
  for (size_t i = 0; i < left.size(); ++i) different = different | static_cast<unsigned char>(left[i] ^ right[i]);
  return different == 0;
}

}  // namespace accelmon

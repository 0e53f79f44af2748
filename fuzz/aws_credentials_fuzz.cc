// Any bytes as what AWS' endpoints and files say: keys of visible characters, or a refusal that repeats none of it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/aws_credentials.h"

namespace {

void check(const accelmon::Result<accelmon::AwsCredentials>& found) {
  if (!found) return;
  for (const std::string* text :
       {&found->access_key_id, &found->secret_access_key.reveal(), &found->session_token.reveal()})
    for (const char c : *text)
      if (c <= ' ' || c >= 0x7f) std::abort();
  if (found->access_key_id.empty() || found->secret_access_key.empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(accelmon::parse_aws_credentials_json(text));
  check(accelmon::parse_aws_credentials_xml(text));
  (void)accelmon::parse_aws_profiles(text);
  (void)accelmon::parse_aws_time(text);
  (void)accelmon::is_allowed_credential_endpoint(text);
  return 0;
}

// Bytes of a hostile OTLP receiver through all that reads its answers. The first byte says how.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "encode/otlp.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace accelmon;
  if (size < 1) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const OtlpForm form = (data[0] & 1) != 0 ? OtlpForm::json : OtlpForm::protobuf;
  const auto require = [](bool good) {
    if (!good) std::abort();
  };
  if ((data[0] & 2) != 0) {
    const Result<OtlpAnswer> answer = decode_otlp_answer(body, form);
    if (answer)
      require(answer->message.size() <= 1024);
    else
      require(!answer.error().message().empty());
  } else {
    const Result<RpcStatus> status = decode_rpc_status(body, form);
    if (status) {
      require(status->message.size() <= 1024);
      require(!status->retry_after || (*status->retry_after >= 0 && *status->retry_after <= 86401 * kSecond));
    } else {
      require(!status.error().message().empty());
    }
  }
  return 0;
}

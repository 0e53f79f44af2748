// Any bytes as CloudWatch's answer: a verdict that fits the status, and a text that a log can bear.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "encode/cloudwatch_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace accelmon;
  if (size < 3) return 0;
  const unsigned status = 100 + (data[0] * 256u + data[1]) % 500;
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);
  const size_t cut = data[2] < text.size() ? data[2] : 0;
  const CloudWatchAnswer answer = read_cloudwatch_answer(status, text.substr(0, cut), text.substr(cut));
  if ((answer.verdict == CloudWatchVerdict::accepted) != (status >= 200 && status < 300)) std::abort();
  if (status >= 500 && !may_be_sent_again(answer.verdict)) std::abort();
  for (const char c : answer.text + answer.code)
    if (static_cast<unsigned char>(c) < ' ') std::abort();
  if (answer.text.size() > 600 || answer.code.size() > 100) std::abort();
  return 0;
}

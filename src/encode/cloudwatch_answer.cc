#include "encode/cloudwatch_answer.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace accelmon {
namespace {

using Json = nlohmann::json;
using Verdict = CloudWatchVerdict;

constexpr size_t kMaxBody = 64 * 1024;

struct Known {
  std::string_view code;  // without "Exception" at its end
  Verdict verdict;
};
constexpr Known kKnown[] = {
    {"Throttling", Verdict::throttled},
    {"Throttled", Verdict::throttled},
    {"RequestThrottled", Verdict::throttled},
    {"RequestLimitExceeded", Verdict::throttled},
    {"TooManyRequests", Verdict::throttled},
    {"LimitExceeded", Verdict::throttled},
    {"SlowDown", Verdict::throttled},
    {"InternalServiceFault", Verdict::unavailable},
    {"InternalServiceError", Verdict::unavailable},
    {"InternalFailure", Verdict::unavailable},
    {"InternalServer", Verdict::unavailable},
    {"ServiceUnavailable", Verdict::unavailable},
    {"RequestTimeout", Verdict::unavailable},
    {"ExpiredToken", Verdict::keys},
    {"InvalidClientTokenId", Verdict::keys},
    {"UnrecognizedClient", Verdict::keys},
    {"InvalidAccessKeyId", Verdict::keys},
    {"InvalidToken", Verdict::keys},
    {"RequestExpired", Verdict::clock},
    {"RequestTimeTooSkewed", Verdict::clock},
    {"SignatureDoesNotMatch", Verdict::denied},
    {"InvalidSignature", Verdict::denied},
    {"IncompleteSignature", Verdict::denied},
    {"MissingAuthenticationToken", Verdict::denied},
    {"AccessDenied", Verdict::denied},
    {"NotAuthorized", Verdict::denied},
    {"OptInRequired", Verdict::denied},
    {"RequestEntityTooLarge", Verdict::too_large},
    {"InvalidParameterValue", Verdict::invalid},
    {"InvalidParameterCombination", Verdict::invalid},
    {"MissingParameter", Verdict::invalid},
    {"MissingRequiredParameter", Verdict::invalid},
    {"Validation", Verdict::invalid},
    {"Serialization", Verdict::invalid},
    {"UnknownOperation", Verdict::invalid},
};

// "com.amazonaws.cloudwatch#ThrottlingException:http://..." -> "ThrottlingException".
std::string bare_code(std::string_view text) {
  text = text.substr(0, text.find(':'));
  if (const size_t hash = text.rfind('#'); hash != std::string_view::npos) text.remove_prefix(hash + 1);
  return printable(trim(text), 80);
}

std::string_view element(std::string_view xml, std::string_view open, std::string_view close) {
  const size_t begin = xml.find(open);
  if (begin == std::string_view::npos) return {};
  const size_t end = xml.find(close, begin);
  return end == std::string_view::npos ? std::string_view()
                                       : xml.substr(begin + open.size(), end - begin - open.size());
}

std::string member(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Verdict by_status(unsigned status) {
  if (status == 429) return Verdict::throttled;
  if (status >= 500 || status == 408) return Verdict::unavailable;
  if (status == 401 || status == 403) return Verdict::denied;
  if (status == 413) return Verdict::too_large;
  return Verdict::invalid;
}

}  // namespace

std::string_view to_string(CloudWatchVerdict verdict) {
  switch (verdict) {
    case Verdict::accepted:
      return "accepted";
    case Verdict::throttled:
      return "throttled";
    case Verdict::unavailable:
      return "unavailable";
    case Verdict::keys:
      return "keys";
    case Verdict::clock:
      return "clock";
    case Verdict::denied:
      return "denied";
    case Verdict::too_large:
      return "too_large";
    case Verdict::invalid:
      return "invalid";
  }
  return "";
}

CloudWatchAnswer read_cloudwatch_answer(unsigned status, std::string_view error_type, std::string_view body) {
  CloudWatchAnswer answer;
  if (status >= 200 && status < 300) {
    answer.verdict = Verdict::accepted;
    return answer;
  }
  body = body.substr(0, kMaxBody);
  answer.code = bare_code(error_type);
  std::string message;
  if (const std::string_view start = trim(body); start.starts_with('{')) {
    const Json json = Json::parse(start, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) {
      if (answer.code.empty()) answer.code = bare_code(member(json, "__type"));
      if (answer.code.empty()) answer.code = bare_code(member(json, "code"));
      message = member(json, "message");
      if (message.empty()) message = member(json, "Message");
    }
  } else {
    if (answer.code.empty()) answer.code = bare_code(element(body, "<Code>", "</Code>"));
    message = element(body, "<Message>", "</Message>");
  }
  std::string_view name = answer.code;
  if (name.ends_with("Exception")) name.remove_suffix(9);
  answer.verdict = by_status(status);
  for (const Known& known : kKnown)
    if (known.code == name) answer.verdict = known.verdict;
  const bool about_signature = name.find("Signature") != std::string_view::npos;
  // A signature that is too old or of the future is a matter of the clock.
  if (about_signature && (message.starts_with("Signature expired") || message.starts_with("Signature not yet current")))
    answer.verdict = Verdict::clock;
  // A server that is ill says so whatever it says.
  if (status >= 500 && !may_be_sent_again(answer.verdict)) answer.verdict = Verdict::unavailable;
  answer.text = "status " + std::to_string(status);
  if (!answer.code.empty()) answer.text += " " + answer.code;
  if (!about_signature && !message.empty()) answer.text += ": " + printable(message, 300);
  return answer;
}

}  // namespace accelmon

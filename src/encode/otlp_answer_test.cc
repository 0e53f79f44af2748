// What receivers of OTLP answer: real answers, those of Google's library, and rubbish.
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <judge/otlp.pb.h>

#include "encode/otlp.h"

namespace accelmon {
namespace {

constexpr auto kProtobuf = OtlpForm::protobuf;
constexpr auto kJson = OtlpForm::json;

std::string json_of(const google::protobuf::Message& message) {
  std::string out;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &out).ok());
  return out;
}

TEST(OtlpAnswer, AllIsWell) {
  using namespace std::string_view_literals;
  for (const auto& [body, form] : {std::pair(""sv, kProtobuf),
                                   {"\x0a\x00"sv, kProtobuf},
                                   {""sv, kJson},
                                   {"{}"sv, kJson},
                                   {" {\"partialSuccess\":{}}\n"sv, kJson},
                                   {"{\"partialSuccess\":null}"sv, kJson}}) {
    const Result<OtlpAnswer> answer = decode_otlp_answer(body, form);
    ASSERT_TRUE(answer) << body;
    EXPECT_EQ(answer->rejected_points, 0) << body;
    EXPECT_EQ(answer->message, "") << body;
  }
}

TEST(OtlpAnswer, PartialSuccess) {
  judge::otlp::ExportMetricsServiceResponse response;
  response.mutable_partial_success()->set_rejected_data_points(12'345'678'901);
  response.mutable_partial_success()->set_error_message("too old\n\"quoted\"");
  for (const auto& [body, form] : {std::pair(response.SerializeAsString(), kProtobuf), {json_of(response), kJson}}) {
    const Result<OtlpAnswer> answer = decode_otlp_answer(body, form);
    ASSERT_TRUE(answer) << body;
    EXPECT_EQ(answer->rejected_points, 12'345'678'901);
    EXPECT_EQ(answer->message, "too old?\"quoted\"");
  }
  // A warning: nothing was rejected.
  response.mutable_partial_success()->clear_rejected_data_points();
  EXPECT_EQ(decode_otlp_answer(response.SerializeAsString(), kProtobuf)->rejected_points, 0);
  EXPECT_EQ(decode_otlp_answer(response.SerializeAsString(), kProtobuf)->message, "too old?\"quoted\"");
  // Other spellings, other fields, numbers as numbers.
  const Result<OtlpAnswer> other = decode_otlp_answer(
      R"({"x":[1,{"partialSuccess":3}],"partial_success":{"y":{"rejectedDataPoints":9},"rejected_data_points":7}})",
      kJson);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->rejected_points, 7);
}

TEST(OtlpAnswer, RpcStatus) {
  judge::otlp::RpcStatus status;
  status.set_code(8);
  status.set_message("slow down");
  judge::otlp::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  google::protobuf::Any* other = status.add_details();
  other->set_type_url("type.googleapis.com/google.rpc.DebugInfo");
  other->set_value(std::string("\x0a\x02\x08\x63", 4));
  google::protobuf::Any* any = status.add_details();
  any->set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  retry.SerializeToString(any->mutable_value());
  const Result<accelmon::RpcStatus> a = decode_rpc_status(status.SerializeAsString(), kProtobuf);
  ASSERT_TRUE(a);
  EXPECT_EQ(a->code, 8);
  EXPECT_EQ(a->message, "slow down");
  EXPECT_EQ(a->retry_after, 2'500'000'000);
  const Result<accelmon::RpcStatus> b = decode_rpc_status(
      R"({"code":8,"message":"slow down","details":[{"@type":"type.googleapis.com/google.rpc.DebugInfo","detail":"x"},)"
      R"({"retryDelay":"2.500s","@type":"type.googleapis.com/google.rpc.RetryInfo","more":{}}]})",
      kJson);
  ASSERT_TRUE(b);
  EXPECT_EQ(b->code, 8);
  EXPECT_EQ(b->message, "slow down");
  EXPECT_EQ(b->retry_after, 2'500'000'000);

  // A delay that is none, or of something else.
  for (const char* body : {R"({"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"-1s"}]})",
                           R"({"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"1e300s"}]})",
                           R"({"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"5"}]})",
                           R"({"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"nans"}]})",
                           R"({"details":[{"@type":"x/google.rpc.RetryInfo"},{"retryDelay":"5s"}]})",
                           R"({"details":[{"@type":"evil.RetryInfo","retryDelay":"5s"}]})"}) {
    const Result<accelmon::RpcStatus> decoded = decode_rpc_status(body, kJson);
    ASSERT_TRUE(decoded) << body;
    EXPECT_FALSE(decoded->retry_after) << body;
  }
  for (const auto& [seconds, nanos] : {std::pair<int64_t, int32_t>(-1, 0), {INT64_MAX, 0}, {1, -1}, {1, INT32_MAX}}) {
    retry.mutable_retry_delay()->set_seconds(seconds);
    retry.mutable_retry_delay()->set_nanos(nanos);
    retry.SerializeToString(status.mutable_details(1)->mutable_value());
    EXPECT_FALSE(decode_rpc_status(status.SerializeAsString(), kProtobuf)->retry_after) << seconds;
  }
  EXPECT_TRUE(decode_rpc_status("", kJson)) << "a body is not obligatory";
}

TEST(OtlpAnswer, Rubbish) {
  const std::string page = "<html><body>502 Bad Gateway</body></html>";
  std::string deep(100'000, '[');
  std::string long_message = "{\"message\":\"" + std::string(100'000, 'x') + "\"}";
  for (const OtlpForm form : {kProtobuf, kJson}) {
    EXPECT_FALSE(decode_otlp_answer(page, form));
    EXPECT_FALSE(decode_rpc_status(page, form));
    EXPECT_FALSE(decode_otlp_answer(page, form).error().message().empty());
  }
  for (const std::string_view body :
       {std::string_view(deep), std::string_view("7"), std::string_view("[]"), std::string_view("{} {}"),
        std::string_view("{\"a\":}"), std::string_view("{\"\xff\":1}"), std::string_view("null")})
    EXPECT_FALSE(decode_otlp_answer(body, kJson)) << body.substr(0, 20);
  const Result<accelmon::RpcStatus> cut = decode_rpc_status(long_message, kJson);
  ASSERT_TRUE(cut);
  EXPECT_LE(cut->message.size(), 1024u);
  EXPECT_FALSE(decode_otlp_answer(std::string_view("\x0a\x7f\x08\x01", 4), kProtobuf)) << "cut off";
  EXPECT_FALSE(
      decode_otlp_answer(std::string_view("\x0a\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 14), kProtobuf));
}

}  // namespace
}  // namespace accelmon

// Remote read: requests as Google's library writes them, damaged ones, and our answers read back.
#include "encode/remote_read.h"

#include <gtest/gtest.h>
#include <judge/remote.pb.h>
#include <snappy.h>

#include <cmath>

#include "encode/snappy.h"

namespace accelmon {
namespace {

std::string packed(const std::string& bytes) {
  std::string out;
  snappy::Compress(bytes.data(), bytes.size(), &out);
  return out;
}

judge::remote::ReadRequest example() {
  judge::remote::ReadRequest request;
  auto* query = request.add_queries();
  query->set_start_timestamp_ms(-5);
  query->set_end_timestamp_ms(1'700'000'000'123);
  auto* matcher = query->add_matchers();
  matcher->set_name("__name__");
  matcher->set_value("hw_power_watts");
  matcher = query->add_matchers();
  matcher->set_type(judge::remote::LabelMatcher::NRE);
  matcher->set_name("gpu");
  matcher->set_value("1|\xe2\x82\xac");
  matcher = query->add_matchers();
  matcher->set_type(judge::remote::LabelMatcher::NEQ);
  matcher->set_name("job");
  query->mutable_hints()->set_step_ms(15000);
  query->mutable_hints()->set_func("rate");
  query->mutable_hints()->add_grouping("gpu");
  query->mutable_hints()->set_range_ms(300'000);
  request.add_queries()->set_end_timestamp_ms(7);
  return request;
}

TEST(RemoteRead, Request) {
  judge::remote::ReadRequest request = example();
  const Result<ReadRequest> decoded = decode_read_request(packed(request.SerializeAsString()));
  ASSERT_TRUE(decoded) << decoded.error().message();
  ASSERT_EQ(decoded->queries.size(), 2u);
  const ReadQuery& query = decoded->queries[0];
  EXPECT_EQ(query.start_ms, -5);
  EXPECT_EQ(query.end_ms, 1'700'000'000'123);
  ASSERT_EQ(query.matchers.size(), 3u);
  EXPECT_EQ(query.matchers[0].type, MatchType::equal);
  EXPECT_EQ(query.matchers[0].name, "__name__");
  EXPECT_EQ(query.matchers[0].value, "hw_power_watts");
  EXPECT_EQ(query.matchers[1].type, MatchType::not_regex);
  EXPECT_EQ(query.matchers[1].value, "1|\xe2\x82\xac");
  EXPECT_EQ(query.matchers[2].type, MatchType::not_equal);
  EXPECT_EQ(query.matchers[2].value, "");
  EXPECT_EQ(query.step_ms, 15000);
  EXPECT_EQ(query.range_ms, 300'000);
  EXPECT_EQ(query.function, "rate");
  EXPECT_EQ(decoded->queries[1].end_ms, 7);
  EXPECT_TRUE(decoded->takes_samples) << "who says nothing takes samples";

  request.add_accepted_response_types(judge::remote::ReadRequest::STREAMED_XOR_CHUNKS);
  EXPECT_FALSE(decode_read_request(packed(request.SerializeAsString()))->takes_samples);
  request.add_accepted_response_types(judge::remote::ReadRequest::SAMPLES);
  EXPECT_TRUE(decode_read_request(packed(request.SerializeAsString()))->takes_samples);
  // One by one instead of packed.
  EXPECT_FALSE(decode_read_request(packed(std::string("\x10\x01", 2)))->takes_samples);
  EXPECT_TRUE(decode_read_request(packed(std::string("\x10\x01\x10\x00", 4)))->takes_samples);
  EXPECT_TRUE(decode_read_request(packed(""))->queries.empty());
}

TEST(RemoteRead, WhatIsRefused) {
  const auto code = [](const std::string& body) {
    const Result<ReadRequest> decoded = decode_read_request(body);
    if (decoded) return Code::ok;
    EXPECT_FALSE(decoded.error().message().empty());
    return decoded.error().code();
  };
  const std::string good = example().SerializeAsString();
  EXPECT_EQ(code(packed(good)), Code::ok);
  EXPECT_EQ(code(""), Code::invalid);
  EXPECT_EQ(code(good), Code::invalid) << "not compressed";
  EXPECT_EQ(code(packed("<html>no</html>")), Code::invalid);
  for (size_t i = 1; i < good.size(); ++i) (void)code(packed(good.substr(0, i)));
  const std::string whole = packed(good);
  for (size_t i = 1; i < whole.size(); ++i) EXPECT_NE(code(whole.substr(0, i)), Code::ok);
  EXPECT_EQ(code(packed(std::string(kMaxReadRequestBytes + 1, '\0'))), Code::exhausted);
  EXPECT_EQ(code(std::string("\xff\xff\xff\xff\x0f", 5)), Code::exhausted) << "4 GiB in five bytes";
  EXPECT_EQ(code(std::string("\x80\x80\x3f\x00\x00", 5)), Code::invalid) << "what cannot hold so much";

  judge::remote::ReadRequest request;
  for (size_t i = 0; i <= kMaxReadQueries; ++i) request.add_queries();
  EXPECT_EQ(code(packed(request.SerializeAsString())), Code::exhausted);
  request = {};
  auto* query = request.add_queries();
  for (size_t i = 0; i <= kMaxReadMatchers; ++i) query->add_matchers()->set_name("a");
  EXPECT_EQ(code(packed(request.SerializeAsString())), Code::exhausted);
  query->clear_matchers();
  query->add_matchers()->set_value("x");
  EXPECT_EQ(code(packed(request.SerializeAsString())), Code::invalid) << "no name";
  query->mutable_matchers(0)->set_name(std::string(kMaxMatcherBytes + 1, 'x'));
  EXPECT_EQ(code(packed(request.SerializeAsString())), Code::exhausted);
  query->mutable_matchers(0)->set_name("a");
  query->mutable_matchers(0)->set_type(static_cast<judge::remote::LabelMatcher::Type>(9));
  EXPECT_EQ(code(packed(request.SerializeAsString())), Code::invalid);
  // {matchers: {name: "\xff"}}
  EXPECT_EQ(code(packed(std::string("\x0a\x05\x1a\x03\x12\x01\xff", 7))), Code::invalid) << "not UTF-8";
}

TEST(RemoteRead, Response) {
  const std::vector<ReadResult> results{
      {},
      {{{{"__name__", "a"}, {"gpu", "0"}}, {{1000, 1.5}, {2000, 0}, {3000, -0.0}}}, {{{"__name__", "b"}}, {}}},
      {{{}, {{0, std::numeric_limits<double>::infinity()}, {-1, 5e-324}}}}};
  std::string body = "what was there before", bytes;
  encode_read_response(results, body);
  ASSERT_TRUE(snappy::Uncompress(body.data(), body.size(), &bytes));
  judge::remote::ReadResponse response;
  ASSERT_TRUE(response.ParseFromString(bytes));
  EXPECT_EQ(response.SerializeAsString(), bytes) << "canonical";
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_EQ(response.results(0).timeseries_size(), 0);
  ASSERT_EQ(response.results(1).timeseries_size(), 2);
  const auto& series = response.results(1).timeseries(0);
  EXPECT_EQ(series.labels(1).name(), "gpu");
  EXPECT_EQ(series.labels(1).value(), "0");
  ASSERT_EQ(series.samples_size(), 3);
  EXPECT_EQ(series.samples(0).timestamp(), 1000);
  EXPECT_EQ(series.samples(0).value(), 1.5);
  EXPECT_TRUE(std::signbit(series.samples(2).value()));
  EXPECT_EQ(response.results(2).timeseries(0).samples(1).timestamp(), -1);
  encode_read_response({}, body);
  ASSERT_TRUE(snappy::Uncompress(body.data(), body.size(), &bytes));
  EXPECT_EQ(bytes, "");
}

TEST(Snappy, ThereAndBack) {
  for (const std::string& text :
       {std::string(), std::string(1, 'x'), std::string(1'000'000, 'y'), example().DebugString()}) {
    std::string body = "before", back = "before";
    snappy_compress(text, body);
    ASSERT_TRUE(snappy_uncompress(body, text.size(), back).ok());
    EXPECT_EQ(back, text);
    if (text.empty()) continue;
    EXPECT_EQ(snappy_uncompress(body, text.size() - 1, back).code(), Code::exhausted);
    EXPECT_EQ(back, "");
  }
}

}  // namespace
}  // namespace accelmon

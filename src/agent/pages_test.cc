#include "agent/pages.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>

namespace accelmon {
namespace {

Recycled<Snapshot> snapshot_of(uint64_t sequence, double value) {
  static Recycler<Snapshot> snapshots;
  static Recycler<Frame> frames;
  static const CatalogPtr catalog = [] {
    auto made = std::make_shared<Catalog>();
    made->generation = 1;
    CatalogBuilder(*made).add(MetricId::uptime, -1);
    return made;
  }();
  auto frame = frames.take();
  frame->resize(1);
  frame->set(0, value);
  frame->generation = 1;
  auto snapshot = snapshots.take();
  snapshot->sequence = sequence;
  snapshot->sources.assign(1, SourceView{"host", catalog, frame});
  return snapshot;
}

std::string inflated(std::string_view data) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 16 + 15), Z_OK);
  std::string out(1 << 16, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

class PagesTest : public ::testing::Test {
 protected:
  PagesTest() : pages_(source()) {}

  PageSource source() {
    PageSource s;
    s.snapshot = [this] { return current_; };
    s.status_json = [] { return std::string("{}"); };
    s.ready = [this](std::string& why) {
      why = "nvml is starting";
      return ready_;
    };
    s.control = [this](std::string_view verb, std::string_view vendor, std::string& answer) {
      asked_ = std::string(verb) + " " + std::string(vendor);
      answer = "done";
      return 200u;
    };
    s.landing = [] { return std::string("<html>"); };
    return s;
  }

  HttpResponse get(std::string_view path, std::string_view accept = {}, std::string_view encoding = {}) {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    request.accept = accept;
    request.accept_encoding = encoding;
    return pages_.handle(request);
  }

  Recycled<Snapshot> current_ = snapshot_of(1, 5);
  bool ready_ = true;
  std::string asked_;
  Pages pages_;
};

TEST_F(PagesTest, MetricsAreRenderedOncePerSnapshot) {
  const HttpResponse first = get("/metrics");
  EXPECT_EQ(first.status, 200u);
  EXPECT_NE(first.body.find("system_uptime_seconds 5\n"), std::string_view::npos) << first.body;
  const HttpResponse second = get("/metrics");
  EXPECT_EQ(second.body.data(), first.body.data());
  current_ = snapshot_of(2, 6);
  const HttpResponse third = get("/metrics");
  EXPECT_NE(third.body.find("system_uptime_seconds 6\n"), std::string_view::npos);
  // The first page is still being sent: its bytes must not have changed.
  EXPECT_NE(first.body.find("system_uptime_seconds 5\n"), std::string_view::npos);
}

TEST_F(PagesTest, APageInFlightSurvivesManyRenderings) {
  const HttpResponse held = get("/metrics", "", "gzip");
  const std::string before(held.body);
  for (uint64_t i = 2; i < 50; ++i) {
    current_ = snapshot_of(i, static_cast<double>(i));
    const std::string page = inflated(get("/metrics", "", "gzip").body);
    EXPECT_NE(page.find("system_uptime_seconds " + std::to_string(i) + "\n"), std::string::npos);
  }
  EXPECT_EQ(std::string(held.body), before);
  EXPECT_NE(inflated(held.body).find("system_uptime_seconds 5\n"), std::string::npos);
}

TEST_F(PagesTest, NewOptionsHoldFromTheNextPage) {
  const HttpResponse before = get("/metrics");
  EXPECT_NE(std::string(before.body).find("system_uptime_seconds"), std::string::npos);
  pages_.set_options({.except = {"system.*"}});
  EXPECT_EQ(get("/metrics").body, "") << "of the same snapshot";
  EXPECT_NE(std::string(before.body).find("system_uptime_seconds 5"), std::string::npos) << "in flight";
  pages_.set_options({});
  EXPECT_EQ(get("/metrics").body, before.body);
}

TEST_F(PagesTest, APageLaidOutAnewIsCounted) {
  constexpr std::string_view kProtobuf =
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
  const auto prepared = [this] { return pages_.counters().prepared.load(); };
  EXPECT_EQ(prepared(), 0u);
  get("/metrics");
  EXPECT_EQ(prepared(), 1u);
  current_ = snapshot_of(2, 6);
  get("/metrics");
  get("/metrics", "application/openmetrics-text;version=1.0.0");
  EXPECT_EQ(prepared(), 1u) << "both texts are of one layout";
  get("/metrics", kProtobuf);
  EXPECT_EQ(prepared(), 2u);
  pages_.set_options({.except = {"system.*"}});
  get("/metrics");
  EXPECT_EQ(prepared(), 3u);
}

TEST_F(PagesTest, FormatAndEncodingAreNegotiated) {
  const HttpResponse text = get("/metrics", "", "gzip;q=0");
  EXPECT_TRUE(text.content_encoding.empty());
  EXPECT_TRUE(text.content_type.starts_with("text/plain"));
  const HttpResponse open = get("/metrics", "application/openmetrics-text;version=1.0.0", "gzip");
  EXPECT_EQ(open.content_encoding, "gzip");
  EXPECT_TRUE(open.content_type.starts_with("application/openmetrics-text"));
  EXPECT_TRUE(inflated(open.body).ends_with("# EOF\n"));
  pages_.set_gzip(false);
  EXPECT_TRUE(get("/metrics", "", "gzip").content_encoding.empty());
}

TEST_F(PagesTest, HealthReadinessAndUnknownPages) {
  EXPECT_EQ(get("/-/healthy").status, 200u);
  EXPECT_EQ(get("/-/ready").status, 200u);
  ready_ = false;
  const HttpResponse waiting = get("/-/ready");
  EXPECT_EQ(waiting.status, 503u);
  EXPECT_NE(waiting.body.find("nvml is starting"), std::string_view::npos);
  EXPECT_EQ(get("/nothing").status, 404u);
  EXPECT_EQ(get("/").content_type, "text/html; charset=utf-8");
}

TEST_F(PagesTest, ControlIsPostedOnly) {
  EXPECT_EQ(get("/api/v1/release").status, 405u);
  EXPECT_TRUE(asked_.empty());
  HttpRequest request;
  request.method = "POST";
  request.path = "/api/v1/release";
  request.query = "x=1&vendor=nvidia";
  EXPECT_EQ(pages_.handle(request).status, 200u);
  EXPECT_EQ(asked_, "release nvidia");
  request.path = "/metrics";
  EXPECT_EQ(pages_.handle(request).status, 405u);
}

TEST_F(PagesTest, WithoutDataItSaysSo) {
  current_ = {};
  EXPECT_EQ(get("/metrics").status, 503u);
}

}  // namespace
}  // namespace accelmon

#include "agent/api.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "encode/remote_read.h"
#include "encode/snappy.h"

namespace accelmon {
namespace {

using Json = nlohmann::json;

constexpr Nanos kStart = 1'764'000'000 * kSecond;

// Two sources over two GPUs and the host, ten minutes of history, and an agent's own source that shows nothing.
class ApiTest : public ::testing::Test {
 protected:
  ApiTest() : clock_(kSecond, kStart + 600 * kSecond), api_(source()) {
    std::string pattern = (std::filesystem::temp_directory_path() / "accelmon-api-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    auto catalog = std::make_shared<Catalog>();
    catalog->generation = 1;
    CatalogBuilder builder(*catalog);
    for (const char* index : {"0", "1"}) {
      const int device = builder.add_device({.type = DeviceType::gpu,
                                             .id = std::string("GPU-") + index,
                                             .index = index,
                                             .vendor = "nvidia",
                                             .model = "H100 \"80\""});
      builder.add(MetricId::power, device, Tier::fast, {{AttributeId::power_scope, "gpu"}});
      builder.add(MetricId::energy, device, Tier::fast);
    }
    builder.add(MetricId::uptime, -1);
    nvml_ = catalog;
    DiskOptions options;
    options.path = folder_ + "/history.db";
    options.own_thread = false;
    options.clock = &clock_;
    disk_ = DiskStore::open(options);
    for (int i = 0; i < 600; ++i) {
      auto frame = frames_.take();
      fill(*frame, i);
      memory_.append("nvml", nvml_, *frame);
      disk_->append("nvml", nvml_, *frame);
      last_ = std::move(frame);
    }
    EXPECT_TRUE(disk_->flush().ok());
    publish();
  }
  ~ApiTest() override {
    api_.stop();
    disk_.reset();
    std::filesystem::remove_all(folder_);
  }

  void fill(Frame& frame, int i) {
    frame.resize(nvml_->series.size());
    frame.generation = 1;
    frame.sequence = static_cast<uint64_t>(i) + 1;
    frame.wall = kStart + i * kSecond;
    frame.monotonic = (i + 1) * kSecond;
    frame.fresh = 1;
    frame.read_at = {frame.monotonic, 0, 0};
    frame.set(0, 100.0 + i % 10);
    frame.set(1, 10.0 * i);
    frame.absent(2, State::no_permission);
    frame.set(3, 5.0);
    frame.set(4, i);
  }

  void publish() {
    auto snapshot = snapshots_.take();
    snapshot->sequence = ++sequence_;
    snapshot->wall = last_->wall;
    snapshot->monotonic = last_->monotonic;
    snapshot->sources.assign(2, SourceView{});
    snapshot->sources[0] = {"nvml", nvml_, last_};
    snapshot->sources[1].name = "agent";
    current_ = std::move(snapshot);
  }

  ApiSource source() {
    ApiSource out;
    out.clock = &clock_;
    out.snapshot = [this] { return current_; };
    out.events = [this] { return events_.entries(); };
    out.findings = [this] { return findings_; };
    out.history = [this] { return HistoryPlaces{use_disk_ ? disk_.get() : nullptr, &memory_}; };
    out.wake = [this] { ++wakes_; };
    return out;
  }

  HttpResponse ask(std::string_view target, std::string_view method = "GET", std::string_view body = {}) {
    HttpRequest request;
    request.method = method;
    const size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
    request.body = body;
    HttpResponse response;
    EXPECT_TRUE(api_.handle(request, response)) << target;
    return finish(std::move(response));
  }

  static HttpResponse finish(HttpResponse response) {
    if (response.later == nullptr) return response;
    HttpResponse answer;
    for (int i = 0; i < 20'000 && !response.later->take(answer); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return answer;
  }

  Json json(std::string_view target, unsigned status = 200) {
    const HttpResponse response = ask(target);
    EXPECT_EQ(response.status, status) << target << ": " << response.body;
    EXPECT_EQ(response.content_type, "application/json");
    return Json::parse(response.body, nullptr, false);
  }

  ManualClock clock_;
  std::string folder_;
  CatalogPtr nvml_;
  Recycler<Frame> frames_;
  Recycler<Snapshot> snapshots_;
  Recycled<Frame> last_;
  Recycled<Snapshot> current_;
  uint64_t sequence_ = 0;
  Store memory_{1 << 20};
  std::unique_ptr<DiskStore> disk_;
  bool use_disk_ = true;
  EventLog events_;
  std::vector<Finding> findings_;
  std::atomic<int> wakes_{0};
  Api api_;
};

TEST_F(ApiTest, LeavesOthersPathsAlone) {
  for (const char* path : {"/", "/metrics", "/api/v1/status", "/api/v1/release", "/api/v2/latest"}) {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    HttpResponse response;
    EXPECT_FALSE(api_.handle(request, response)) << path;
  }
}

TEST_F(ApiTest, Devices) {
  const Json all = json("/api/v1/devices")["devices"];
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["id"], "GPU-0");
  EXPECT_EQ(all[0]["model"], "H100 \"80\"");
  EXPECT_EQ(all[0]["sources"], Json::array({"nvml"}));
  EXPECT_TRUE(all[0]["parent"].is_null());
  EXPECT_EQ(json("/api/v1/devices?device=1")["devices"].size(), 1u);
}

TEST_F(ApiTest, Metrics) {
  EXPECT_EQ(json("/api/v1/metrics")["metrics"].size(), all_metrics().size());
  const Json power = json("/api/v1/metrics?metric=hw_power_watts")["metrics"];
  ASSERT_EQ(power.size(), 1u);
  EXPECT_EQ(power[0]["name"], "hw.power");
  EXPECT_EQ(power[0]["unit"], "W");
  ASSERT_EQ(power[0]["sources"].size(), 1u);
  EXPECT_EQ(power[0]["sources"][0]["series"], 2);
  EXPECT_EQ(power[0]["sources"][0]["readable"], 1) << "one board refuses";
  EXPECT_EQ(power[0]["sources"][0]["devices"].size(), 2u);
}

TEST_F(ApiTest, LatestTellsAbsenceAsAState) {
  const Json all = json("/api/v1/latest?metric=hw.power")["series"];
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["value"], 109);
  EXPECT_EQ(all[0]["state"], "ok");
  EXPECT_TRUE(all[1]["value"].is_null());
  EXPECT_EQ(all[1]["state"], "no_permission");
  EXPECT_EQ(json("/api/v1/latest?device=none")["series"].size(), 1u);
  EXPECT_EQ(json("/api/v1/latest?metric=hw.*&device=GPU-1")["series"].size(), 2u);
}

TEST_F(ApiTest, RangeFromDiskAndMemoryIsTheSame) {
  for (const bool disk : {true, false}) {
    use_disk_ = disk;
    const Json all = json("/api/v1/range?metric=hw.power&from=1764000010&to=1764000019");
    EXPECT_EQ(all["history"], disk ? "disk" : "memory");
    ASSERT_EQ(all["series"].size(), 1u) << "what never was readable has no points and is not there";
    const Json& series = all["series"][0];
    EXPECT_EQ(series["device"], "GPU-0");
    EXPECT_EQ(series["step_seconds"], 0);
    ASSERT_EQ(series["points"].size(), 10u);
    EXPECT_EQ(series["points"][3], Json::array({1764000013, 103}));
  }
  EXPECT_GT(wakes_.load(), 0);
}

TEST_F(ApiTest, RangeNeverGivesMorePointsThanAsked) {
  for (const int most : {1, 2, 7, 60, 599}) {
    const Json all = json("/api/v1/range?metric=hw.power,hw.energy&from=0&max_points=" + std::to_string(most));
    for (const Json& series : all["series"]) {
      EXPECT_LE(series["points"].size(), static_cast<size_t>(most));
      ASSERT_GE(series["points"].size(), 1u);
      EXPECT_GT(series["step_seconds"], 0);
      const Json& last = series["points"].back();
      ASSERT_EQ(last.size(), 4u);
      if (series["metric"] == "hw.energy" && series["device"] == "GPU-0") {
        EXPECT_EQ(last[1], 5990) << "of a counter the last value counts";
      }
      EXPECT_LE(last[2], last[1]);
      EXPECT_LE(last[1], last[3]);
    }
  }
}

TEST_F(ApiTest, HostileQuestionsGetA400AndAHint) {
  for (const char* target : {"/api/v1/range",
                             "/api/v1/range?metric=",
                             "/api/v1/range?metric=quux",
                             "/api/v1/range?metric=hw.power&from=nan",
                             "/api/v1/range?metric=hw.power&from=-inf",
                             "/api/v1/range?metric=hw.power&to=1e308",
                             "/api/v1/range?metric=hw.power&from=now&to=-1h",
                             "/api/v1/range?metric=hw.power&max_points=0",
                             "/api/v1/range?metric=hw.power&max_points=-1",
                             "/api/v1/range?metric=hw.power&max_points=50001",
                             "/api/v1/range?metric=hw.power&max_points=18446744073709551616",
                             "/api/v1/range?metric=hw.power&max_points=1e3",
                             "/api/v1/range?metric=hw.power&step=1",
                             "/api/v1/range?metric=%zz",
                             "/api/v1/range?metric=%00",
                             "/api/v1/range?metric=hw.power&metric=hw.power",
                             "/api/v1/latest?metric=a*,%",
                             "/api/v1/latest?x=1",
                             "/api/v1/devices?device=%1",
                             "/api/v1/metrics?device=0",
                             "/api/v1/events?since=yesterday",
                             "/api/v1/stream",
                             "/api/v1/stream?metric=quux"}) {
    const Json answer = json(target, 400);
    EXPECT_FALSE(answer["error"].get<std::string>().empty()) << target;
    EXPECT_FALSE(answer["hint"].get<std::string>().empty()) << target;
  }
  EXPECT_NE(json("/api/v1/query?query=up", 404)["hint"].get<std::string>().find("remote_read"), std::string::npos);
  EXPECT_NE(json("/api/v1/label/x/values", 404)["error"].get<std::string>().find("PromQL"), std::string::npos);
  json("/api/v1/nothing", 404);
  EXPECT_EQ(ask("/api/v1/latest", "POST").status, 405u);
  EXPECT_EQ(ask("/api/v1/read", "GET").status, 405u);
}

TEST_F(ApiTest, HugeRangesAreAnswered) {
  const Json all = json("/api/v1/range?metric=hw.power&from=0&to=7000000000&max_points=50000");
  ASSERT_EQ(all["series"].size(), 1u);
  EXPECT_EQ(all["series"][0]["points"].size(), 600u);
}

TEST_F(ApiTest, EventsSince) {
  for (const int at : {10, 20, 30}) {
    Event event;
    event.wall = kStart + at * kSecond;
    event.code = "test:" + std::to_string(at);
    event.device_id = at == 20 ? "GPU-1" : "";
    events_.add("nvml", std::move(event), kStart + at * kSecond);
  }
  EXPECT_EQ(json("/api/v1/events")["events"].size(), 3u);
  EXPECT_EQ(json("/api/v1/events?since=1764000020")["events"].size(), 2u);
  EXPECT_EQ(json("/api/v1/events?since=1764000020&device=GPU-1")["events"].size(), 1u);
  EXPECT_EQ(json("/api/v1/events?since=now")["events"].size(), 0u);
}

TEST_F(ApiTest, FindingsOfADevice) {
  EXPECT_EQ(json("/api/v1/findings")["findings"].size(), 0u);
  for (const char* device : {"GPU-0", "GPU-1", ""}) {
    Finding one;
    one.code = "device_failed";
    one.device_id = device;
    findings_.push_back(one);
  }
  EXPECT_EQ(json("/api/v1/findings")["findings"].size(), 3u);
  EXPECT_EQ(json("/api/v1/findings?device=GPU-1")["findings"].size(), 1u);
  EXPECT_EQ(ask("/api/v1/findings?severity=info").status, 400u);
}

// ---- remote read ----

std::string read_request(int64_t start_ms, int64_t end_ms, const std::vector<LabelMatcher>& matchers,
                         const std::string& function = {}) {
  const auto varint = [](std::string& out, uint64_t value) {
    while (value >= 0x80) {
      out += static_cast<char>(value | 0x80);
      value >>= 7;
    }
    out += static_cast<char>(value);
  };
  const auto text = [&](std::string& out, int field, const std::string& value) {
    varint(out, static_cast<uint64_t>(field) << 3 | 2);
    varint(out, value.size());
    out += value;
  };
  const auto number = [&](std::string& out, int field, int64_t value) {
    varint(out, static_cast<uint64_t>(field) << 3);
    varint(out, static_cast<uint64_t>(value));
  };
  std::string query;
  number(query, 1, start_ms);
  number(query, 2, end_ms);
  for (const LabelMatcher& one : matchers) {
    std::string matcher;
    number(matcher, 1, static_cast<int64_t>(one.type));
    text(matcher, 2, one.name);
    text(matcher, 3, one.value);
    text(query, 3, matcher);
  }
  if (!function.empty()) {
    std::string hints;
    text(hints, 2, function);
    text(query, 4, hints);
  }
  std::string request, out;
  text(request, 1, query);
  snappy_compress(request, out);
  return out;
}

class ReadTest : public ApiTest {
 protected:
  std::string read(const std::string& body, const std::string& query = {}, unsigned status = 200) {
    const HttpResponse response = ask("/api/v1/read" + query, "POST", body);
    EXPECT_EQ(response.status, status) << response.body;
    if (response.status != 200) return std::string(response.body);
    EXPECT_EQ(response.content_encoding, "snappy");
    std::string out;
    EXPECT_TRUE(snappy_uncompress(response.body, 64 << 20, out).ok());
    return out;
  }
  static constexpr int64_t kFrom = kStart / kMillisecond;
};

TEST_F(ReadTest, TheLabelsOfThePageAndThoseOfTheQuery) {
  const std::string all = read(read_request(kFrom, kFrom + 599'000, {{MatchType::equal, "__name__", "hw_power_watts"}}),
                               "?job=accelmon&instance=node7%3A19400");
  for (const char* word : {"__name__", "hw_power_watts", "hw_id", "GPU-0", "accelmon_power_scope", "job", "accelmon",
                           "instance", "node7:19400", "hw_vendor"})
    EXPECT_NE(all.find(word), std::string::npos) << word;
  EXPECT_EQ(all.find("GPU-1"), std::string::npos) << "it has no samples";
  EXPECT_GT(all.size(), 600u * 11) << "every poll";
}

TEST_F(ReadTest, Matchers) {
  const auto size = [&](const std::vector<LabelMatcher>& matchers, const std::string& query = {}) {
    return read(read_request(kFrom, kFrom + 599'000, matchers), query).size();
  };
  const LabelMatcher energy{MatchType::equal, "__name__", "hw_energy_joules_total"};
  EXPECT_GT(size({energy}), size({energy, {MatchType::equal, "gpu", "0"}}));
  EXPECT_EQ(size({energy, {MatchType::regex, "gpu", "1|2"}}), size({energy, {MatchType::equal, "gpu", "1"}}));
  EXPECT_EQ(size({energy, {MatchType::not_regex, "gpu", "1.*"}}), size({energy, {MatchType::equal, "gpu", "0"}}));
  EXPECT_EQ(size({energy, {MatchType::not_equal, "gpu", "1"}}), size({energy, {MatchType::equal, "gpu", "0"}}));
  EXPECT_EQ(size({energy, {MatchType::equal, "no_such_label", ""}}), size({energy}));
  EXPECT_EQ(size({energy, {MatchType::equal, "job", "a"}}), size({{MatchType::equal, "__name__", "x"}}));
  EXPECT_GT(size({energy, {MatchType::equal, "job", "a"}}, "?job=a"), size({energy}));
}

TEST_F(ReadTest, WhatWasGoneIsNotShownOn) {
  const std::string marker("\x02\0\0\0\0\0\xf0\x7f", 8);
  const auto markers = [&](int64_t end_ms) {
    const std::string all = read(read_request(
        kFrom, end_ms, {{MatchType::equal, "__name__", "hw_energy_joules_total"}, {MatchType::equal, "gpu", "0"}}));
    size_t count = 0;
    for (size_t at = 0; (at = all.find(marker, at)) != std::string::npos; at += 8) ++count;
    return count;
  };
  EXPECT_EQ(markers(kFrom + 599'000), 0u);
  EXPECT_EQ(markers(INT64_MAX), 0u) << "until now, not until the end of time";
  clock_.advance(110 * kSecond);
  EXPECT_EQ(markers(INT64_MAX), 1u) << "nothing came for 110 s";
  EXPECT_EQ(markers(kFrom + 599'000), 0u);
  for (int i = 700; i < 710; ++i) {
    auto frame = frames_.take();
    fill(*frame, i);
    disk_->append("nvml", nvml_, *frame);
  }
  EXPECT_EQ(markers(INT64_MAX), 1u) << "the hole of 100 s alone";
}

TEST_F(ReadTest, HostileOnes) {
  EXPECT_NE(read("not snappy", {}, 400).find("\"hint\""), std::string::npos);
  EXPECT_NE(read({}, {}, 400).find("\"error\""), std::string::npos);
  EXPECT_NE(read(read_request(kFrom, kFrom, {{MatchType::regex, "gpu", "("}}), {}, 400).find("gpu"), std::string::npos);
  EXPECT_NE(read(read_request(kFrom, kFrom, {}), "?__name__=x", 400).find("__name__"), std::string::npos);
  read(read_request(kFrom, kFrom, {}), "?a=1&a=2", 400);
  // Ends of time that Prometheus really sends, and the wrong way round.
  const std::string everything = read(read_request(INT64_MIN, INT64_MAX, {{MatchType::equal, "gpu", "0"}}));
  EXPECT_GT(everything.size(), 600u * 11);
  EXPECT_LT(read(read_request(INT64_MAX, INT64_MIN, {})).size(), 10u);
  EXPECT_LT(read(read_request(-5, -1, {})).size(), 10u);
}

// ---- stream ----

TEST_F(ApiTest, StreamTellsEachPollOnce) {
  HttpResponse response = ask("/api/v1/stream?metric=hw.power");
  ASSERT_NE(response.stream, nullptr);
  EXPECT_EQ(response.content_type, "text/event-stream");
  std::string out;
  EXPECT_TRUE(response.stream->next(out));
  ASSERT_TRUE(out.starts_with("id: 1\nevent: values\ndata: {")) << out;
  ASSERT_TRUE(out.ends_with("}\n\n"));
  const size_t begin = out.find("data: ") + 6;
  const Json data = Json::parse(out.substr(begin, out.size() - begin - 2));
  EXPECT_EQ(data["source"], "nvml");
  EXPECT_EQ(data["series"].size(), 2u);
  EXPECT_EQ(data["series"][0]["value"], 109);
  out.clear();
  publish();  // the same poll is shown again
  EXPECT_TRUE(response.stream->next(out));
  EXPECT_EQ(out, "");
  last_ = frames_.take();
  fill(*last_, 600);
  publish();
  EXPECT_TRUE(response.stream->next(out));
  EXPECT_TRUE(out.starts_with("id: 3\n")) << out;
  out.clear();
  response.stream->heartbeat(out);
  EXPECT_EQ(out, ": heartbeat\n\n");
}

TEST_F(ApiTest, StreamsAreCounted) {
  std::vector<HttpResponse> open;
  for (size_t i = 0; i < kMaxStreams; ++i) {
    open.push_back(ask("/api/v1/stream?metric=*"));
    EXPECT_NE(open.back().stream, nullptr);
  }
  EXPECT_EQ(ask("/api/v1/stream?metric=*").status, 503u);
  open.pop_back();
  EXPECT_NE(ask("/api/v1/stream?metric=*").stream, nullptr);
  EXPECT_EQ(ask("/api/v1/stream?metric=*", "HEAD").stream, nullptr);
}

// ---- worker ----

TEST(ApiWorker, RefusesWhatIsTooMuchAndSkipsWhatNobodyWaitsFor) {
  std::atomic<bool> go{false};
  std::atomic<int> ran{0};
  ApiWorker worker([] {});
  const auto job = [&](const ApiWorker::Wanted&) {
    while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ++ran;
    return HttpResponse::text(200, "done");
  };
  std::vector<std::shared_ptr<HttpLater>> tasks;
  for (size_t i = 0; i < ApiWorker::kMaxJobs; ++i) tasks.push_back(worker.submit(job));
  EXPECT_NE(tasks.back(), nullptr);
  EXPECT_EQ(worker.submit(job), nullptr);
  for (size_t i = 1; i + 1 < tasks.size(); ++i) tasks[i].reset();  // their clients have gone
  go = true;
  HttpResponse answer;
  for (int i = 0; i < 20'000 && !tasks.back()->take(answer); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(answer.body, "done");
  EXPECT_LE(ran.load(), 2 + 1) << "the first may have begun late";
  worker.stop();
  EXPECT_EQ(worker.submit(job), nullptr);
}

TEST(ApiWorker, ExceptionsAndTheEnd) {
  std::atomic<bool> inside{false}, go{false};
  ApiWorker worker([] {});
  const auto thrown = worker.submit([](const ApiWorker::Wanted&) -> HttpResponse { throw std::bad_alloc(); });
  HttpResponse answer;
  for (int i = 0; i < 20'000 && !thrown->take(answer); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(answer.status, 500u);
  const auto running = worker.submit([&](const ApiWorker::Wanted&) {
    inside = true;
    while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return HttpResponse::text(200, "ran");
  });
  while (!inside) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const auto waiting = worker.submit([](const ApiWorker::Wanted&) { return HttpResponse::text(200, "ran"); });
  std::thread stopper([&] { worker.stop(); });
  for (int i = 0; i < 20'000 && !waiting->take(answer); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(answer.status, 503u);
  go = true;
  stopper.join();
  EXPECT_TRUE(running->take(answer));
  EXPECT_EQ(answer.body, "ran");
}

TEST(Thin, KeepsExtremesAndTheLastOfACounter) {
  StoreRange range;
  for (int i = 0; i < 10; ++i) range.points.push_back({i * kSecond, double(i), double(i), double(i)});
  StoreRange gauge = range;
  thin(gauge, MetricId::power, 3);
  ASSERT_EQ(gauge.points.size(), 3u);
  EXPECT_EQ(gauge.points[0].minimum, 0);
  EXPECT_EQ(gauge.points[0].mean, 1.5);
  EXPECT_EQ(gauge.points[0].maximum, 3);
  EXPECT_EQ(gauge.points[0].wall, 3 * kSecond);
  EXPECT_EQ(gauge.step, 3 * kSecond);
  thin(range, MetricId::energy, 3);
  EXPECT_EQ(range.points[0].mean, 3);
  EXPECT_EQ(range.points[2].mean, 9);
}

}  // namespace
}  // namespace accelmon

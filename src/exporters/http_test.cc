// Destinations over HTTP against a server that answers as it is told.
#include "exporters/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <map>
#include <protozero/pbf_reader.hpp>
#include <set>

#include "encode/runs_for_test.h"
#include "encode/snappy.h"
#include "exporters/destinations.h"
#include "exporters/server_for_test.h"
#include "store/disk_feed_for_test.h"

namespace accelmon {
namespace {

using for_test::BatchMaker;
using for_test::kBegin;
using for_test::Server;
using testing::ElementsAre;
using testing::HasSubstr;
using Verdict = Sent::Verdict;

const Identity kIdentity{"h1", "0123", "9.9"};

ExporterSettings settings(std::map<std::string, std::string, std::less<>> options) {
  ExporterSettings out;
  out.name = "x";
  out.options = std::move(options);
  return out;
}

TEST(RetryAfter, SecondsAndDates) {
  const Nanos now = 1'700'000'000 * kSecond;  // Tue, 14 Nov 2023 22:13:20 GMT
  const auto after = [&](std::string_view text) {
    Nanos out = -1;
    return parse_retry_after(text, now, out) ? out / kSecond : -1;
  };
  EXPECT_EQ(after("120"), 120);
  EXPECT_EQ(after("0"), 0);
  EXPECT_EQ(after("Tue, 14 Nov 2023 22:14:20 GMT"), 60);
  EXPECT_LE(after("Tue, 14 Nov 2023 22:13:00 GMT"), 0) << "a moment that has passed is no pause";
  for (const char* bad : {"", "soon", "-5", "1e9", "Tue, 99 Nov 2023 22:13:00 GMT"}) EXPECT_LE(after(bad), 0) << bad;
  EXPECT_GE(after("99999999999999999999"), -1) << "no overflow";
}

Sent post(const Server& server, std::map<std::string, std::string, std::less<>> options = {}) {
  options.emplace("url", server.url("/write"));
  options.emplace("timeout", "5s");
  Result<HttpDestination> http =
      HttpDestination::make(settings(std::move(options)), kIdentity, {"Content-Type: text/x"}, "http://h/");
  if (!http) {
    ADD_FAILURE() << http.error().message();
    return {};
  }
  PushReply reply;
  return http->post("body", reply);
}

TEST(HttpDestination, WhatEachStatusMeans) {
  const std::pair<int, Verdict> kinds[] = {
      {200, Verdict::delivered}, {204, Verdict::delivered}, {301, Verdict::later},   {307, Verdict::later},
      {400, Verdict::refused},   {401, Verdict::later},     {403, Verdict::later},   {404, Verdict::later},
      {408, Verdict::later},     {413, Verdict::refused},   {415, Verdict::refused}, {422, Verdict::refused},
      {429, Verdict::later},     {500, Verdict::failed},    {501, Verdict::failed},  {502, Verdict::later},
      {503, Verdict::later},     {504, Verdict::later},
  };
  for (const auto& [status, verdict] : kinds) {
    const Server server([&, code = status](const auto&) { return Server::reply(code, "", "Location: http://h/\r\n"); });
    const Sent sent = post(server);
    EXPECT_EQ(sent.verdict, verdict) << status;
    EXPECT_EQ(sent.message.empty(), verdict == Verdict::delivered) << status;
    EXPECT_EQ(server.requests().size(), 1u) << "a redirection is not followed";
  }
}

TEST(HttpDestination, WhatTheServerSaysIsToldWithoutControlBytes) {
  const Server server([](const auto&) { return Server::reply(429, "too \x1b[2Jmany", "Retry-After: 7\r\n"); });
  const Sent sent = post(server);
  EXPECT_THAT(sent.message, HasSubstr("HTTP 429: too "));
  EXPECT_EQ(sent.message.find('\x1b'), std::string::npos);
  EXPECT_EQ(sent.retry_after, 7 * kSecond);
}

TEST(HttpDestination, ServersThatAreNone) {
  const Server closes([](const auto&) { return std::string(); });
  EXPECT_EQ(post(closes).verdict, Verdict::later);
  const Server babbles([](const auto&) { return std::string("what do you want\r\n\r\n"); });
  EXPECT_EQ(post(babbles).verdict, Verdict::later);
  const Server half([](const auto&) { return std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"); });
  EXPECT_EQ(post(half, {{"timeout", "300ms"}}).verdict, Verdict::later);
}

TEST(HttpDestination, WhoWeAreToIt) {
  const store_test::Folder folder;
  std::ofstream(folder.file("token")) << "  secret \nsecond line\n";
  std::ofstream(folder.file("password")) << "open sesame\n";
  const Server server([](const auto&) { return Server::reply(204); });
  post(server, {{"bearer_token_file", folder.file("token")}, {"headers", "X-Scope-OrgID: a\nX-B: c"}});
  post(server, {{"username", "Aladdin"}, {"password_file", folder.file("password")}});
  post(server);
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].header("authorization"), "Bearer secret");
  EXPECT_EQ(requests[0].header("x-scope-orgid"), "a");
  EXPECT_EQ(requests[0].header("x-b"), "c");
  EXPECT_EQ(requests[0].header("content-type"), "text/x");
  EXPECT_EQ(requests[0].header("user-agent"), "accelmon/9.9");
  EXPECT_EQ(requests[0].body, "body");
  EXPECT_EQ(requests[1].header("authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  EXPECT_EQ(requests[2].header("authorization"), "");
  EXPECT_TRUE(requests[0].head.starts_with("POST /write HTTP/1.1\r\n"));
}

TEST(HttpDestination, ASecretIsReadForEveryRequest) {
  const store_test::Folder folder;
  const std::string path = folder.file("token");
  std::ofstream(path) << "old\n";
  const Server server([](const auto&) { return Server::reply(204); });
  Result<HttpDestination> http =
      HttpDestination::make(settings({{"url", server.url()}, {"bearer_token_file", path}}), kIdentity, {}, "http://h/");
  ASSERT_TRUE(http);
  PushReply reply;
  EXPECT_EQ(http->post("1", reply).verdict, Verdict::delivered);
  std::ofstream(path) << "new\n";
  EXPECT_EQ(http->post("2", reply).verdict, Verdict::delivered);
  std::ofstream(path) << "\n";
  const Sent sent = http->post("3", reply);
  EXPECT_EQ(sent.verdict, Verdict::later);
  EXPECT_THAT(sent.message, HasSubstr(path));
  ASSERT_EQ(server.requests().size(), 2u);
  EXPECT_EQ(server.requests()[0].header("authorization"), "Bearer old");
  EXPECT_EQ(server.requests()[1].header("authorization"), "Bearer new");
}

TEST(HttpDestination, WhatIsShownIsNoSecret) {
  const auto shown = [](const std::string& url) {
    return HttpDestination::make(settings({{"url", url}}), kIdentity, {}, "http://h/")->shown();
  };
  EXPECT_EQ(shown("https://u:p@h:1/write?token=x#y"), "https://h:1/write");
  EXPECT_EQ(shown("https://h"), "https://h");
  EXPECT_EQ(shown("https://h/"), "https://h/");
  EXPECT_EQ(shown("https://h:1/push/0123456789abcdef"), "https://h:1/...") << "a token may be a path";
  EXPECT_EQ(shown("https://h/api/v1/write/0123456789abcdef"), "https://h/...");
  EXPECT_EQ(shown("http://[::1]:80/v1/metrics"), "http://[::1]:80/v1/metrics");
  EXPECT_EQ(shown("http://h/a@b"), "http://h/...");
  EXPECT_EQ(shown("http://u:p/w@h/x"), "http://.../...") << "that password ends the host";
  EXPECT_EQ(shown("http://u:p?w@h/write"), "http://...");
}

TEST(HttpDestination, SecretHeadersAreReadForEveryRequest) {
  const store_test::Folder folder;
  const std::string path = folder.file("headers");
  std::ofstream(path) << "Authorization: Token old\r\n\n  X-API-Key: k:1 \n";
  const Server server([](const auto&) { return Server::reply(204); });
  Result<HttpDestination> http = HttpDestination::make(
      settings({{"url", server.url()}, {"headers", "X-A: b"}, {"headers_file", path}}), kIdentity, {}, "http://h/");
  ASSERT_TRUE(http) << http.error().message();
  PushReply reply;
  EXPECT_EQ(http->post("1", reply).verdict, Verdict::delivered);
  std::ofstream(path) << "Authorization: Token new";
  EXPECT_EQ(http->post("2", reply).verdict, Verdict::delivered);
  std::ofstream(path) << "X-A: b\n\nno-header-but-a-secret\n";
  const Sent sent = http->post("3", reply);
  EXPECT_EQ(sent.verdict, Verdict::later);
  EXPECT_EQ(sent.message, "exporters.x.headers_file: " + path + ": line 3 is no header; write \"Name: value\"");
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].header("authorization"), "Token old");
  EXPECT_EQ(requests[0].header("x-api-key"), "k:1");
  EXPECT_EQ(requests[0].header("x-a"), "b");
  EXPECT_EQ(requests[1].header("authorization"), "Token new");
  EXPECT_EQ(requests[1].header("x-api-key"), "");
}

TEST(HttpDestination, SecretHeadersThatCannotBe) {
  const store_test::Folder folder;
  const auto why = [&](std::string_view text, std::map<std::string, std::string, std::less<>> options = {}) {
    const std::string path = folder.file("headers");
    std::ofstream(path) << text;
    options.emplace("url", "http://h/");
    options.emplace("headers_file", path);
    const auto made = HttpDestination::make(settings(std::move(options)), kIdentity, {}, "http://h/");
    return made ? std::string("fine") : made.error().message();
  };
  EXPECT_EQ(why("A: b"), "fine");
  EXPECT_THAT(why("\n \n"), HasSubstr("is empty"));
  EXPECT_THAT(why(": b"), HasSubstr("line 1 is no header"));
  EXPECT_THAT(why("A: b\nC: \x01"), HasSubstr("line 2 is no header"));
  EXPECT_THAT(why("A: b", {{"headers_file", folder.file("none")}}), HasSubstr("exporters.x.headers_file"));
  EXPECT_EQ(why("authorization: b"), "fine");
  EXPECT_THAT(why("authorization: b", {{"username", "u"}}), HasSubstr("exclude each other"));
}

TEST(HttpDestination, WhatTheServerRepeatsOfOurSecretsIsHidden) {
  const store_test::Folder folder;
  std::ofstream(folder.file("headers")) << "Authorization: Token header-secret\n";
  std::ofstream(folder.file("password")) << "pass-secret\n";
  const Server server([](const auto& request) {
    return Server::reply(400, "Cannot " + std::string(request.head.substr(0, request.head.find('\r'))) + "; " +
                                  request.header("authorization") + " pass-secret accelmon");
  });
  const std::string url = server.url("/push/path-secret?db=accelmon&token=query-secret");
  Sent sent = post(server, {{"url", url}, {"headers_file", folder.file("headers")}});
  for (const char* secret : {"header-secret", "path-secret", "query-secret"})
    EXPECT_EQ(sent.message.find(secret), std::string::npos) << sent.message;
  EXPECT_THAT(sent.message, HasSubstr("HTTP 400: Cannot POST "));
  EXPECT_THAT(sent.message, HasSubstr("db=accelmon")) << "which database is what one needs to know";
  sent = post(server, {{"username", "somebody"}, {"password_file", folder.file("password")}});
  EXPECT_EQ(sent.message.find("pass-secret"), std::string::npos) << sent.message;
  EXPECT_EQ(sent.message.find(encode_base64("somebody:pass-secret")), std::string::npos) << sent.message;
}

// ---- remote write ----

struct Written {
  std::vector<std::pair<std::string, int64_t>> samples;  // name and time, in order
  std::vector<std::pair<std::string, int64_t>> of;       // the same by all labels
};

// Names and times of what a request of 1.0 holds.
Written decode(const std::string& body) {
  std::string raw;
  EXPECT_TRUE(snappy_uncompress(body, 1u << 24, raw).ok());
  Written out;
  protozero::pbf_reader request(raw);
  while (request.next(1)) {
    protozero::pbf_reader series = request.get_message();
    std::string name, labels;
    while (series.next()) {
      if (series.tag() == 1) {
        protozero::pbf_reader label = series.get_message();
        std::string key, value;
        while (label.next()) {
          std::string& text = label.tag() == 1 ? key : value;
          text = label.get_string();
        }
        if (key == "__name__") name = value;
        labels += key + '=' + value + ',';
      } else if (series.tag() == 2) {
        protozero::pbf_reader sample = series.get_message();
        int64_t time = 0;
        while (sample.next())
          if (sample.tag() == 2)
            time = sample.get_int64();
          else
            sample.skip();
        out.samples.emplace_back(name, time);
        out.of.emplace_back(labels, time);
      } else {
        series.skip();
      }
    }
  }
  return out;
}

// Sends the batch as a Runner does, but that nothing is tried twice.
std::vector<Sent> deliver(Destination& destination, std::span<const FrameRun> batch) {
  std::vector<Sent> out;
  destination.begin(batch);
  for (bool again = false; out.size() < 10'000 && destination.next();) {
    out.push_back(destination.send());
    again = out.back().verdict == Verdict::again;
    if (again) destination.begin(batch);
  }
  destination.commit();
  return out;
}

std::unique_ptr<Destination> remote_write(const Server& server, const std::string& version = "1.0") {
  std::string where;
  auto made =
      make_remote_write(settings({{"url", server.url("/api/v1/write")}, {"version", version}}), kIdentity, where);
  EXPECT_TRUE(made) << made.error().message();
  return std::move(*made);
}

BatchMaker polls(int count) {
  BatchMaker make;
  make.run("nvml", for_test::five_kinds());
  for (int i = 0; i < count; ++i) make.frame(kBegin + i * kSecond, {50, 1000.0 + i, 3e9, 1, 1});
  return make;
}

// Of 500 samples the receiver wants all but one: it gets 499, each once and in order.
TEST(RemoteWriteDestination, OneBadSampleCostsItselfAlone) {
  const int64_t bad = (kBegin + 37 * kSecond) / kMillisecond;
  const Server server([&](const Server::Request& request) {
    for (const auto& [name, time] : decode(request.body).samples)
      if (name == "hw_energy_joules_total" && time == bad) return Server::reply(400, "out of bounds");
    return Server::reply(204);
  });
  const auto destination = remote_write(server);
  BatchMaker make = polls(100);
  std::map<std::string, std::vector<int64_t>> taken;
  uint64_t refused = 0;
  for (const Sent& sent : deliver(*destination, make.batch()))
    refused += sent.verdict == Verdict::refused ? sent.samples : 0;
  for (const auto& request : server.requests()) {
    const Written written = decode(request.body);
    if (std::any_of(written.samples.begin(), written.samples.end(),
                    [&](const auto& one) { return one.first == "hw_energy_joules_total" && one.second == bad; }))
      continue;
    for (const auto& [name, time] : written.samples) taken[name].push_back(time);
  }
  EXPECT_EQ(refused, 1u);
  ASSERT_EQ(taken.size(), 5u);
  for (const auto& [name, times] : taken) {
    std::vector<int64_t> wanted;
    for (int i = 0; i < 100; ++i)
      if (name != "hw_energy_joules_total" || i != 37) wanted.push_back((kBegin + i * kSecond) / kMillisecond);
    EXPECT_EQ(times, wanted) << name;
  }
  EXPECT_LT(server.requests().size(), 60u) << "pieces grow again behind the bad one";
}

TEST(RemoteWriteDestination, AReceiverThatRefusesEverythingLosesItAll) {
  const Server server([](const auto&) { return Server::reply(400, "no"); });
  const auto destination = remote_write(server);
  BatchMaker make = polls(4);
  uint64_t refused = 0;
  for (const Sent& sent : deliver(*destination, make.batch()))
    refused += sent.verdict == Verdict::refused ? sent.samples : 0;
  EXPECT_EQ(refused, 20u);
}

// Of every request of a far end that is away for good, or that wants none of an old backlog.
TEST(RemoteWriteDestination, WhatRefusesEverythingCostsFewRequests) {
  std::atomic<bool> wants = false;
  const Server server([&](const auto&) { return wants ? Server::reply(204) : Server::reply(400, "out of bounds"); });
  const auto destination = remote_write(server);
  BatchMaker make = polls(2000);
  uint64_t refused = 0;
  for (int batch = 0; batch < 4; ++batch)
    for (const Sent& sent : deliver(*destination, make.batch()))
      refused += sent.verdict == Verdict::refused ? sent.samples : 0;
  EXPECT_EQ(refused, 40'000u);
  EXPECT_LT(server.requests().size(), 130u);
  const size_t before = server.requests().size();
  wants = true;
  BatchMaker later;
  later.run("nvml", for_test::five_kinds());
  for (int i = 2000; i < 3000; ++i) later.frame(kBegin + i * kSecond, {50, 1000.0 + i, 3e9, 1, 1});
  for (const Sent& sent : deliver(*destination, later.batch())) EXPECT_EQ(sent.verdict, Verdict::delivered);
  EXPECT_LT(server.requests().size() - before, 6u);
}

// A stop broke off a batch of four polls, and they come again one by one. The receiver is as Prometheus: it stores
// nothing of a request with one sample that is older than what it has, and does not mind the newest once more.
TEST(RemoteWriteDestination, BehindWhatItHasAllArrives) {
  std::map<std::string, std::set<int64_t>> stored;
  const Server server([&](const Server::Request& request) {
    const Written written = decode(request.body);
    for (const auto& [series, time] : written.of)
      if (!stored[series].empty() && *stored[series].rbegin() > time) return Server::reply(400, "out of order sample");
    for (const auto& [series, time] : written.of) stored[series].insert(time);
    return Server::reply(204);
  });
  const auto destination = [&](const char* max_samples) {
    std::string where;
    return std::move(*make_remote_write(settings({{"url", server.url("/api/v1/write")}, {"max_samples", max_samples}}),
                                        kIdentity, where));
  };
  const auto catalog = std::make_shared<Catalog>();
  CatalogBuilder build(*catalog);
  for (int i = 0; i < 100; ++i) build.add(MetricId::energy, build.add_device({.id = "GPU-" + std::to_string(i)}));
  const auto polls = [&](int first, int count) {
    BatchMaker make;
    make.run("nvml", catalog);
    for (int i = first; i < first + count; ++i) make.frame(kBegin + i * kSecond, std::vector<double>(100, 1.0 + i));
    return make;
  };
  {
    const auto broken_off = destination("28");
    BatchMaker make = polls(0, 4);
    broken_off->begin(make.batch());
    for (int taken = 0; taken < 136;) {
      ASSERT_TRUE(broken_off->next());
      const Sent sent = broken_off->send();
      ASSERT_EQ(sent.verdict, Verdict::delivered);
      taken += static_cast<int>(sent.samples);
    }
  }
  const size_t before = server.requests().size();
  const auto anew = destination("50");
  uint64_t repeated = 0, delivered = 0;
  for (int i = 0; i < 4; ++i) {
    BatchMaker make = polls(i, 1);
    anew->may_have(true);
    for (const Sent& sent : deliver(*anew, make.batch())) {
      EXPECT_NE(sent.verdict, Verdict::refused);
      repeated += sent.repeated;
      delivered += sent.verdict == Verdict::delivered ? sent.samples : 0;
    }
  }
  EXPECT_EQ(repeated, 35u * 3) << "35 series had come whole, and of the fourth poll none is out of order";
  EXPECT_EQ(delivered, 65u * 3 + 100);
  EXPECT_EQ(stored.size(), 100u);
  for (const auto& [series, times] : stored) EXPECT_EQ(times.size(), 4u) << series;
  EXPECT_LT(server.requests().size() - before, 45u);
}

// That what it has may stand in front does not hold up what is refused for another reason, or anywhere else.
TEST(RemoteWriteDestination, WhatItMayHaveIsNotTakenForGranted) {
  for (const char* says : {"out of order sample", "no"}) {
    const Server server([&](const Server::Request& request) {
      for (const auto& [name, time] : decode(request.body).samples)
        if (name == "hw_energy_joules_total") return Server::reply(400, says);
      return Server::reply(204);
    });
    const auto destination = remote_write(server);
    BatchMaker make = polls(1);
    destination->may_have(true);
    uint64_t refused = 0, repeated = 0;
    for (const Sent& sent : deliver(*destination, make.batch())) {
      refused += sent.verdict == Verdict::refused ? sent.samples : 0;
      repeated += sent.repeated;
    }
    EXPECT_EQ(repeated, 0u);
    EXPECT_EQ(refused, 1u) << says;
    EXPECT_LT(server.requests().size(), 20u);
  }
}

// A receiver that answers 500 for one series (Prometheus 2.x does for what it cannot take).
TEST(RemoteWriteDestination, WhatAFarEndFailsAtIsFound) {
  std::atomic<bool> down = false;
  const Server server([&](const Server::Request& request) {
    for (const auto& [name, time] : decode(request.body).samples)
      if (down || name == "hw_energy_joules_total") return Server::reply(500, "boom");
    return Server::reply(204);
  });
  const auto destination = remote_write(server);
  BatchMaker make = polls(8);
  const auto work = [&] {
    uint64_t taken = 0, left_out = 0;
    destination->begin(make.batch());
    for (int requests = 0; requests < 200 && destination->next(); ++requests) {
      const Sent sent = destination->send();
      if (sent.verdict == Verdict::failed) {
        if (requests > 100 || !destination->search()) break;
        continue;
      }
      left_out += sent.left_out;
      taken += sent.verdict == Verdict::delivered ? sent.samples : 0;
    }
    return std::pair(taken, left_out);
  };
  down = true;
  EXPECT_EQ(work(), std::pair(uint64_t{0}, uint64_t{0})) << "a far end that is ill loses nothing";
  down = false;
  EXPECT_EQ(work(), std::pair(uint64_t{32}, uint64_t{8}));
}

TEST(RemoteWriteDestination, FallsBackToTheFirstVersion) {
  for (const int status : {204, 415}) {
    const Server server([&](const Server::Request& request) {
      return Server::reply(request.header("x-prometheus-remote-write-version") == "2.0.0" ? status : 204);
    });
    const auto destination = remote_write(server, "2.0");
    BatchMaker make = polls(2);
    const std::vector<Sent> sent = deliver(*destination, make.batch());
    ASSERT_GE(sent.size(), 2u);
    EXPECT_EQ(sent[0].verdict, Verdict::again);
    EXPECT_EQ(sent[0].note, status == 204 ? "remote write 1.0: the receiver took remote write 2.0 and stored nothing"
                                          : "remote write 1.0: the receiver does not know remote write 2.0");
    EXPECT_EQ(sent[1].verdict, Verdict::delivered);
    EXPECT_EQ(sent[1].note, "");
    const auto requests = server.requests();
    EXPECT_EQ(requests[1].header("x-prometheus-remote-write-version"), "0.1.0");
    EXPECT_EQ(requests[1].header("content-type"), "application/x-protobuf");
    EXPECT_EQ(decode(requests[1].body).samples.size(), 10u);
  }
}

TEST(RemoteWriteDestination, WhatWasWrittenIsTold) {
  const Server server([](const Server::Request&) {
    return Server::reply(204, "", "X-Prometheus-Remote-Write-Samples-Written: 7\r\n");
  });
  const auto destination = remote_write(server, "2.0");
  BatchMaker make = polls(2);
  const std::vector<Sent> sent = deliver(*destination, make.batch());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].verdict, Verdict::delivered);
  EXPECT_EQ(sent[0].rejected, 3u);
}

TEST(InfluxDestination, APartialWriteIsNotSentAgain) {
  const Server server(
      [](const auto&) { return Server::reply(400, R"({"error":"partial write: field type conflict: dropped=3"})"); });
  std::string where;
  auto made = make_influx(settings({{"url", server.url("/write?db=x")}, {"gzip", "false"}}), kIdentity, where);
  ASSERT_TRUE(made);
  BatchMaker make = polls(1);
  const std::vector<Sent> sent = deliver(**made, make.batch());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].verdict, Verdict::delivered);
  EXPECT_EQ(sent[0].rejected, 3u);
  EXPECT_THAT(server.requests()[0].body, HasSubstr("accelmon,"));
}

TEST(InfluxDestination, WhatIsTooLargeGoesInSmallerOnes) {
  std::string all;
  const Server server([&](const Server::Request& request) {
    if (request.body.size() > 3000) return Server::reply(413);
    all += request.body;
    return Server::reply(204);
  });
  std::string where;
  auto made = make_influx(settings({{"url", server.url("/write?db=x")}, {"gzip", "false"}}), kIdentity, where);
  ASSERT_TRUE(made);
  for (int batch = 0; batch < 2; ++batch) {
    BatchMaker make = polls(100);
    uint64_t taken = 0, other = 0;
    for (const Sent& sent : deliver(**made, make.batch()))
      (sent.verdict == Verdict::delivered ? taken : other) += sent.verdict == Verdict::pieces ? 0 : sent.samples;
    EXPECT_EQ(taken, 500u);
    EXPECT_EQ(other, 0u);
  }
  size_t larger = 0;
  for (const auto& request : server.requests()) larger += request.body.size() > 3000;
  EXPECT_LT(larger, 8u) << "the size that it takes is known in the second batch";
  EXPECT_EQ(all.size() % 2, 0u);
  EXPECT_EQ(all.substr(0, all.size() / 2), all.substr(all.size() / 2));
}

TEST(OtlpDestination, WhatIsTooLargeGoesInSmallerOnes) {
  const Server server(
      [&](const Server::Request& request) { return Server::reply(request.body.size() > 8000 ? 413 : 200); });
  std::string where;
  auto made = make_otlp(settings({{"url", server.url("/v1/metrics")}, {"gzip", "false"}}), kIdentity, where);
  ASSERT_TRUE(made);
  BatchMaker make = polls(100);
  uint64_t taken = 0, other = 0;
  for (const Sent& sent : deliver(**made, make.batch()))
    (sent.verdict == Verdict::delivered ? taken : other) += sent.verdict == Verdict::pieces ? 0 : sent.samples;
  EXPECT_EQ(taken, 500u);
  EXPECT_EQ(other, 0u);
}

TEST(OtlpDestination, AServerErrorIsNotRetried) {
  const Server server([](const auto&) { return Server::reply(500); });
  std::string where;
  auto made = make_otlp(settings({{"url", server.url("/v1/metrics")}}), kIdentity, where);
  ASSERT_TRUE(made);
  BatchMaker make = polls(1);
  const std::vector<Sent> sent = deliver(**made, make.batch());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].verdict, Verdict::refused) << "the specification names the codes that may be";
}

TEST(OtlpDestination, AnswersOfCollectors) {
  std::string answer;
  const Server server([&](const auto&) { return answer; });
  std::string where;
  auto made = make_otlp(settings({{"url", server.url("/v1/metrics")}, {"protocol", "http/json"}, {"gzip", "false"}}),
                        kIdentity, where);
  ASSERT_TRUE(made);
  const auto send = [&](std::string reply) {
    answer = std::move(reply);
    BatchMaker make = polls(1);
    (*made)->begin(make.batch());
    EXPECT_TRUE((*made)->next());
    return (*made)->send();
  };
  EXPECT_EQ(send(Server::reply(200, R"({"partialSuccess":{}})")).rejected, 0u) << "what a Collector says of success";
  const Sent partly = send(Server::reply(200, R"({"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"old"}})"));
  EXPECT_EQ(partly.verdict, Verdict::delivered);
  EXPECT_EQ(partly.rejected, 2u);
  EXPECT_THAT(partly.message, HasSubstr("old"));
  const Sent busy = send(Server::reply(503, R"({"code":14,"message":"shutting down"})",
                                       "Content-Type: application/json\r\nRetry-After: 9\r\n"));
  EXPECT_EQ(busy.verdict, Verdict::later);
  EXPECT_EQ(busy.retry_after, 9 * kSecond);
  EXPECT_THAT(busy.message, HasSubstr("shutting down"));
  EXPECT_EQ(send(Server::reply(400, "")).verdict, Verdict::pieces) << "one point of it may be bad";
  EXPECT_EQ(send(Server::reply(415, "")).verdict, Verdict::refused);
}

}  // namespace
}  // namespace accelmon

// Answers that come later, streams, and the one path that takes POST over TCP.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

#include "net/http_server.h"
#include "net/raw_client_for_test.h"

namespace accelmon {
namespace {

using for_test::RawClient;
using for_test::Reply;

struct Later final : HttpLater {
  explicit Later(std::shared_ptr<std::atomic<int>> alive_now) : alive(std::move(alive_now)) { ++*alive; }
  ~Later() override { --*alive; }
  bool take(HttpResponse& out) override {
    const std::lock_guard lock(mutex);
    if (text.empty()) return false;
    out = HttpResponse::text(200, text);
    return true;
  }
  void set(std::string value) {
    const std::lock_guard lock(mutex);
    text = std::move(value);
  }
  std::shared_ptr<std::atomic<int>> alive;
  std::mutex mutex;
  std::string text;
};

struct Stream final : HttpStream {
  explicit Stream(std::shared_ptr<std::atomic<int>> alive_now) : alive(std::move(alive_now)) { ++*alive; }
  ~Stream() override { --*alive; }
  bool next(std::string& out) override {
    out += std::string(size, 's') + std::to_string(calls++) + "\n";
    return calls < last;
  }
  void heartbeat(std::string& out) override { out += ": alive\n"; }
  std::shared_ptr<std::atomic<int>> alive;
  std::atomic<size_t> size{0};
  int calls = 0;
  int last = INT_MAX;
};

class HttpLaterTest : public ::testing::Test {
 protected:
  void serve(HttpServerOptions options = {}) {
    options.address = "127.0.0.1:0";
    options.post_path = "/post";
    options.post_max_body = 10'000;
    server_ =
        HttpServer::start(std::move(options), [this](const HttpRequest& request) { return handle(request); }).value();
  }
  HttpResponse handle(const HttpRequest& request) {
    HttpResponse response;
    if (request.path == "/later") {
      auto one = std::make_shared<Later>(alive_);
      const std::lock_guard lock(mutex_);
      later_ = one;
      response.later = one;
    } else if (request.path == "/at-once") {
      auto one = std::make_shared<Later>(alive_);
      one->set("quick");
      response.later = one;
    } else if (request.path.starts_with("/stream")) {
      auto one = std::make_shared<Stream>(alive_);
      if (request.path == "/stream/big") one->size = 8u << 20;
      if (request.path == "/stream/three") one->last = 3;
      response.content_type = "text/event-stream";
      response.stream = one;
    } else {
      return HttpResponse::text(200, std::string(request.method) + " " + std::to_string(request.body.size()));
    }
    return response;
  }
  std::shared_ptr<Later> later() {
    for (int i = 0; i < 20'000; ++i) {
      {
        const std::lock_guard lock(mutex_);
        if (auto one = later_.lock()) return one;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    throw std::runtime_error("the request did not come");
  }
  // Wakes the server until the condition holds.
  bool wake_until(const std::function<bool()>& done) {
    for (int i = 0; i < 20'000; ++i) {
      if (done()) return true;
      server_->wake();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  std::mutex mutex_;
  std::weak_ptr<Later> later_;
  std::shared_ptr<std::atomic<int>> alive_ = std::make_shared<std::atomic<int>>(0);
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpLaterTest, OthersAreAnsweredMeanwhileAndTheConnectionStays) {
  serve();
  RawClient slow(server_->address()), quick(server_->address());
  slow.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /behind HTTP/1.1\r\nHost: x\r\n\r\n");
  auto one = later();
  server_->wake();  // not there yet
  EXPECT_EQ(quick.get("/").body, "GET 0");
  one->set("made elsewhere");
  one.reset();
  server_->wake();
  EXPECT_EQ(slow.receive().body, "made elsewhere");
  EXPECT_EQ(slow.receive().body, "GET 0") << "the request behind it";
  EXPECT_EQ(slow.get("/at-once").body, "quick") << "without any wake()";
  EXPECT_TRUE(wake_until([&] { return *alive_ == 0; }));
}

TEST_F(HttpLaterTest, WhatDoesNotComeIsA504) {
  serve({.later_timeout = 50 * kMillisecond});
  RawClient client(server_->address());
  EXPECT_EQ(client.get("/later").status, 504u);
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(*alive_, 0);
}

TEST_F(HttpLaterTest, TheServerMayEndFirst) {
  serve();
  RawClient client(server_->address()), streaming(server_->address());
  client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  later();
  streaming.get("/stream");
  server_.reset();
  EXPECT_EQ(*alive_, 0);
}

TEST_F(HttpLaterTest, AStreamGivesAPieceAWakeAndEndsWithItsConnection) {
  serve();
  {
    RawClient client(server_->address());
    const Reply head = client.get("/stream");
    EXPECT_EQ(head.status, 200u);
    EXPECT_FALSE(head.has("Content-Length"));
    EXPECT_TRUE(head.has("\r\nConnection: close\r\n"));
    EXPECT_EQ(client.line(), "0") << "without any wake()";
    server_->wake();
    EXPECT_EQ(client.line(), "1");
    client.send("what nobody asked for");
    server_->wake();
    EXPECT_EQ(client.line(), "2");
    EXPECT_EQ(*alive_, 1);
  }
  EXPECT_TRUE(wake_until([&] { return *alive_ == 0; })) << "a client that has gone is noticed";
  RawClient three(server_->address());
  three.get("/stream/three");
  EXPECT_TRUE(wake_until([&] { return *alive_ == 0; }));
  for (const char* line : {"0", "1", "2"}) EXPECT_EQ(three.line(), line);
  EXPECT_TRUE(three.closed());
  RawClient head(server_->address());
  EXPECT_EQ(head.ask("HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n", true).status, 200u);
  EXPECT_TRUE(head.closed());
}

TEST_F(HttpLaterTest, AStreamSaysThatItLives) {
  serve({.stream_heartbeat = 20 * kMillisecond});
  RawClient client(server_->address());
  client.get("/stream");
  EXPECT_EQ(client.line(), "0");
  EXPECT_EQ(client.line(), ": alive");
  EXPECT_EQ(client.line(), ": alive");
}

TEST_F(HttpLaterTest, AReaderThatDoesNotReadIsDropped) {
  // 8 MiB and a rate of 64 KiB a second would be two minutes; the server's own time is what the test shortens.
  serve({.request_timeout = 50 * kMillisecond, .slowest_bytes_per_second = 1u << 30});
  RawClient client(server_->address()), other(server_->address());
  client.get("/stream/big");
  EXPECT_TRUE(wake_until([&] { return server_->counters().dropped == 1; }));
  EXPECT_EQ(*alive_, 0);
  EXPECT_EQ(other.get("/").status, 200u);
}

TEST_F(HttpLaterTest, OnePathTakesPostAndItsOwnBound) {
  serve();
  RawClient client(server_->address());
  const auto post = [](const std::string& path, size_t size) {
    return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
           std::string(size, 'p');
  };
  EXPECT_EQ(client.ask(post("/post", 10'000)).body, "POST 10000");
  EXPECT_EQ(client.ask(post("/post?x=1", 0)).body, "POST 0");
  EXPECT_EQ(client.ask(post("/post", 10'001)).status, 413u);
  for (const char* path : {"/postal", "/", "/post/"}) {
    RawClient no(server_->address());
    EXPECT_EQ(no.ask(post(path, 3)).status, 405u) << path;
  }
  RawClient big(server_->address());
  EXPECT_EQ(big.ask("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\n").status, 413u);
}

}  // namespace
}  // namespace accelmon

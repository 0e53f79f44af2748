// Clients that wait, dawdle, vanish and crowd: the server stays up, bounded and quick for the others.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <list>
#include <thread>

#include "base/instrumented.h"
#include "base/log.h"
#include "base/valgrind_for_test.h"
#include "net/http_server.h"
#include "net/raw_client_for_test.h"

namespace accelmon {
namespace {

using for_test::RawClient;
using for_test::Reply;

HttpResponse page(const HttpRequest& request) {
  static const auto big = std::make_shared<const std::string>(64u << 20, 'b');
  if (request.path != "/big") return HttpResponse::text(200, std::string(40'000, 'm'));
  HttpResponse response;
  response.body = *big;
  response.owner = big;
  return response;
}

std::unique_ptr<HttpServer> serve(HttpServerOptions options = {}) {
  options.address = "127.0.0.1:0";
  auto server = HttpServer::start(std::move(options), page);
  if (!server) throw std::runtime_error(server.error().message());
  return std::move(*server);
}

// Waits for what another thread is about to do; false after 20 s.
template <class Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

TEST(HttpServerAbuse, TwoHundredIdleConnectionsMakeRoom) {
  const auto server = serve();
  std::list<RawClient> idle;
  for (int i = 0; i < 200; ++i) idle.emplace_back(server->address());
  RawClient client(server->address());
  EXPECT_EQ(client.get("/").body.size(), 40'000u);
  ASSERT_TRUE(eventually([&] { return server->counters().evicted == 200 + 1 - 64; }));
  EXPECT_EQ(server->counters().open, 64u);
  EXPECT_TRUE(idle.front().closed()) << "the one that had been idle for the longest";
  EXPECT_EQ(idle.back().get("/").status, 200u);
  EXPECT_EQ(client.get("/").status, 200u);
}

TEST(HttpServerAbuse, WhoIsInTheMiddleOfARequestIsNotEvicted) {
  const auto server = serve({.max_connections = 4, .stalled_after = 600 * kSecond});
  std::list<RawClient> busy;
  for (int i = 0; i < 4; ++i) {
    busy.emplace_back(server->address());
    busy.back().send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
  }
  ASSERT_TRUE(eventually([&] { return server->counters().open == 4; }));
  RawClient late(server->address());
  const Reply reply = late.get("/");
  EXPECT_EQ(reply.status, 503u);
  EXPECT_TRUE(reply.has("\r\nRetry-After: "));
  EXPECT_TRUE(late.closed());
  for (RawClient& client : busy) EXPECT_EQ(client.ask("y\r\n\r\n").status, 200u);
  EXPECT_EQ(server->counters().server_error, 1u);
  RawClient after(server->address());
  EXPECT_EQ(after.get("/").status, 200u) << "now one of them is idle";
  EXPECT_EQ(server->counters().evicted, 1u);
}

TEST(HttpServerAbuse, RequestsThatStallGiveWay) {
  const auto server = serve({.max_connections = 4, .request_timeout = 600 * kSecond, .stalled_after = 0});
  std::list<RawClient> stalled;
  for (int i = 0; i < 4; ++i) {
    stalled.emplace_back(server->address());
    stalled.back().send("GET / HTTP/1.1\r\nHost:");
  }
  ASSERT_TRUE(eventually([&] { return server->counters().open == 4; }));
  // The server may not have read the halves yet, and then turns the first away.
  EXPECT_TRUE(eventually([&] {
    RawClient late(server->address());
    return late.get("/").status == 200;
  }));
  EXPECT_GE(server->counters().evicted, 1u);
}

TEST(HttpServerAbuse, ACrowdBeyondTheBoundIsTurnedAwayAndForgotten) {
  const auto server = serve({.max_connections = 1});
  RawClient busy(server->address());
  busy.send("GET / HTTP/1.1\r\n");
  ASSERT_TRUE(eventually([&] { return server->counters().open == 1; }));
  {
    std::list<RawClient> crowd;
    for (int i = 0; i < 100; ++i) crowd.emplace_back(server->address());
    ASSERT_TRUE(eventually([&] { return server->counters().server_error == 100; }));
    EXPECT_LE(server->counters().open, 17u);
  }
  EXPECT_TRUE(eventually([&] { return server->counters().open == 1; }));
  EXPECT_EQ(busy.ask("Host: x\r\n\r\n").status, 200u);
}

TEST(HttpServerAbuse, SlowLoris) {
  const auto server = serve({.request_timeout = 300 * kMillisecond});
  RawClient slow(server->address());
  std::string_view text = "GET / HTTP/1.1\r\nHost: x\r\n";
  slow.send(text);
  // One more header line every 50 ms: each of them is progress, and the whole is too slow.
  std::atomic<bool> over{false};
  std::thread drip([&] {
    while (!over && slow.send("A: b\r\n")) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  const Reply reply = slow.receive();
  over = true;
  drip.join();
  EXPECT_EQ(reply.status, 408u);
  EXPECT_EQ(reply.body, "the request took too long to arrive whole.\n");
  EXPECT_TRUE(slow.closed());
  EXPECT_EQ(server->counters().client_error, 1u);
  RawClient client(server->address());
  EXPECT_EQ(client.get("/").status, 200u);
}

TEST(HttpServerAbuse, IdleConnectionsAreClosed) {
  const auto server = serve({.idle_timeout = 100 * kMillisecond});
  RawClient silent(server->address()), once(server->address());
  EXPECT_EQ(once.get("/").status, 200u);
  EXPECT_TRUE(silent.closed());
  EXPECT_TRUE(once.closed());
  EXPECT_EQ(once.pending(), "") << "closed without a word";
  EXPECT_TRUE(eventually([&] { return server->counters().open == 0; }));
}

TEST(HttpServerAbuse, AClientThatVanishesInTheMiddleOfABigBody) {
  const auto server = serve();
  for (int i = 0; i < 20; ++i) {
    RawClient client(server->address());
    client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    char some[1000];
    ASSERT_GT(::recv(client.fd(), some, sizeof some, 0), 0);
    const linger reset{1, 0};
    if (i % 2 == 0) ::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client.close();
  }
  EXPECT_TRUE(eventually([&] { return server->counters().open == 0; }));
  RawClient client(server->address());
  EXPECT_EQ(client.get("/").status, 200u);
}

TEST(HttpServerAbuse, AClientThatDoesNotReadIsCutOffWithoutHarmToOthers) {
  const auto server = serve({.request_timeout = 200 * kMillisecond});
  // The bound for a big body is longer (a slow reader is allowed): what counts here is that others are served
  // meanwhile.
  std::list<RawClient> deaf;
  for (int i = 0; i < 8; ++i) {
    deaf.emplace_back(server->address());
    deaf.back().send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  RawClient client(server->address());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.get("/").body.size(), 40'000u);
}

TEST(HttpServerAbuse, FiftyClientsAtOnce) {
  const auto server = serve();
  std::atomic<int> good{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 50; ++i)
    clients.emplace_back([&] {
      RawClient client(server->address());
      for (int k = 0; k < 20; ++k)
        if (client.get("/m").body.size() == 40'000) ++good;
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good.load(), 1000);
  EXPECT_EQ(server->counters().ok, 1000u);
  EXPECT_EQ(server->counters().evicted, 0u);
}

TEST(HttpServerAbuse, RunningOutOfDescriptorsIsSurvived) {
  if (under_valgrind()) GTEST_SKIP() << "it keeps descriptors for itself";
#ifdef ACCELMON_ADDRESS_SANITIZER
  GTEST_SKIP() << "the sanitizers look at memory through descriptors of their own";
#endif
  int quiet[2] = {-1, -1};
  ASSERT_EQ(::pipe(quiet), 0);
  const auto server = serve();
  RawClient before(server->address());
  EXPECT_EQ(before.get("/").status, 200u);
  // The connection to come is made first, then every descriptor is taken: the server cannot accept it.
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  const rlimit tight{64, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  std::list<UniqueFd> taken;
  UniqueFd waiting(::socket(AF_INET, SOCK_STREAM, 0));
  for (;;) {
    UniqueFd fd(::dup(0));
    if (!fd.valid()) break;
    taken.push_back(std::move(fd));
  }
  set_log_fd(quiet[1]);
  const SocketAddress address = resolve(*parse_host_port(server->address()))->at(0);
  ASSERT_EQ(::connect(waiting.get(), address.get(), address.size), 0);
  char line[512] = {};
  const ssize_t n = ::read(quiet[0], line, sizeof line - 1);  // the server says so, once
  set_log_fd(2);
  taken.clear();
  ::setrlimit(RLIMIT_NOFILE, &old);
  EXPECT_GT(n, 0);
  EXPECT_NE(std::string(line).find("cannot accept a connection"), std::string::npos) << line;
  ::close(quiet[0]);
  ::close(quiet[1]);
  const std::string request = "GET / HTTP/1.0\r\n\r\n";
  ASSERT_EQ(::send(waiting.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  char answer[16] = {};
  ASSERT_GT(::recv(waiting.get(), answer, sizeof answer - 1, 0), 0);
  EXPECT_EQ(std::string(answer, 15), "HTTP/1.1 200 OK");
  RawClient after(server->address());
  EXPECT_EQ(after.get("/").status, 200u);
}

}  // namespace
}  // namespace accelmon

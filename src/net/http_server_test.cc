#include "net/http_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "base/log.h"
#include "net/http_response.h"
#include "net/raw_client_for_test.h"

namespace accelmon {
namespace {

using for_test::RawClient;
using for_test::Reply;
using for_test::TemporaryFolder;

HttpResponse answer_of(const HttpRequest& request) {
  if (request.path == "/big") {
    static const auto big = std::make_shared<const std::string>(32u << 20, 'b');
    HttpResponse response;
    response.body = *big;
    response.owner = big;
    return response;
  }
  if (request.path == "/throw") throw std::runtime_error("the handler's own trouble");
  if (request.path == "/gzip") {
    HttpResponse response = HttpResponse::text(200, "packed");
    response.content_encoding = request.accept_encoding;
    response.headers.emplace_back("Vary", "Accept-Encoding");
    response.headers.emplace_back("X-Injected", "a\r\nEvil: yes");
    response.headers.emplace_back("Evil\r\nMore", "yes");
    return response;
  }
  if (request.path == "/same") {
    HttpResponse response = HttpResponse::text(304, "never sent");
    response.headers.emplace_back("ETag", "\"1\"");
    return response;
  }
  if (request.path == "/senseless") return HttpResponse::text(42, "");
  if (request.path == "/missing") return HttpResponse::text(404, "no such page\n");
  return HttpResponse::text(200, std::string(request.method) + " " + std::string(request.path) + " " +
                                     std::string(request.query) + " " + std::string(request.body) +
                                     (request.local ? " local " + std::to_string(request.uid) : " tcp"));
}

std::unique_ptr<HttpServer> serve(HttpServerOptions options = {}) {
  if (options.address.empty() && options.socket_path.empty()) options.address = "127.0.0.1:0";
  auto server = HttpServer::start(std::move(options), answer_of);
  if (!server) throw std::runtime_error(server.error().message());
  return std::move(*server);
}

TEST(HttpServer, AnswersAndKeepsTheConnection) {
  const auto server = serve();
  RawClient client(server->address());
  for (int i = 0; i < 3; ++i) {
    const Reply reply = client.get("/a?b");
    EXPECT_EQ(reply.status, 200u);
    EXPECT_EQ(reply.body, "GET /a b  tcp");
    EXPECT_TRUE(reply.head.starts_with("HTTP/1.1 200 OK\r\n"));
    EXPECT_TRUE(reply.has("\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    EXPECT_TRUE(reply.has("\r\nDate: "));
    EXPECT_FALSE(reply.has("Connection:"));
  }
  EXPECT_EQ(client.get("/missing").status, 404u);
  const HttpCounters counters = server->counters();
  EXPECT_EQ(counters.ok, 3u);
  EXPECT_EQ(counters.client_error, 1u);
  EXPECT_EQ(counters.open, 1u);
}

TEST(HttpServer, HeadHasTheHeadersAndNoBody) {
  const auto server = serve();
  RawClient client(server->address());
  const Reply reply = client.ask("HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n", true);
  EXPECT_EQ(reply.status, 200u);
  EXPECT_TRUE(reply.has("\r\nContent-Length: 13\r\n"));
  EXPECT_EQ(client.get("/y").body, "GET /y   tcp") << "nothing of the first body is in the way";
}

TEST(HttpServer, ConnectionsEndWhereTheClientWantsIt) {
  const auto server = serve();
  RawClient old(server->address());
  EXPECT_TRUE(old.ask("GET / HTTP/1.0\r\n\r\n").has("\r\nConnection: close\r\n"));
  EXPECT_TRUE(old.closed());
  RawClient kept(server->address());
  EXPECT_TRUE(kept.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").has("\r\nConnection: keep-alive\r\n"));
  EXPECT_EQ(kept.get("/").status, 200u);
  EXPECT_EQ(kept.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status, 200u);
  EXPECT_TRUE(kept.closed());
  RawClient half(server->address());
  half.send("GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
  half.half_close();
  EXPECT_EQ(half.receive().body, "GET /half   tcp") << "a client that is done with sending still gets its answer";
  EXPECT_TRUE(half.closed());
}

TEST(HttpServer, PipelinedRequestsAreAnsweredInOrder) {
  const auto server = serve();
  RawClient client(server->address());
  std::string all;
  for (int i = 0; i < 300; ++i) all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  std::thread sender([&] { client.send(all); });
  for (int i = 0; i < 300; ++i) EXPECT_EQ(client.receive().body, "GET /" + std::to_string(i) + "   tcp");
  sender.join();
}

TEST(HttpServer, HeadersOfTheHandler) {
  const auto server = serve();
  RawClient client(server->address());
  const Reply reply = client.ask("GET /gzip HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
  EXPECT_TRUE(reply.has("\r\nContent-Encoding: gzip\r\n"));
  EXPECT_TRUE(reply.has("\r\nVary: Accept-Encoding\r\n"));
  EXPECT_FALSE(reply.has("Evil"));
  EXPECT_EQ(reply.body, "packed");
  const Reply same = client.get("/same");
  EXPECT_EQ(same.status, 304u);
  EXPECT_TRUE(same.has("\r\nETag: \"1\"\r\n"));
  EXPECT_FALSE(same.has("Content-"));
  EXPECT_EQ(client.get("/").status, 200u);
}

TEST(HttpServer, AHandlerThatThrowsOrTalksNonsenseIsA500) {
  const auto server = serve();
  RawClient client(server->address());
  set_log_level(LogLevel::error);
  int ignored[2];
  ASSERT_EQ(::pipe(ignored), 0);
  set_log_fd(ignored[1]);
  const Reply reply = client.get("/throw");
  set_log_fd(2);
  EXPECT_EQ(reply.status, 500u);
  EXPECT_EQ(reply.body.find("trouble"), std::string::npos) << "the reason is for the log, not for the client";
  char line[256] = {};
  ASSERT_GT(::read(ignored[0], line, sizeof line - 1), 0);
  EXPECT_NE(std::string(line).find("the handler's own trouble"), std::string::npos) << line;
  ::close(ignored[0]);
  ::close(ignored[1]);
  EXPECT_EQ(client.get("/senseless").status, 500u);
  EXPECT_EQ(client.get("/").status, 200u);
  EXPECT_EQ(server->counters().server_error, 2u);
}

TEST(HttpServer, PostIsForTheLocalSocketAlone) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/sub/accelmon.sock";
  const auto server = serve({.address = "127.0.0.1:0", .socket_path = path, .max_body = 100});
  RawClient local("unix:" + path);
  const Reply done = local.ask("POST /reload HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
  EXPECT_EQ(done.body, "POST /reload  body local " + std::to_string(::getuid()));
  EXPECT_EQ(local.ask("POST /r HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").head,
            "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(local.ask("b").body, "POST /r  b local " + std::to_string(::getuid()));
  EXPECT_TRUE(local.ask("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n").has("\r\nAllow: GET, HEAD, POST\r\n"));
  EXPECT_TRUE(local.closed());
  RawClient big("unix:" + path);
  EXPECT_EQ(big.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n").status, 413u);

  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "MADEUP", "get"}) {
    RawClient tcp(server->address());
    const Reply no = tcp.ask(std::string(method) + " / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    EXPECT_EQ(no.status, 405u) << method;
    EXPECT_TRUE(no.has("\r\nAllow: GET, HEAD\r\n"));
    EXPECT_TRUE(tcp.closed());
  }
}

TEST(HttpServer, RefusalsComeWithAReason) {
  const auto server = serve();
  const auto refused = [&](const std::string& bytes) {
    RawClient client(server->address());
    const Reply reply = client.ask(bytes);
    EXPECT_TRUE(reply.has("\r\nConnection: close\r\n"));
    EXPECT_TRUE(client.closed());
    return std::to_string(reply.status) + " " + reply.body;
  };
  EXPECT_TRUE(refused("nonsense\r\n\r\n").starts_with("400 bad request: "));
  EXPECT_TRUE(refused("GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(9 << 10, 'x') + "\r\n\r\n").starts_with("431 "));
  EXPECT_TRUE(refused("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + std::string(5000, 'x'))
                  .starts_with("413 "));
  EXPECT_EQ(server->counters().client_error, 3u);
  RawClient cut(server->address());
  cut.send("GET / HT");
  cut.half_close();
  EXPECT_EQ(cut.receive().status, 400u);
  RawClient fine(server->address());
  EXPECT_EQ(fine.get("/").status, 200u);
}

TEST(HttpServer, ABigBodyArrivesWhole) {
  const auto server = serve();
  RawClient client(server->address());
  const Reply reply = client.get("/big");
  EXPECT_EQ(reply.body.size(), 32u << 20);
  EXPECT_EQ(std::count(reply.body.begin(), reply.body.end(), 'b'), 32 << 20);
  EXPECT_EQ(client.get("/").status, 200u);
}

TEST(HttpServer, OtherAddresses) {
  EXPECT_TRUE(serve({.address = "localhost:0"})->address().starts_with("127.0.0.1:"));
  const auto everywhere = serve({.address = ":0"});
  const std::string port = everywhere->address().substr(everywhere->address().rfind(':'));
  RawClient client("127.0.0.1" + port);
  EXPECT_EQ(client.get("/").status, 200u);
  for (const char* wrong :
       {"", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:-1", "::1:80", "[::1:80", "[x]:1", "a b:1", ":x"}) {
    const auto server = HttpServer::start({.address = wrong}, answer_of);
    ASSERT_FALSE(server) << wrong;
    EXPECT_EQ(server.error().code(), Code::invalid) << wrong;
  }
  const auto foreign = HttpServer::start({.address = "192.0.2.1:0"}, answer_of);
  ASSERT_FALSE(foreign);
  EXPECT_NE(foreign.error().message().find("no interface of this host has that address"), std::string::npos);
}

TEST(HttpServer, APortInUseNamesItsHolder) {
  const auto first = serve();
  const auto second = HttpServer::start({.address = first->address()}, answer_of);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::io);
  EXPECT_TRUE(second.error().message().starts_with("cannot listen on " + first->address() + ": in use by pid " +
                                                   std::to_string(::getpid()) + " ("))
      << second.error().message();
}

TEST(HttpServer, DestroyedWithConnectionsOpen) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/s";
  auto server = serve({.address = "127.0.0.1:0", .socket_path = path});
  RawClient idle(server->address());
  EXPECT_EQ(idle.get("/").status, 200u);
  RawClient reading(server->address());
  reading.send("GET / HTTP");
  RawClient writing("unix:" + path);
  writing.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  RawClient fresh(server->address());
  server.reset();
  EXPECT_TRUE(idle.closed());
  EXPECT_TRUE(reading.closed());
  EXPECT_TRUE(writing.closed());
  EXPECT_TRUE(fresh.closed());
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace accelmon

#include "net/http_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <thread>

#include "net/http_server.h"
#include "net/listener.h"
#include "net/raw_client_for_test.h"

namespace accelmon {
namespace {

constexpr Nanos kLong = 20 * kSecond;

// Answers one connection with fixed bytes and closes it.
class Scripted {
 public:
  explicit Scripted(std::string answer, bool keep_open = false, size_t piece = 1 << 30)
      : listener_(listen_tcp("127.0.0.1:0").value()), thread_([this, answer = std::move(answer), keep_open, piece] {
          pollfd one{listener_.fd.get(), POLLIN, 0};
          if (::poll(&one, 1, 20'000) <= 0) return;
          const UniqueFd fd(::accept(listener_.fd.get(), nullptr, nullptr));
          char request[4096];
          (void)!::recv(fd.get(), request, sizeof request, 0);
          for (size_t at = 0; at < answer.size(); at += piece) {
            (void)!::send(fd.get(), answer.data() + at, std::min(piece, answer.size() - at), MSG_NOSIGNAL);
            if (piece < answer.size()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
          }
          // Until the client has gone: an answer that never ends must not end here.
          if (keep_open) (void)!::recv(fd.get(), request, sizeof request, 0);
        }) {}
  ~Scripted() { thread_.join(); }
  const std::string& address() const { return listener_.address; }

 private:
  TcpListener listener_;
  std::thread thread_;
};

Result<HttpReply> scripted(const std::string& answer, std::string_view method = "GET") {
  Scripted server(answer);
  return http_request(method, server.address(), "/", kLong);
}

TEST(HttpClient, AsksOurServerOverBothKindsOfSocket) {
  const for_test::TemporaryFolder folder;
  const std::string path = folder.path() + "/s.sock";
  const auto server =
      HttpServer::start({.address = "127.0.0.1:0", .socket_path = path}, [](const HttpRequest& request) {
        return HttpResponse::text(request.path == "/no" ? 404 : 200,
                                  std::string(request.method) + std::string(request.query), "text/csv");
      });
  ASSERT_TRUE(server);
  const std::string tcp = (*server)->address();
  for (const std::string& endpoint : {"unix:" + path, tcp, "localhost" + tcp.substr(tcp.rfind(':'))}) {
    const Result<HttpReply> reply = http_request("GET", endpoint, "/a?q", kLong);
    ASSERT_TRUE(reply) << endpoint << ": " << reply.error().message();
    EXPECT_EQ(reply->status, 200u);
    EXPECT_EQ(reply->content_type, "text/csv");
    EXPECT_EQ(reply->body, "GETq");
    EXPECT_EQ(http_request("GET", endpoint, "/no", kLong)->status, 404u);
    EXPECT_EQ(http_request("HEAD", endpoint, "/", kLong)->body, "");
    EXPECT_EQ(http_request("POST", endpoint, "/", kLong)->status, endpoint.starts_with("unix:") ? 200u : 405u);
  }
}

TEST(HttpClient, EveryWayToEndABody) {
  EXPECT_EQ(scripted("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef")->body, "abc");
  EXPECT_EQ(scripted("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")->body,
            "abcde");
  EXPECT_EQ(scripted("HTTP/1.0 200 OK\r\n\r\nto the end")->body, "to the end");
  EXPECT_EQ(scripted("HTTP/1.1 204 No Content\r\n\r\n")->status, 204u);
  EXPECT_EQ(scripted("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx")->body, "x");
  EXPECT_EQ(scripted("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "HEAD")->status, 200u);
  const std::string big(3 << 20, 'b');
  EXPECT_EQ(scripted("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(big.size()) + "\r\n\r\n" + big)->body, big);
}

TEST(HttpClient, AnAnswerThatDrips) {
  for (const char* chunks : {"0\r\n\r\n", "1\r\nx\r\n0\r\n\r\n", "0\r\nTrailer: y\r\n\r\n"}) {
    Scripted server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(chunks), true, 1);
    const Result<HttpReply> reply = http_request("GET", server.address(), "/", kLong);
    ASSERT_TRUE(reply) << chunks << reply.error().message();
    EXPECT_EQ(reply->body, chunks[0] == '1' ? "x" : "");
  }
}

TEST(HttpClient, WhatIsNotHttpIsInvalid) {
  for (const std::string& answer :
       {std::string(), std::string("SSH-2.0-OpenSSH_9\r\n"), std::string("HTTP/1.1 abc\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nX: " + std::string(40000, 'x')),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n")}) {
    const Result<HttpReply> reply = scripted(answer);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code(), Code::invalid) << answer.substr(0, 40) << ": " << reply.error().message();
  }
  const Result<HttpReply> cut = scripted("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code(), Code::io);
  const Result<HttpReply> huge = scripted("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code(), Code::exhausted);
}

TEST(HttpClient, NobodyThere) {
  const for_test::TemporaryFolder folder;
  EXPECT_EQ(http_request("GET", "unix:" + folder.path() + "/none", "/", kLong).error().code(), Code::absent);
  std::string free_port;
  { free_port = listen_tcp("127.0.0.1:0")->address; }
  const Result<HttpReply> reply = http_request("GET", free_port, "/", kLong);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code(), Code::absent);
  EXPECT_NE(reply.error().message().find(free_port), std::string::npos);
  EXPECT_EQ(http_request("GET", "nonsense", "/", kLong).error().code(), Code::invalid);
  EXPECT_EQ(http_request("GET", "unix:" + std::string(200, 'x'), "/", kLong).error().code(), Code::invalid);
  EXPECT_EQ(http_request("GET", free_port, "/a b\r\nX: y", kLong).error().code(), Code::invalid);
}

TEST(HttpClient, ASilentServerIsATimeout) {
  for (const char* beginning : {"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"}) {
    Scripted server(beginning, true);
    const Result<HttpReply> reply = http_request("GET", server.address(), "/", 100 * kMillisecond);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code(), Code::timeout) << reply.error().message();
  }
}

TEST(HttpClient, ASocketThatIsNotOursToOpen) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may open everything";
  const for_test::TemporaryFolder folder;
  const Result<UnixListener> listener = listen_unix(folder.path() + "/s");
  ASSERT_TRUE(listener);
  ::chmod((folder.path() + "/s").c_str(), 0);
  EXPECT_EQ(http_request("GET", "unix:" + folder.path() + "/s", "/", kLong).error().code(), Code::no_permission);
}

}  // namespace
}  // namespace accelmon

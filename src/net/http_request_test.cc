#include "net/http_request.h"

#include <gtest/gtest.h>

namespace accelmon {
namespace {

using Step = RequestReader::Step;

struct Outcome {
  Step step = Step::more;
  unsigned status = 0;
  std::string text;
};

// Feeds `bytes` in pieces of `piece` bytes, as they would drip from a socket.
Outcome read(std::string_view bytes, size_t piece = 1 << 20, size_t max_body = 4096) {
  RequestReader reader(max_body);
  std::string in;
  Outcome out;
  while (!bytes.empty()) {
    in += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    do {
      size_t used = 0;
      out.step = reader.feed(in, used);
      in.erase(0, used);
    } while (out.step == Step::header);
    if (out.step != Step::more) break;
  }
  out.status = reader.error_status();
  if (out.step == Step::bad) out.text = reader.error_text();
  return out;
}

TEST(SplitTarget, OriginAndAbsoluteForm) {
  const auto split = [](std::string_view text) {
    Target target;
    return split_target(text, target) ? std::string(target.path) + " " + std::string(target.query) : "refused";
  };
  EXPECT_EQ(split("/"), "/ ");
  EXPECT_EQ(split("/metrics"), "/metrics ");
  EXPECT_EQ(split("/a?b=c?d"), "/a b=c?d");
  EXPECT_EQ(split("/a?"), "/a ");
  EXPECT_EQ(split("/%00/../x"), "/%00/../x ") << "as sent";
  EXPECT_EQ(split("http://host:1/x?y"), "/x y");
  EXPECT_EQ(split("http://host"), "/ ");
  EXPECT_EQ(split("https://host?y"), "/ y");
  for (const char* bad : {"", "*", "metrics", "?x", "http://", "http:///x", "ftp://h/x", "/a#b", "/a b", "/\x7f",
                          "/\xc3\xbc", "/\x01", "host:80"})
    EXPECT_EQ(split(bad), "refused") << bad;
  EXPECT_EQ(split(std::string_view("/\0", 2)), "refused");
}

TEST(RequestReader, FillsTheRequest) {
  RequestReader reader(100);
  const std::string text =
      "POST /api?x=1 HTTP/1.1\r\nhost: a\r\nACCEPT: text/plain\r\nAccept: */*;q=0.1\r\nAccept-Encoding: gzip\r\n"
      "X-Prometheus-Scrape-Timeout-Seconds: 1.5\r\nIf-None-Match: \"abc\"\r\nContent-Length: 4\r\n\r\nbodyNEXT";
  size_t used = 0;
  ASSERT_EQ(reader.feed(text, used), Step::header);
  size_t more = 0;
  ASSERT_EQ(reader.feed(std::string_view(text).substr(used), more), Step::done);
  EXPECT_EQ(text.substr(used + more), "NEXT") << "the next request is not touched";
  const HttpRequest& request = reader.request();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/api");
  EXPECT_EQ(request.query, "x=1");
  EXPECT_EQ(request.accept, "text/plain,*/*;q=0.1") << "several lines are one list";
  EXPECT_EQ(request.accept_encoding, "gzip");
  EXPECT_EQ(request.scrape_timeout, "1.5");
  EXPECT_EQ(request.if_none_match, "\"abc\"");
  EXPECT_EQ(request.body, "body");
  EXPECT_TRUE(reader.keep_alive());
  EXPECT_FALSE(reader.http_1_0());
  reader.reset();
  ASSERT_EQ(reader.feed("GET / HTTP/1.0\r\n\r\n", used), Step::done);
  EXPECT_EQ(reader.request().accept, "");
  EXPECT_EQ(reader.request().body, "");
  EXPECT_FALSE(reader.keep_alive());
  EXPECT_TRUE(reader.http_1_0());
}

TEST(RequestReader, TheSameByteByByte) {
  for (const size_t piece : {1u, 2u, 3u, 7u, 1000u}) {
    EXPECT_EQ(read("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: a\r\n\r\n", piece).step, Step::done) << piece;
    EXPECT_EQ(read("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", piece).step, Step::done) << piece;
    EXPECT_EQ(read("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", piece).status, 411u)
        << piece;
    EXPECT_EQ(read("GET /metrics HTTP/1.1\r\nHost x\r\n\r\n", piece).status, 400u) << piece;
  }
}

TEST(RequestReader, Malformed) {
  for (const char* bad : {"\r\n\r\n",
                          "GET\r\n\r\n",
                          "GET /\r\n\r\n",
                          "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
                          " GET / HTTP/1.1\r\n\r\n",
                          "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
                          "GET / HTTP/0.9\r\n\r\n",
                          "GET / http/1.1\r\nHost: x\r\n\r\n",
                          "GET / HTTP/1.1\nHost: x\n\n",
                          "G\x01T / HTTP/1.1\r\n\r\n",
                          "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
                          "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
                          "GET / HTTP/1.1\r\nHost: x\x01\r\n\r\n",
                          "\x16\x03\x01\x02\x00\x01\x00",
                          "GET x HTTP/1.1\r\nHost: x\r\n\r\n",
                          "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
                          "GET /#f HTTP/1.1\r\nHost: x\r\n\r\n",
                          "GET / HTTP/1.1\r\n\r\n",
                          "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n",
                          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    const Outcome out = read(bad);
    EXPECT_EQ(out.status, 400u) << bad;
    EXPECT_TRUE(out.text.starts_with("bad request: ") && out.text.ends_with("\n")) << out.text;
  }
}

TEST(RequestReader, HeaderBound) {
  const auto with = [](size_t bytes) {
    std::string text = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
    text += std::string(bytes - text.size() - 4, 'y');
    return text + "\r\n\r\n";
  };
  for (const size_t piece : {1u, 100u, 1u << 20}) {
    EXPECT_EQ(read(with(kMaxHeaderBytes), piece).step, Step::done) << piece;
    EXPECT_EQ(read(with(kMaxHeaderBytes + 1), piece).status, 431u) << piece;
    EXPECT_EQ(read("GET /" + std::string(9000, 'a'), piece).status, 431u) << piece;
    // Line by line, each of them short: the parser underneath would go on for ever.
    std::string lines = "GET / HTTP/1.1\r\nHost: x\r\n";
    for (int i = 0; i < 2000; ++i) lines += "a:b\r\n";
    EXPECT_EQ(read(lines, piece).status, 431u) << piece;
  }
}

TEST(RequestReader, BodyBound) {
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\n";
  EXPECT_EQ(read(head + "Content-Length: 10\r\n\r\n0123456789", 1 << 20, 10).step, Step::done);
  EXPECT_EQ(read(head + "Content-Length: 11\r\n\r\n", 1 << 20, 10).status, 413u) << "before the body comes";
  EXPECT_EQ(read(head + "Content-Length: 99999999999999999999\r\n\r\n").step, Step::bad);
  EXPECT_EQ(read("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n").status, 413u);
}

TEST(RequestReader, ABadRequestStaysBad) {
  RequestReader reader(10);
  size_t used = 0;
  ASSERT_EQ(reader.feed("GET\r\n\r\n", used), Step::bad);
  EXPECT_EQ(reader.feed("GET / HTTP/1.1\r\nHost: x\r\n\r\n", used), Step::bad);
  reader.reset();
  EXPECT_EQ(reader.feed("GET / HTTP/1.1\r\nHost: x\r\n\r\n", used), Step::done);
}

}  // namespace
}  // namespace accelmon

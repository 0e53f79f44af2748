// Sockets that go away.
#include "exporters/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "exporters/server_for_test.h"
#include "store/disk_feed_for_test.h"

namespace accelmon {
namespace {

using for_test::bound;
using for_test::port_of;
using store_test::Folder;

std::string address_of(int fd) {
  return "127.0.0.1:" + std::to_string(port_of(fd));
}

std::string take(int fd, size_t least) {
  std::string out;
  while (out.size() < least) {
    pollfd one{fd, POLLIN, 0};
    char buffer[4096];
    if (::poll(&one, 1, 10'000) <= 0) break;
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) break;
    out.append(buffer, static_cast<size_t>(n));
  }
  return out;
}

TEST(Wire, Addresses) {
  const auto datagrams = [](std::string_view address, bool standard) {
    const Result<Wire> wire = Wire::parse(address, standard, kSecond);
    return wire ? (wire->datagrams() ? "datagrams" : "stream") : "error";
  };
  EXPECT_STREQ(datagrams("h:1", false), "stream");
  EXPECT_STREQ(datagrams("h:1", true), "datagrams");
  EXPECT_STREQ(datagrams("udp:h:1", false), "datagrams");
  EXPECT_STREQ(datagrams("tcp:[::1]:1", true), "stream");
  EXPECT_STREQ(datagrams("unix:/run/x.sock", false), "datagrams");
  for (const char* bad : {"", "h", ":1", "h:0", "h:99999", "udp:", "unix:", "tcp:unix:/x"})
    EXPECT_STREQ(datagrams(bad, true), "error") << bad;
  EXPECT_STREQ(datagrams("unix:/" + std::string(200, 'x'), true), "error");
}

TEST(Wire, AStreamIsKeptAndOpenedAnewAfterAHangup) {
  const UniqueFd listener = bound(SOCK_STREAM);
  Result<Wire> wire = Wire::parse(address_of(listener.get()), false, 5 * kSecond);
  ASSERT_TRUE(wire);
  ASSERT_TRUE(wire->send("one\n").ok());
  UniqueFd peer(::accept(listener.get(), nullptr, nullptr));
  EXPECT_EQ(take(peer.get(), 4), "one\n");
  ASSERT_TRUE(wire->send("two\n").ok());
  EXPECT_EQ(take(peer.get(), 4), "two\n") << "the same connection";
  peer.reset();
  // A first write would vanish in a connection whose other end is gone: it is asked before.
  ASSERT_TRUE(wire->send("three\n").ok());
  peer = UniqueFd(::accept(listener.get(), nullptr, nullptr));
  EXPECT_EQ(take(peer.get(), 6), "three\n");
}

TEST(Wire, ALongTextArrivesWhole) {
  const UniqueFd listener = bound(SOCK_STREAM);
  Result<Wire> wire = Wire::parse(address_of(listener.get()), false, 20 * kSecond);
  std::string text;
  for (int i = 0; i < 400'000; ++i) text += std::to_string(i) + "\n";
  std::string got;
  std::thread reader([&] {
    const UniqueFd peer(::accept(listener.get(), nullptr, nullptr));
    got = take(peer.get(), text.size());
  });
  EXPECT_TRUE(wire->send(text).ok());
  reader.join();
  EXPECT_EQ(got == text, true) << got.size() << " of " << text.size();
}

TEST(Wire, NobodyListens) {
  UniqueFd listener = bound(SOCK_STREAM);
  const std::string address = address_of(listener.get());
  listener.reset();
  Result<Wire> wire = Wire::parse(address, false, kSecond);
  const Status status = wire->send("x");
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), testing::HasSubstr(address));
}

TEST(Wire, OneThatReadsNothingTimesOut) {
  const UniqueFd listener = bound(SOCK_STREAM);
  Result<Wire> wire = Wire::parse(address_of(listener.get()), false, 100 * kMillisecond);
  const std::string much(64u << 20, 'x');
  const Status status = wire->send(much);
  EXPECT_FALSE(status.ok());
}

TEST(Wire, InterruptEndsTheWait) {
  const UniqueFd listener = bound(SOCK_STREAM);
  Result<Wire> wire = Wire::parse(address_of(listener.get()), false, 3600 * kSecond);
  Wire held(std::move(*wire));
  std::thread other([&] { held.interrupt(); });
  EXPECT_FALSE(held.send(std::string(64u << 20, 'x')).ok());
  other.join();
}

TEST(Wire, Datagrams) {
  UniqueFd socket = bound(SOCK_DGRAM);
  Result<Wire> wire = Wire::parse(address_of(socket.get()), true, kSecond);
  ASSERT_TRUE(wire->send("a").ok());
  ASSERT_TRUE(wire->send("b").ok());
  EXPECT_EQ(take(socket.get(), 1), "a");
  EXPECT_EQ(take(socket.get(), 1), "b");
  socket.reset();
  // The answer to a datagram nobody took comes with the next one.
  bool told = false;
  for (int i = 0; i < 100 && !told; ++i) {
    told = !wire->send("c").ok();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(told);
}

TEST(Wire, LocalDatagrams) {
  const Folder folder;
  const std::string path = folder.file("dsd.sock");
  Result<Wire> wire = Wire::parse("unix:" + path, true, kSecond);
  EXPECT_THAT(wire->send("x").message(), testing::HasSubstr(path));
  const auto listen = [&] {
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  };
  UniqueFd fd = listen();
  ASSERT_TRUE(wire->send("a").ok());
  EXPECT_EQ(take(fd.get(), 1), "a");
  // A server that was started again has another socket of that name.
  fd.reset();
  ::unlink(path.c_str());
  fd = listen();
  EXPECT_FALSE(wire->send("b").ok());
  ASSERT_TRUE(wire->send("b").ok());
  EXPECT_EQ(take(fd.get(), 1), "b");
}

}  // namespace
}  // namespace accelmon

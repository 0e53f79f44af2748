#include "net/listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <fstream>

#include "net/port_holder.h"
#include "net/raw_client_for_test.h"

namespace accelmon {
namespace {

using for_test::TemporaryFolder;

TEST(Address, ParseAndFormat) {
  const auto shown = [](const char* text) {
    const Result<HostPort> where = parse_host_port(text);
    if (!where) return std::string("refused");
    return format_address(resolve(*where)->at(0));
  };
  EXPECT_EQ(shown("127.0.0.1:19400"), "127.0.0.1:19400");
  EXPECT_EQ(shown("[::1]:0"), "[::1]:0");
  EXPECT_EQ(shown("localhost:80"), "127.0.0.1:80");
  EXPECT_EQ(shown(":65535"), "[::]:65535");
  for (const char* bad :
       {"", ":", "x", "x:", "x:y", "x:65536", "x:1:2", "[::1]", "[::1]1", "[]:1", "x y:1", "x/y:1", "1.2.3.4: 1"})
    EXPECT_EQ(shown(bad), "refused") << bad;
  EXPECT_NE(parse_host_port("1.2.3.4").error().message().find("write for example"), std::string::npos);
}

TEST(PortHolder, ReadsTheKernelsTables) {
  const TemporaryFolder proc;
  const std::string p = proc.path();
  std::filesystem::create_directories(p + "/net");
  std::filesystem::create_directories(p + "/512/fd");
  std::filesystem::create_directories(p + "/7/fd");
  std::filesystem::create_directories(p + "/self/fd");
  std::ofstream(p + "/net/tcp")
      << "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
         "   0: 0100007F:4BC8 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 111 1 x 20 4 30 "
         "10 -1\n"
         "   1: 0100007F:4BC8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 x 100 0 0 "
         "10 0\n"
         "garbage\n\n";
  std::ofstream(p + "/512/comm") << "accelmon\n";
  std::ofstream(p + "/7/comm") << "client\n";
  std::filesystem::create_symlink("socket:[111]", p + "/7/fd/3");
  std::filesystem::create_symlink("/dev/null", p + "/512/fd/0");
  std::filesystem::create_symlink("socket:[222]", p + "/512/fd/4");
  const auto holder = find_port_holder(19400, p);
  ASSERT_TRUE(holder);
  EXPECT_EQ(holder->pid, 512) << "the one that listens, not one that is connected";
  EXPECT_EQ(holder->name, "accelmon");
  EXPECT_FALSE(find_port_holder(19401, p));
  EXPECT_FALSE(find_port_holder(19400, p + "/none"));
  // Only in the IPv6 table.
  std::filesystem::rename(p + "/net/tcp", p + "/net/tcp6");
  EXPECT_TRUE(find_port_holder(19400, p));
}

TEST(UnixListener, ReplacesTheFileOfADeadServerOnly) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/a.sock";
  {
    // Bound and closed without unlink: what a killed server leaves.
    const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    const SocketAddress address = *unix_address(path);
    ASSERT_EQ(::bind(dead.get(), address.get(), address.size), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(path));
  Result<UnixListener> first = listen_unix(path);
  ASSERT_TRUE(first) << first.error().message();
  const Result<UnixListener> second = listen_unix(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::io);
  EXPECT_NE(second.error().message().find("in use by pid " + std::to_string(::getpid())), std::string::npos)
      << second.error().message();
  EXPECT_TRUE(std::filesystem::exists(path)) << "the live one's file stays";
}

TEST(UnixListener, RemovesItsOwnFileAndNoOther) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/a.sock";
  { const auto listener = listen_unix(path); }
  EXPECT_FALSE(std::filesystem::exists(path));
  {
    const auto listener = listen_unix(path);
    std::filesystem::remove(path);
    std::ofstream(path) << "somebody else's";
  }
  EXPECT_TRUE(std::filesystem::exists(path));
  const auto refused = listen_unix(path);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("no socket"), std::string::npos);
}

TEST(UnixListener, FolderAndMode) {
  const TemporaryFolder folder;
  const auto mode = [](const std::string& path) {
    struct stat is {};
    return ::stat(path.c_str(), &is) == 0 ? is.st_mode & 07777u : 0u;
  };
  const mode_t before = ::umask(022);
  const std::string made = folder.path() + "/run/a.sock";
  const auto listener = listen_unix(made);
  ASSERT_TRUE(listener) << listener.error().message();
  EXPECT_EQ(mode(made), 0660u);
  EXPECT_EQ(mode(folder.path() + "/run"), 0755u);
  ::umask(0);
  std::filesystem::create_directory(folder.path() + "/tmp");
  ::chmod((folder.path() + "/tmp").c_str(), 01777);
  const auto open = listen_unix(folder.path() + "/tmp/a.sock");
  ASSERT_TRUE(open);
  EXPECT_EQ(mode(folder.path() + "/tmp/a.sock"), 0600u) << "where everybody may write, nobody else may connect";
  ::umask(before);
  EXPECT_FALSE(listen_unix(folder.path() + "/no/such/a.sock"));
  EXPECT_EQ(listen_unix("/" + std::string(120, 'x')).error().code(), Code::invalid);
  EXPECT_EQ(listen_unix("").error().code(), Code::invalid);
}

}  // namespace
}  // namespace accelmon

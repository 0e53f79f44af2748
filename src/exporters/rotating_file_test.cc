// Files that are full, moved or links, and what is no file: pipes that nobody reads, standard output.
#include "exporters/rotating_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "store/disk_feed_for_test.h"

namespace accelmon {
namespace {

using store_test::Folder;
using testing::HasSubstr;

std::string content(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST(RotatingFile, TurnsOver) {
  const Folder folder;
  const std::string path = folder.file("m");
  RotatingFile file(path, 10, 2);
  for (const char* text : {"aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "eeee\n", "ffff\n", "gggg\n"})
    ASSERT_TRUE(file.append(text).ok());
  EXPECT_EQ(content(path), "gggg\n");
  EXPECT_EQ(content(path + ".1"), "eeee\nffff\n");
  EXPECT_EQ(content(path + ".2"), "cccc\ndddd\n");
  EXPECT_FALSE(std::filesystem::exists(path + ".3"));
  ASSERT_TRUE(file.append("more than a file may have\n").ok()) << "whole lines, whatever their length";
  EXPECT_EQ(content(path), "more than a file may have\n");
}

TEST(RotatingFile, KeepsNone) {
  const Folder folder;
  const std::string path = folder.file("m");
  RotatingFile file(path, 10, 0);
  for (const char* text : {"aaaaaa\n", "bbbbbb\n"}) ASSERT_TRUE(file.append(text).ok());
  EXPECT_EQ(content(path), "bbbbbb\n");
  EXPECT_FALSE(std::filesystem::exists(path + ".1"));
}

TEST(RotatingFile, GoesOnWithWhatIsThere) {
  const Folder folder;
  const std::string path = folder.file("m");
  std::ofstream(path) << "before\n";
  RotatingFile file(path, 12, 1);
  ASSERT_TRUE(file.append("abc\n").ok());
  EXPECT_EQ(content(path), "before\nabc\n");
  ASSERT_TRUE(file.append("abc\n").ok());
  EXPECT_EQ(content(path + ".1"), "before\nabc\n");
}

TEST(RotatingFile, SomebodyElseMovesItAway) {
  const Folder folder;
  const std::string path = folder.file("m");
  RotatingFile file(path, 1000, 1);
  ASSERT_TRUE(file.append("a\n").ok());
  std::filesystem::rename(path, path + "-moved");
  ASSERT_TRUE(file.append("b\n").ok());
  EXPECT_EQ(content(path + "-moved"), "a\n");
  EXPECT_EQ(content(path), "b\n");
  std::filesystem::remove(path);
  ASSERT_TRUE(file.append("c\n").ok());
  EXPECT_EQ(content(path), "c\n");
}

// A limit on a file's length is the full disk that a test can have.
TEST(RotatingFile, HalfALineIsTakenBack) {
  const Folder folder;
  const std::string path = folder.file("m");
  RotatingFile file(path, 1u << 20, 1);
  ASSERT_TRUE(file.append("a line\n").ok());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{20, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status full = file.append(std::string(50, 'x') + "\n");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(full.ok());
  EXPECT_THAT(full.message(), HasSubstr(path));
  EXPECT_EQ(content(path), "a line\n");
  ASSERT_TRUE(file.append("the next\n").ok());
  EXPECT_EQ(content(path), "a line\nthe next\n");
}

TEST(RotatingFile, CannotBeOpened) {
  EXPECT_THAT(RotatingFile("/nonexistent/folder/m", 10, 1).append("x\n").message(), HasSubstr("/nonexistent/folder/m"));
  const Folder folder;
  EXPECT_FALSE(RotatingFile(folder.path(), 10, 1).append("x\n").ok()) << "a folder is no file";
}

// What a descriptor has now, without waiting.
std::string drain(int fd) {
  std::string out;
  char buffer[65536];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<size_t>(n));
  return out;
}

std::string many_lines() {
  std::string lines;
  for (int i = 0; lines.size() < (300u << 10); ++i) lines += "line " + std::to_string(i) + "\n";
  return lines;
}

TEST(RotatingFile, APipeThatNobodyReads) {
  const Folder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  RotatingFile file(path, 10, 2);
  const Status nobody = file.append("a\n");
  EXPECT_EQ(nobody.code(), Code::not_ready);
  EXPECT_THAT(nobody.message(), HasSubstr("nobody reads"));
  const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  for (const char* line : {"aaaaaaaa\n", "bbbbbbbb\n"}) ASSERT_TRUE(file.append(line).ok());
  EXPECT_EQ(drain(reader.get()), "aaaaaaaa\nbbbbbbbb\n");
  EXPECT_FALSE(std::filesystem::exists(path + ".1")) << "a pipe is not turned over";
}

TEST(RotatingFile, APipeThatIsFullIsGoneOnWith) {
  const Folder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  RotatingFile file(path, 1u << 20, 1, 50 * kMillisecond);
  const std::string lines = many_lines();
  std::string taken;
  Status status = file.append(lines);
  EXPECT_EQ(status.code(), Code::timeout) << status.message();
  for (int turns = 0; !status.ok() && turns < 100; ++turns) {
    taken += drain(reader.get());
    EXPECT_EQ(taken.back(), '\n') << "no line is torn";
    status = file.append(lines);
  }
  taken += drain(reader.get());
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(taken, lines) << "each line once";
}

TEST(RotatingFile, WhatWaitsIsInterrupted) {
  const Folder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  RotatingFile file(path, 1u << 20, 1, 3600 * kSecond);
  Status status;
  std::thread writer([&] { status = file.append(many_lines()); });
  file.interrupt();
  writer.join();
  EXPECT_EQ(status.code(), Code::lost);
}

TEST(RotatingFile, AReaderThatHangsUp) {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  const Folder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  RotatingFile file(path, 0, 0);
  ASSERT_TRUE(file.append("a\n").ok());
  reader.reset();
  EXPECT_FALSE(file.append("b\n").ok());
  reader = UniqueFd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(file.append("b\n").ok());
  EXPECT_EQ(drain(reader.get()), "b\n");
  std::signal(SIGPIPE, before);
}

TEST(RotatingFile, ALinkIsNotTurnedOver) {
  const Folder folder;
  const std::string target = folder.file("target"), path = folder.file("link");
  std::filesystem::create_symlink(target, path);
  RotatingFile file(path, 10, 2);
  for (const char* line : {"aaaaaaaa\n", "bbbbbbbb\n"}) ASSERT_TRUE(file.append(line).ok());
  EXPECT_TRUE(std::filesystem::is_symlink(path));
  EXPECT_EQ(content(target), "aaaaaaaa\nbbbbbbbb\n");
  EXPECT_FALSE(std::filesystem::exists(path + ".1"));
}

TEST(RotatingFile, StandardOutputIsWrittenToAndNotTurnedOver) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  ASSERT_EQ(::fcntl(reader.get(), F_SETFL, O_NONBLOCK), 0);
  std::fflush(stdout);
  const UniqueFd kept(::dup(STDOUT_FILENO));
  ASSERT_EQ(::dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
  ::close(ends[1]);
  Status first, second, full;
  int flags = 0;
  {
    RotatingFile file("-", 4, 1, 50 * kMillisecond);
    first = file.append("a line\n");
    second = file.append("another\n");
    full = file.append(many_lines());
    flags = ::fcntl(STDOUT_FILENO, F_GETFL);
  }
  ASSERT_EQ(::dup2(kept.get(), STDOUT_FILENO), STDOUT_FILENO);
  EXPECT_TRUE(first.ok() && second.ok()) << first.message() << second.message();
  EXPECT_EQ(full.code(), Code::timeout) << full.message();
  EXPECT_EQ(flags & O_NONBLOCK, 0) << "others write there too";
  EXPECT_EQ(drain(reader.get()).substr(0, 15), "a line\nanother\n");
}

}  // namespace
}  // namespace accelmon

// lay-out-tree SCENARIO DIR: writes the folders, links and files that the devices of a scenario have in /sys, /proc and
// /dev below DIR, as they are at scenario time 0. Exit code 1 and one line on stderr when something is wrong.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "simulator/kernel/tree.h"

int main(int count, char** words) {
  using namespace accelmon::simulator;
  if (count != 3) {
    fprintf(stderr, "usage: lay-out-tree SCENARIO DIR\n");
    return 2;
  }
  const int fd = open(words[1], O_RDONLY | O_CLOEXEC);
  std::string text;
  char buffer[4096];
  ssize_t got = fd < 0 ? -1 : 0;
  while (fd >= 0 && text.size() < 2 << 20 && (got = read(fd, buffer, sizeof(buffer))) > 0)
    text.append(buffer, static_cast<size_t>(got));
  if (got < 0) {
    fprintf(stderr, "lay-out-tree: cannot read %s: %s\n", words[1], strerror(errno));
    return 1;
  }
  close(fd);
  const ParseOutcome outcome = parse_scenario(text);
  if (!outcome.scenario) {
    fprintf(stderr, "lay-out-tree: %s: %s\n", words[1], outcome.error.c_str());
    return 1;
  }
  if (const auto error = KernelTree(*outcome.scenario).lay_out(words[2], *outcome.scenario)) {
    fprintf(stderr, "lay-out-tree: %s\n", error->c_str());
    return 1;
  }
  return 0;
}

#include "app/app.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>

#include "agent/agent.h"
#include "app/command.h"
#include "base/text.h"

namespace accelmon {
namespace {

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

int run_verb(const Verb& verb, std::span<char* const> rest) {
  const Result<Arguments> arguments = parse_arguments(verb, rest);
  if (!arguments) return complain(arguments.error().message(), kWrongUse);
  if (arguments->has("--help")) return print(verb_help(verb));
  return verb.run(*arguments);
}

}  // namespace

int print(std::string_view text, int code) {
  if (write_all(STDOUT_FILENO, text)) return code;
  return complain(std::string("cannot write to standard output: ") + std::strerror(errno), kFailure);
}

int complain(std::string_view message, int code) {
  // Nothing is to be done where even standard error cannot be written; the exit code still tells.
  (void)write_all(STDERR_FILENO, "accelmon: " + std::string(message) + "\n");
  return code;
}

int run_app(int argc, char** argv) {
  try {
    if (argc < 2) return print(short_help());
    const std::string_view word = argv[1];
    // Started by the agent, not by people: no time is spent on anything else.
    if (word == "collect" && argc == 3) return run_collector_process(argv[2]);
    const std::span<char* const> rest(argv + 2, static_cast<size_t>(argc - 2));
    if (word == "--help" || word == "-h") return print(main_help());
    if (word == "--version" || word == "-V") return run_version({});
    if (const Verb* verb = find_verb(word)) return run_verb(*verb, rest);
    if (word.starts_with("-"))
      return complain("a verb comes first: 'accelmon serve " + printable(word, 60) + "'? See 'accelmon help'",
                      kWrongUse);
    return complain(unknown_verb(word), kWrongUse);
  } catch (const std::exception& error) {
    return complain(std::string("a mistake of ours: ") + error.what(), kFailure);
  }
}

}  // namespace accelmon

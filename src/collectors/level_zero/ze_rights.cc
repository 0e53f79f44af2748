#include "collectors/level_zero/ze_rights.h"

#include "base/fd.h"
#include "base/text.h"

namespace accelmon::level_zero {
namespace {

constexpr unsigned kSysPtrace = 19;
constexpr unsigned kSysAdmin = 21;
constexpr unsigned kPerfmon = 38;

}  // namespace

Rights rights_of(std::string_view status, std::string_view uid_map) {
  Rights rights;
  // "0 0 4294967295": the namespace of the host maps every user to itself.
  std::string_view map = uid_map;
  const std::string_view inside = next_word(map), outside = next_word(map), length = next_word(map);
  if (inside != "0" || outside != "0" || length != "4294967295") return rights;
  uint64_t held = 0;
  for (std::string_view rest = status; !rest.empty();) {
    std::string_view line = next_line(rest);
    const std::string_view key = next_word(line);
    if (key == "CapEff:") held = parse_u64(next_word(line), 16).value_or(0);
    if (key == "Uid:") {
      next_word(line);
      rights.root = next_word(line) == "0";
    }
  }
  const auto has = [held](unsigned capability) { return (held >> capability & 1u) != 0; };
  rights.perfmon = has(kPerfmon) || has(kSysAdmin);
  rights.ptrace = has(kSysPtrace);
  return rights;
}

Rights own_rights(const std::string& procfs) {
  const auto status = read_file(procfs + "/self/status", 65536);
  const auto uid_map = read_file(procfs + "/self/uid_map", 65536);
  return rights_of(status ? *status : std::string(), uid_map ? *uid_map : std::string());
}

}  // namespace accelmon::level_zero

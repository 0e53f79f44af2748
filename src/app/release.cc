#include <algorithm>

#include "app/command.h"
#include "app/source.h"
#include "base/text.h"

namespace accelmon {
namespace {

int tell_agent(const Arguments& arguments, std::string_view what) {
  const std::string& vendor = arguments.words().front();
  std::vector<std::string_view> known, vendors;
  for (const KnownCollector& one : known_collectors()) {
    if (std::find(vendors.begin(), vendors.end(), one.vendor) == vendors.end()) vendors.push_back(one.vendor);
    known.push_back(one.name);
  }
  known.insert(known.end(), vendors.begin(), vendors.end());
  if (std::find(known.begin(), known.end(), vendor) == known.end()) {
    std::string text = "vendor '" + printable(vendor, 60) + "' is unknown";
    if (const auto near = nearest_word(vendor, known))
      return complain(text + "; did you mean '" + std::string(*near) + "'?", kWrongUse);
    text += ". Known:";
    for (const std::string_view one : vendors) text += (text.back() == ':' ? " " : ", ") + std::string(one);
    return complain(text + ".", kWrongUse);
  }
  int code = kFine;
  const Result<Settings> settings = read_settings(arguments, code);
  if (!settings) return complain(settings.error().message(), code);
  // A known word, so that it needs no escaping.
  const Result<std::string> answer =
      ask(agent_endpoints(arguments, *settings), "POST", "/api/v1/" + std::string(what) + "?vendor=" + vendor);
  if (!answer) return complain(answer.error().message(), kFailure);
  return print(printable(trim(*answer), 400) + "\n");
}

}  // namespace

int run_release(const Arguments& arguments) {
  return tell_agent(arguments, arguments.has("--resume") ? "resume" : "release");
}

int run_resume(const Arguments& arguments) {
  return tell_agent(arguments, "resume");
}

}  // namespace accelmon

#include "agent/config.h"

#include "app/command.h"
#include "net/web_security.h"

namespace accelmon {

int run_config(const Arguments& arguments) {
  if (arguments.has("--markdown")) return print(configuration_markdown());
  const auto& words = arguments.words();
  if (words.empty()) return print(verb_help(*find_verb("config")), kWrongUse);
  if (words.front() != "check" || words.size() != 2)
    return complain("write 'accelmon config check FILE' or 'accelmon config --markdown'", kWrongUse);
  const Result<Config> config = load_config(words[1]);
  if (!config) return complain(config.error().message(), kFailure);
  // The files that guard the listener are part of what must be right.
  const auto security = WebSecurity::load({.web_config = config->listen.web_config,
                                           .bearer_tokens_file = config->listen.bearer_tokens_file,
                                           .hosts = config->listen.hosts});
  if (!security) return complain(security.error().message(), kFailure);
  return print("ok\n");
}

}  // namespace accelmon

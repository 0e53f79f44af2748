#include <algorithm>

#include "app/command.h"
#include "base/text.h"

namespace accelmon {
namespace {

constexpr std::string_view kPurpose =
    "accelmon reads every accelerator of this host and tells what it could and could not read.";
constexpr std::string_view kExitCodes = "0 fine, 1 a failure or finding, 2 wrong use";

std::string padded(std::string_view text, size_t width) {
  std::string out(text);
  out.resize(std::max(width, text.size()), ' ');
  return out;
}

std::string usage(const Verb& verb) {
  std::string out = "accelmon " + std::string(verb.name);
  if (!verb.words.empty()) out += " " + std::string(verb.words);
  if (!verb.options.empty()) out += " [OPTIONS]";
  return out;
}

// Text for troff: nothing in it may be read as a request or an escape.
std::string troff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    line_start = c == '\n';
  }
  return out;
}

}  // namespace

std::string short_help() {
  std::string out = std::string(kPurpose) + "\n\n";
  out +=
      "  accelmon serve     read the accelerators and serve http://127.0.0.1:19400/metrics\n"
      "  accelmon status    what the accelerators do now\n"
      "  accelmon doctor    what is read, what is not, and why\n"
      "  accelmon help      everything else\n\n"
      "No accelerator here? See what one looks like:  accelmon status --simulate h100x8\n";
  return out;
}

std::string main_help() {
  std::string out = std::string(kPurpose) + "\nusage: accelmon VERB [OPTIONS]\n\n";
  for (const Verb& verb : all_verbs()) out += "  " + padded(verb.name, 20) + std::string(verb.brief) + "\n";
  out += "\n'accelmon VERB --help' and 'accelmon help VERB' say more.\nexit codes: " + std::string(kExitCodes) + "\n";
  out += "\nexamples:\n  accelmon serve --listen 0.0.0.0:19400\n  accelmon status --simulate h100x8\n";
  return out;
}

std::string verb_help(const Verb& verb) {
  std::string out = "usage: " + usage(verb) + "\n\n" + std::string(verb.about) + "\n";
  if (!verb.options.empty()) {
    size_t width = 0;
    for (const Option& option : verb.options) width = std::max(width, option.name.size() + 1 + option.value.size());
    out += "\noptions:\n";
    for (const Option& option : verb.options)
      out += "  " + padded(std::string(option.name) + " " + std::string(option.value), width + 3) +
             std::string(option.brief) + "\n";
  }
  out += "\nexamples:\n";
  for (const std::string_view example : verb.examples) out += "  " + std::string(example) + "\n";
  return out;
}

std::string bash_completion() {
  std::string verbs;
  std::string options;
  std::string values;
  for (const Verb& verb : all_verbs()) {
    verbs += (verbs.empty() ? "" : " ") + std::string(verb.name);
    std::string list = "--help";
    for (const Option& option : verb.options) {
      list += " " + std::string(option.name);
      if (option.choices.empty()) continue;
      std::string words(option.choices);
      std::replace(words.begin(), words.end(), '|', ' ');
      values += "    " + std::string(verb.name) + "," + std::string(option.name) + ") COMPREPLY=($(compgen -W '" +
                words + "' -- \"$word\")); return ;;\n";
    }
    if (verb.name == "config") list += " check";
    if (verb.name == "completion") list += " bash";
    options += "    " + std::string(verb.name) + ") COMPREPLY=($(compgen -W '" + list + "' -- \"$word\")) ;;\n";
  }
  return "# bash completion for accelmon, made by 'accelmon completion bash'\n"
         "_accelmon() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n"
         "  COMPREPLY=()\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ] || [ \"$verb,$COMP_CWORD\" = help,2 ]; then\n"
         "    COMPREPLY=($(compgen -W '" +
         verbs +
         " --help --version' -- \"$word\"))\n"
         "    return\n"
         "  fi\n"
         "  case $verb,$before in\n" +
         values +
         "    *,--config|*,--socket|*,--simulate|*,check) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
         "    *,--sysfs-root|*,--procfs-root) COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n"
         "  esac\n"
         "  case $verb in\n" +
         options +
         "  esac\n"
         "}\n"
         "complete -o filenames -F _accelmon accelmon\n";
}

std::string man_page() {
  std::string out = ".TH ACCELMON 1 \"\" \"accelmon " ACCELMON_VERSION "\" \"User Commands\"\n";
  out += ".SH NAME\naccelmon \\- reads every accelerator of a host\n";
  out += ".SH SYNOPSIS\n.B accelmon\n.I VERB\n[OPTIONS]\n.SH DESCRIPTION\n" + troff(kPurpose) + "\n.SH VERBS\n";
  for (const Verb& verb : all_verbs()) {
    out += ".SS " + troff(usage(verb)) + "\n" + troff(verb.about) + "\n";
    for (const Option& option : verb.options) {
      out += ".TP\n.B " + troff(option.name);
      if (!option.value.empty()) out += " \\fI" + troff(option.value) + "\\fR";
      out += "\n" + troff(option.brief) + "\n";
    }
    out += ".PP\nExamples:\n.nf\n";
    for (const std::string_view example : verb.examples) out += "  " + troff(example) + "\n";
    out += ".fi\n";
  }
  out += ".SH FILES\n.TP\n.I /etc/accelmon/accelmon.toml\nThe configuration, where no other is named.\n";
  return out + ".SH EXIT STATUS\n" + troff(kExitCodes) + "\n";
}

std::string unknown_verb(std::string_view word) {
  std::vector<std::string_view> known;
  for (const Verb& verb : all_verbs()) known.push_back(verb.name);
  std::string text = "unknown verb '" + printable(word, 60) + "'";
  if (const auto near = nearest_word(word, known)) return text + "; did you mean '" + std::string(*near) + "'?";
  return text + "; see 'accelmon help'";
}

int run_completion(const Arguments& arguments) {
  if (arguments.words().front() != "bash")
    return complain("completion for '" + printable(arguments.words().front(), 60) + "' is unknown. Known: bash.",
                    kWrongUse);
  return print(bash_completion());
}

int run_version(const Arguments&) {
  return print("accelmon " ACCELMON_VERSION "\n");
}

int run_help(const Arguments& arguments) {
  if (arguments.has("--man")) return print(man_page());
  if (arguments.words().empty()) return print(main_help());
  const Verb* verb = find_verb(arguments.words().front());
  if (verb == nullptr) return complain(unknown_verb(arguments.words().front()), kWrongUse);
  return print(verb_help(*verb));
}

}  // namespace accelmon

#include <CLI/CLI.hpp>
#include <algorithm>

#include "app/command.h"
#include "base/text.h"

namespace accelmon {
namespace {

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(by, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Status wrong(const Verb& verb, const std::string& what) {
  return Status(Code::invalid, what + "; see 'accelmon " + std::string(verb.name) + " --help'");
}

Status unknown_option(const Verb& verb, const std::string& word) {
  std::vector<std::string_view> known{"--help"};
  for (const Option& option : verb.options) known.push_back(option.name);
  const std::string name = word.substr(0, word.find('='));
  const std::string text = std::string(verb.name) + " has no option '" + printable(name, 60) + "'";
  if (const auto near = nearest_word(name, known))
    return Status(Code::invalid, text + "; did you mean '" + std::string(*near) + "'?");
  return wrong(verb, text);
}

Status check_choice(const Option& option, const std::string& value) {
  if (option.choices.empty()) return {};
  const std::vector<std::string_view> choices = split(option.choices, '|');
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return {};
  const std::string text = std::string(option.name) + " '" + printable(value, 60) + "' is unknown";
  if (const auto near = nearest_word(value, choices))
    return Status(Code::invalid, text + "; did you mean '" + std::string(*near) + "'?");
  std::string known;
  for (const std::string_view choice : choices) known += (known.empty() ? "" : ", ") + std::string(choice);
  return Status(Code::invalid, text + ". Known: " + known + ".");
}

}  // namespace

std::string Arguments::value(std::string_view option, std::string_view fallback) const {
  const auto found = values_.find(option);
  return found == values_.end() ? std::string(fallback) : found->second;
}

Result<Arguments> parse_arguments(const Verb& verb, std::span<char* const> argv) {
  CLI::App parser;
  parser.set_help_flag();
  parser.allow_extras();
  bool help = false;
  parser.add_flag("-h,--help", help);
  std::vector<std::string> words;
  std::vector<std::string> values(verb.options.size());
  std::vector<CLI::Option*> handles;
  for (size_t i = 0; i < verb.options.size(); ++i) {
    const Option& option = verb.options[i];
    const std::string name(option.name);
    // The last one of an option that is given twice counts, so that a wrapper's defaults can be overruled.
    if (option.value.empty())
      handles.push_back(parser.add_flag(name));
    else
      handles.push_back(parser.add_option(name, values[i])->take_last());
  }
  // CLI11 wants the words last to first.
  std::vector<std::string> reversed;
  for (size_t i = argv.size(); i > 0; --i) reversed.emplace_back(argv[i - 1]);
  try {
    parser.parse(reversed);
  } catch (const CLI::ArgumentMismatch& error) {
    // "--config: 1 required TEXT missing"
    const std::string text = error.what();
    const std::string name = text.substr(0, text.find(':'));
    for (const Option& option : verb.options)
      if (option.name == name)
        return fail(
            wrong(verb, name + (option.value.empty() ? std::string(" takes no value")
                                                     : " needs a value: " + name + " " + std::string(option.value))));
    return fail(wrong(verb, printable(text)));
  } catch (const CLI::Error& error) {
    return fail(wrong(verb, printable(error.what())));
  }

  Arguments arguments;
  if (help) {
    arguments.set("--help", "");
    return arguments;
  }
  for (const std::string& word : parser.remaining()) {
    if (word == "--") continue;
    if (word.size() > 1 && word.front() == '-') return fail(unknown_option(verb, word));
    words.push_back(word);
  }
  if (words.size() > verb.most_words)
    return fail(wrong(verb, std::string(verb.name) + " cannot use '" + printable(words[verb.most_words], 60) + "'"));
  for (size_t i = 0; i < verb.options.size(); ++i) {
    if (handles[i]->count() == 0) continue;
    if (Status status = check_choice(verb.options[i], values[i]); !status.ok()) return fail(std::move(status));
    arguments.set(std::string(verb.options[i].name), values[i]);
  }
  if (words.size() < verb.least_words)
    return fail(wrong(verb, std::string(verb.name) + " needs " + std::string(verb.words)));
  for (std::string& word : words) arguments.add_word(std::move(word));
  return arguments;
}

}  // namespace accelmon

#include "agent/config_table.h"

#include <algorithm>

#include "base/text.h"

namespace accelmon {
namespace config_table {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kTiB = 1ull << 40;
constexpr size_t kMaxEma = 8;
constexpr size_t kMaxTexts = 64;

std::string_view last_word(std::string_view path) {
  return path.substr(path.rfind('.') + 1);
}

constexpr std::string_view kExporters = "exporters.";

// "collectors.nvml.library" -> "nvml", "exporters.otlp.url" -> "otlp"
std::string_view collector_of(std::string_view path) {
  const size_t begin = path.find('.') + 1;
  return path.substr(begin, path.find('.', begin) - begin);
}

std::string show_bound(Type type, uint64_t bound) {
  if (type == Type::duration || type == Type::durations) return quoted(format_duration(static_cast<Nanos>(bound)));
  if (type != Type::size) return std::to_string(bound);
  for (const auto& [unit, suffix] :
       {std::pair<uint64_t, const char*>{kTiB, "TiB"}, {1u << 30, "GiB"}, {1u << 20, "MiB"}, {kKiB, "KiB"}})
    if (bound != 0 && bound % unit == 0) return quoted(std::to_string(bound / unit) + suffix);
  return quoted(std::to_string(bound) + "B");
}

// What to write instead of something that is no such value.
std::string_view wanted(Type type) {
  switch (type) {
    case Type::duration:
      return "write a duration, for example \"1s\" or \"250ms\"";
    case Type::durations:
      return "write a list of durations, for example [\"10s\", \"60s\"]";
    case Type::size:
      return "write a size, for example \"2MiB\"";
    case Type::count:
      return "write a whole number, for example 64";
    case Type::boolean:
      return "write true or false";
    case Type::text:
      return "write a text in quotes, for example \"libnvidia-ml.so.1\"";
    case Type::path:
      return "write an absolute path in quotes, for example \"/host/proc\"";
    case Type::address:
      return "write an address in quotes, for example \"127.0.0.1:19400\"";
    case Type::texts:
      return "write a list of texts, for example [\"hw.*\", \"system.*\"]";
    case Type::level:
      return "write \"error\", \"warn\", \"info\" or \"debug\"";
  }
  return "";
}

// ---- one value ----

// The functions below return what is wrong, to be put behind "KEY = VALUE "; nothing when all is well.
using Complaint = std::optional<std::string>;

Complaint wrong_form(const Key& key, const Written& value) {
  return "is " + std::string(value.what) + "; " + std::string(wanted(key.type));
}

Complaint out_of_bounds(const Key& key, uint64_t value) {
  if (value < key.minimum)
    return "is too small; the least is " + show_bound(key.type, key.minimum) + ", the most " +
           show_bound(key.type, key.maximum);
  if (value > key.maximum)
    return "is too large; the most is " + show_bound(key.type, key.maximum) + ", the least " +
           show_bound(key.type, key.minimum);
  return {};
}

// base/text begins its complaints with the quoted text, which stands before ours already.
std::string without_echo(const std::string& message, std::string_view text) {
  const std::string echo = quoted(printable(text, 40)) + " ";
  return message.starts_with(echo) ? message.substr(echo.size()) : message;
}

Complaint read_duration(const Key& key, const Written& value, Nanos& out) {
  if (value.form == Written::Form::integer)
    return "has no unit; write " + quoted(value.shown() + "ms") + " or " + quoted(value.shown() + "s");
  if (value.form != Written::Form::text) return wrong_form(key, value);
  const Result<Nanos> parsed = parse_duration(value.text);
  if (!parsed) return without_echo(parsed.error().message(), value.text);
  out = *parsed;
  return out_of_bounds(key, static_cast<uint64_t>(out));
}

Complaint read_durations(const Key& key, const Written& value, std::vector<Nanos>& out) {
  if (value.form != Written::Form::list) return wrong_form(key, value);
  if (value.list.size() > kMaxEma)
    return "has " + std::to_string(value.list.size()) + " elements; the most is " + std::to_string(kMaxEma);
  for (const Written& element : value.list) {
    Nanos one = 0;
    if (Complaint complaint = read_duration(key, element, one)) {
      if (element.form != Written::Form::text && element.form != Written::Form::integer)
        return "holds " + std::string(element.what) + "; " + std::string(wanted(key.type));
      return "holds " + element.shown() + ", which " + *complaint;
    }
    if (std::find(out.begin(), out.end(), one) != out.end()) return "holds " + element.shown() + " twice";
    out.push_back(one);
  }
  return {};
}

Complaint read_text(const Key& key, const Written& value, std::string& out);

Complaint read_texts(const Key& key, const Written& value, std::vector<std::string>& out) {
  if (value.form != Written::Form::list) return wrong_form(key, value);
  if (value.list.size() > kMaxTexts)
    return "has " + std::to_string(value.list.size()) + " elements; the most is " + std::to_string(kMaxTexts);
  for (const Written& element : value.list) {
    std::string one;
    if (element.form != Written::Form::text)
      return "holds " + std::string(element.what) + "; " + std::string(wanted(key.type));
    if (Complaint complaint = read_text(key, element, one)) return "holds " + element.shown() + ", which " + *complaint;
    if (Complaint complaint = unknown_text(key, one)) return "holds " + element.shown() + ", which " + *complaint;
    out.push_back(std::move(one));
  }
  if (out.size() < key.minimum) return "is empty; " + std::string(wanted(key.type));
  return {};
}

Complaint read_size(const Key& key, const Written& value, uint64_t& out) {
  if (value.form == Written::Form::integer)
    return "has no unit; write " + quoted(value.shown() + "KiB") + " or " + quoted(value.shown() + "MiB");
  if (value.form != Written::Form::text) return wrong_form(key, value);
  const Result<uint64_t> parsed = parse_size(value.text);
  if (!parsed) return without_echo(parsed.error().message(), value.text);
  out = *parsed;
  return out_of_bounds(key, out);
}

Complaint read_count(const Key& key, const Written& value, uint32_t& out) {
  if (value.form != Written::Form::integer) return wrong_form(key, value);
  if (Complaint complaint = out_of_bounds(key, value.integer < 0 ? 0 : static_cast<uint64_t>(value.integer)))
    return complaint;
  out = static_cast<uint32_t>(value.integer);
  return {};
}

Complaint check_address(std::string_view text) {
  const std::string write =
      "write HOST:PORT, for example \"127.0.0.1:19400\", or \"0.0.0.0:19400\" for every interface";
  if (text.size() > 300) return "is too long; " + write;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return "has no port; " + write;
  const std::string_view host = text.substr(0, colon);
  if (host.empty()) return "has no host; " + write;
  if (host.front() == '[' ? host.back() != ']' || host.size() < 4 : host.find(':') != std::string_view::npos)
    return "is not an address; an IPv6 address stands in brackets, for example \"[::1]:19400\"";
  if (host.find_first_of(" \t\r\n/") != std::string_view::npos) return "is not an address; " + write;
  const auto port = parse_u64(text.substr(colon + 1));
  if (!port || *port > 65535) return "has no valid port (0 to 65535); " + write;
  return {};
}

Complaint read_text(const Key& key, const Written& value, std::string& out) {
  if (value.form != Written::Form::text) return wrong_form(key, value);
  const std::string& text = value.text;
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return "holds a control character; " + std::string(wanted(key.type));
  if (key.type == Type::address) {
    if (!text.empty()) {
      if (Complaint complaint = check_address(text)) return complaint;
    }
  } else if (text.size() > key.maximum) {
    return "is too long; the most is " + std::to_string(key.maximum) + " bytes";
  }
  const bool standard_output = key.path == "exporters.*.path" && text == "-";
  if (key.type == Type::path && !text.empty() && text.front() != '/' && !standard_output)
    return "is not an absolute path; " + std::string(wanted(key.type));
  out = text;
  return {};
}

Complaint read_level(const Written& value, LogLevel& out, const Key& key) {
  static constexpr std::string_view kLevels[] = {"error", "warn", "info", "debug"};
  if (value.form != Written::Form::text) return wrong_form(key, value);
  if (parse_log_level(value.text, out)) return {};
  std::string complaint = "is not a level; " + std::string(wanted(key.type));
  if (const auto near = nearest_word(value.text, kLevels))
    complaint = "is unknown; did you mean " + quoted(*near) + "?";
  return complaint;
}

std::string show_default(const Key& key) {
  if (!key.absent_default.empty()) return std::string(key.absent_default);
  Config config = default_config();
  struct {
    std::string operator()(std::monostate) const { return ""; }
    std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
    std::string operator()(const uint32_t* v) const { return std::to_string(*v); }
    std::string operator()(const Nanos* v) const { return quoted(format_duration(*v)); }
    std::string operator()(const uint64_t* v) const { return show_bound(Type::size, *v); }
    std::string operator()(const std::string* v) const { return quoted(*v); }
    std::string operator()(const LogLevel* v) const { return quoted(to_string(*v)); }
    std::string operator()(const std::vector<std::string>* v) const {
      std::string text = "[";
      for (const std::string& one : *v) text += (text.size() == 1 ? "" : ", ") + quoted(one);
      return text + "]";
    }
    std::string operator()(const std::vector<Nanos>* v) const {
      std::string text = "[";
      for (const Nanos one : *v) text += (text.size() == 1 ? "" : ", ") + quoted(format_duration(one));
      return text + "]";
    }
  } show;
  return "`" + std::visit(show, key.slot(config)) + "`";
}

std::string_view type_name(Type type) {
  switch (type) {
    case Type::duration:
      return "duration";
    case Type::durations:
      return "list of durations";
    case Type::size:
      return "size";
    case Type::count:
      return "integer";
    case Type::boolean:
      return "boolean";
    case Type::text:
      return "text";
    case Type::path:
      return "path";
    case Type::address:
      return "address";
    case Type::texts:
      return "list of texts";
    case Type::level:
      return "word";
  }
  return "";
}

}  // namespace

const Key* find_key(std::string_view path) {
  if (path.starts_with(kExporters)) {
    if (std::count(path.begin(), path.end(), '.') != 2 || !is_exporter_name(collector_of(path))) return nullptr;
    for (const Key& key : keys())
      if (key.path.starts_with(kExporters) && last_word(key.path) == last_word(path)) return &key;
    return nullptr;
  }
  for (const Key& key : keys())
    if (key.path == path) return &key;
  return nullptr;
}

bool is_exporter_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

bool is_section(std::string_view path) {
  if (path.starts_with(kExporters)) return is_exporter_name(path.substr(kExporters.size()));
  return std::any_of(keys().begin(), keys().end(), [&](const Key& key) {
    return key.path.size() > path.size() && key.path.starts_with(path) && key.path[path.size()] == '.';
  });
}

std::string quoted(std::string_view text) {
  return '"' + std::string(text) + '"';
}

std::string Written::shown() const {
  switch (form) {
    case Form::text:
      return quoted(printable(text, 60));
    case Form::integer:
      return std::to_string(integer);
    case Form::boolean:
      return boolean ? "true" : "false";
    default:
      return std::string(what);
  }
}

Complaint assign(Config& config, const Key& key, std::string_view path, const Written& value) {
  if (key.slot == nullptr) {
    std::string text;
    if (key.type == Type::texts) {
      std::vector<std::string> lines;
      if (Complaint complaint = read_texts(key, value, lines)) return complaint;
      for (const std::string& line : lines) text += line + "\n";
    } else if (key.type == Type::count) {
      uint32_t number = 0;
      if (Complaint complaint = read_count(key, value, number)) return complaint;
      text = std::to_string(number);
    } else if (key.type == Type::size) {
      uint64_t bytes = 0;
      if (Complaint complaint = read_size(key, value, bytes)) return complaint;
      text = std::to_string(bytes);
    } else if (key.type == Type::boolean) {
      if (value.form != Written::Form::boolean) return wrong_form(key, value);
      text = value.boolean ? "true" : "false";
    } else if (key.type == Type::duration) {
      Nanos span = 0;
      if (Complaint complaint = read_duration(key, value, span)) return complaint;
      text = format_duration(span);
    } else if (Complaint complaint = read_text(key, value, text)) {
      return complaint;
    }
    const std::string whose(collector_of(path));
    auto& options = path.starts_with(kExporters) ? config.exporters[whose].options : config.collectors[whose].options;
    const std::string name(last_word(path));
    if (text.empty())
      options.erase(name);  // an empty text is the default
    else
      options[name] = std::move(text);
    return {};
  }
  const Slot slot = key.slot(config);
  Complaint complaint;
  // Read aside first: a bad value leaves the configuration as it was.
  const auto read = [&](auto* target, auto&& reader) {
    std::remove_reference_t<decltype(*target)> aside{};
    complaint = reader(aside);
    if (!complaint) *target = std::move(aside);
  };
  switch (key.type) {
    case Type::duration:
      read(std::get<Nanos*>(slot), [&](Nanos& out) { return read_duration(key, value, out); });
      break;
    case Type::durations:
      read(std::get<std::vector<Nanos>*>(slot),
           [&](std::vector<Nanos>& out) { return read_durations(key, value, out); });
      break;
    case Type::size:
      read(std::get<uint64_t*>(slot), [&](uint64_t& out) { return read_size(key, value, out); });
      break;
    case Type::count:
      read(std::get<uint32_t*>(slot), [&](uint32_t& out) { return read_count(key, value, out); });
      break;
    case Type::boolean:
      if (value.form != Written::Form::boolean) return wrong_form(key, value);
      *std::get<bool*>(slot) = value.boolean;
      break;
    case Type::text:
    case Type::path:
    case Type::address:
      read(std::get<std::string*>(slot), [&](std::string& out) { return read_text(key, value, out); });
      break;
    case Type::texts:
      read(std::get<std::vector<std::string>*>(slot),
           [&](std::vector<std::string>& out) { return read_texts(key, value, out); });
      break;
    case Type::level:
      read(std::get<LogLevel*>(slot), [&](LogLevel& out) { return read_level(value, out, key); });
      break;
  }
  return complaint;
}

std::string unknown_key(std::string_view path, bool section) {
  const auto bracket = [&](std::string_view name) { return section ? "[" + std::string(name) + "]" : quoted(name); };
  std::string text = section ? "unknown section " : "unknown key ";
  text += section ? "[" + printable(path, 100) + "]" : quoted(printable(path, 100));
  if (path.starts_with(kExporters)) {
    const std::string_view name = collector_of(path);
    if (!is_exporter_name(name))
      return text + "; an exporter's name has letters, digits, '_' and '-', for example [exporters.central]";
    std::vector<std::string_view> words;
    std::string all;
    for (const Key& key : keys()) {
      if (!key.path.starts_with(kExporters)) continue;
      words.push_back(last_word(key.path));
      all += (all.empty() ? "" : ", ") + std::string(last_word(key.path));
    }
    if (const auto near = nearest_word(last_word(path), words))
      return text + "; did you mean " + quoted(std::string(kExporters) + std::string(name) + "." + std::string(*near)) +
             "?";
    return text + "; [exporters.NAME] knows " + all;
  }
  std::vector<std::string_view> known;
  for (const Key& key : keys()) {
    if (key.path.starts_with(kExporters)) continue;
    if (!section) {
      known.push_back(key.path);
      continue;
    }
    for (size_t dot = key.path.find('.'); dot != std::string_view::npos; dot = key.path.find('.', dot + 1))
      known.push_back(key.path.substr(0, dot));
  }
  if (const auto near = nearest_word(path, known)) return text + "; did you mean " + bracket(*near) + "?";
  if (path.starts_with("collectors.") && path.size() > 11) {
    std::string names;
    for (const Key& key : keys())
      if (key.path.starts_with("collectors.") && last_word(key.path) == "enabled")
        names += (names.empty() ? "" : ", ") + std::string(collector_of(key.path));
    const std::string_view name = collector_of(path);
    if (!is_section("collectors." + std::string(name))) return text + "; the collectors are " + names;
  }
  if (!section) {
    // The right word in the wrong section.
    const Key* only = nullptr;
    size_t count = 0;
    for (const Key& key : keys()) {
      if (key.path.starts_with(kExporters) || last_word(key.path) != last_word(path)) continue;
      only = &key;
      ++count;
    }
    if (count == 1) return text + "; did you mean " + quoted(only->path) + "?";
  }
  const size_t dot = path.rfind('.');
  const std::string_view parent = dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
  std::string here;
  for (const Key& key : keys()) {
    if (parent.empty() || !key.path.starts_with(parent) || key.path[parent.size()] != '.') continue;
    if (key.path.find('.', parent.size() + 1) != std::string_view::npos) continue;
    here += (here.empty() ? "" : ", ") + std::string(last_word(key.path));
  }
  if (!here.empty()) return text + "; [" + std::string(parent) + "] knows " + here;
  return text +
         "; the sections are listen, poll, smoothing, store, exposition, log, collectors.NAME and exporters.NAME";
}

}  // namespace config_table

using namespace config_table;

Config default_config() {
  Config config;
  for (const Key& key : keys())
    if (key.path.starts_with("collectors.")) config.collectors.try_emplace(std::string(collector_of(key.path)));
  return config;
}

Status set_config_value(Config& config, std::string_view path, std::string_view text) {
  const Key* key = find_key(path);
  if (key == nullptr) return Status(Code::invalid, unknown_key(path, false));
  Written value;
  value.form = Written::Form::text;
  value.what = "a text";
  value.text = text;
  if (key->type == Type::boolean && (text == "true" || text == "false")) {
    value.form = Written::Form::boolean;
    value.boolean = text == "true";
  } else if (key->type == Type::count) {
    if (const auto number = parse_i64(text)) {
      value.form = Written::Form::integer;
      value.integer = *number;
    }
  } else if (key->type == Type::durations || key->type == Type::texts) {
    value.form = Written::Form::list;
    value.what = "a list";
    for (std::string_view rest = text; !rest.empty();) {
      const size_t comma = rest.find(',');
      Written element;
      element.form = Written::Form::text;
      element.what = "a text";
      element.text = trim(rest.substr(0, comma));
      value.list.push_back(std::move(element));
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
  }
  if (const Complaint wrong = assign(config, *key, path, value))
    return Status(Code::invalid, quoted(printable(text, 60)) + " " + *wrong);
  if (key->path == "poll.interval") {
    config.poll.slow = std::max(config.poll.slow, config.poll.interval);
    config.poll.rare = std::max(config.poll.rare, config.poll.interval);
  }
  return {};
}

std::string configuration_markdown() {
  std::string out =
      "# Configuration\n\n"
      "<!-- Made by `accelmon config --markdown` from the table in src/agent/config_table.cc; change it there. -->\n\n"
      "`accelmon serve --config FILE` reads a TOML file; without `--config` it reads `/etc/accelmon/accelmon.toml` "
      "where\n"
      "that exists. Every key has a default, so no file is needed. What the command line says wins over the file.\n"
      "`accelmon config check FILE` checks a file without using it. `SIGHUP` makes a running agent read its file "
      "again; a\n"
      "file with an error changes nothing, and the error is logged with its line and column.\n\n"
      "Durations have a unit: `\"250ms\"`, `\"1s\"`, `\"10m\"`, `\"24h\"`. Sizes too: `\"512KiB\"`, `\"2MiB\"`, "
      "`\"1GiB\"`.\n"
      "An unknown key is an error: a misspelt one would otherwise do nothing, silently.\n";
  std::string_view section;
  for (const Key& key : keys()) {
    const std::string_view its = key.path.substr(0, key.path.rfind('.'));
    if (its != section) {
      section = its;
      out += "\n## `[" + std::string(section) +
             "]`\n\n| key | type | default | bounds | meaning |\n|---|---|---|---|---|\n";
    }
    std::string bounds;
    if (key.type == Type::duration || key.type == Type::durations || key.type == Type::size || key.type == Type::count)
      bounds = "`" + show_bound(key.type, key.minimum) + "` to `" + show_bound(key.type, key.maximum) + "`";
    out += "| `" + std::string(last_word(key.path)) + "` | " + std::string(type_name(key.type)) + " | " +
           show_default(key) + " | " + bounds + " | " + std::string(key.meaning) + " |\n";
  }
  out += "\n## Example\n\n```toml\n";
  Config config = default_config();
  section = {};
  for (const Key& key : keys()) {
    if (!key.absent_default.empty()) continue;
    const std::string_view its = key.path.substr(0, key.path.rfind('.'));
    if (its != section) out += std::string(section.empty() ? "" : "\n") + "[" + std::string(its) + "]\n";
    section = its;
    const std::string value = show_default(key);
    out += std::string(last_word(key.path)) + " = " + value.substr(1, value.size() - 2) + "\n";
  }
  return out + "```\n\nThese are the defaults.\n";
}

}  // namespace accelmon

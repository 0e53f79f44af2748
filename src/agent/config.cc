// toml++ 3.3 asserts what it then checks properly, on inputs such as "[=]"; its release builds even tell the compiler
// to assume it, which makes the check vanish. Neither is for files that people write.
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include "agent/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>

// clang-format off: the order matters
#include <toml++/impl/preprocessor.h>
// Its test for blanks reaches "unreachable" on characters from U+FC26 to U+FEFE that stand outside a text. Answering
// false there makes the parser refuse them, as it should.
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE \
  return {}
#include <toml++/toml.h>
// clang-format on

#include "agent/config_table.h"
#include "base/fd.h"
#include "base/text.h"

namespace accelmon {
namespace {

using namespace config_table;
using Complaint = std::optional<std::string>;

// ---- the document ----

Written written(const toml::node& node) {
  Written value;
  if (const auto* text = node.as_string()) {
    value.form = Written::Form::text;
    value.what = "a text";
    value.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    value.form = Written::Form::integer;
    value.what = "an integer";
    value.integer = integer->get();
  } else if (const auto* boolean = node.as_boolean()) {
    value.form = Written::Form::boolean;
    value.what = "a boolean";
    value.boolean = boolean->get();
  } else if (const auto* array = node.as_array()) {
    value.form = Written::Form::list;
    value.what = "a list";
    // One beyond the longest list that any key takes is enough to refuse it. Elements' own elements are of no interest.
    for (const toml::node& element : *array) {
      if (element.is_array()) {
        value.list.push_back({Written::Form::other, "a list", {}, 0, false, {}});
      } else {
        value.list.push_back(written(element));
      }
    }
  } else if (node.is_floating_point()) {
    value.what = "a number with a fraction";
  } else if (node.is_table()) {
    value.what = "a section";
  } else {
    value.what = "a date or time";
  }
  return value;
}

struct Place {
  uint32_t line = 1;
  uint32_t column = 1;
  bool operator<(const Place& other) const { return line != other.line ? line < other.line : column < other.column; }
};

Place place_of(const toml::source_region& region) {
  return {std::max<uint32_t>(region.begin.line, 1), std::max<uint32_t>(region.begin.column, 1)};
}

// Goes through the document; keeps the error that stands first in the file, and counts the others.
class Reader {
 public:
  explicit Reader(Config& config) : config_(config) {}

  void table(const toml::table& table, const std::string& prefix) {
    for (auto&& [name, node] : table) {
      const std::string path = prefix.empty() ? std::string(name.str()) : prefix + "." + std::string(name.str());
      const Place at = place_of(name.source());
      if (name.str().find('.') != std::string_view::npos) {
        // A quoted key with a dot in it is one word to TOML, and none of ours.
        complain(at, find_key(path) != nullptr || is_section(path)
                         ? "unknown key " + quoted(printable(path, 100)) + "; write it without quotes"
                         : unknown_key(path, false));
        continue;
      }
      if (const Key* key = find_key(path)) {
        places_.push_back({key, place_of(node.source())});
        const Written value = written(node);
        if (const Complaint wrong = assign(config_, *key, value))
          complain(place_of(node.source()), sentence(path, value, *wrong));
      } else if (const toml::table* inner = node.as_table()) {
        if (inner->empty() && !is_section(path)) {
          complain(at, unknown_key(path, true));
        } else {
          this->table(*inner, path);
        }
      } else if (is_section(path)) {
        complain(at, path + " is a section, not a key; write [" + path + "] on a line of its own and its keys below");
      } else {
        complain(at, unknown_key(path, false));
      }
    }
  }

  // What one key says must fit what another one says.
  void fit() {
    const Key& interval = *find_key("poll.interval");
    for (const auto& [path, value] : {std::pair{"poll.slow", &config_.poll.slow}, {"poll.rare", &config_.poll.rare}}) {
      if (*value >= config_.poll.interval) continue;
      const Key& key = *find_key(path);
      const Place* at = place(key);
      if (at == nullptr) {
        *value = config_.poll.interval;
        continue;
      }
      complain(*at, std::string(path) + " = " + quoted(format_duration(*value)) + " is shorter than " +
                        std::string(interval.path) + " (" + quoted(format_duration(config_.poll.interval)) +
                        "); write at least that");
    }
  }

  bool failed() const { return errors_ != 0; }
  Status error(std::string_view file) const {
    std::string text =
        std::string(file) + ":" + std::to_string(first_.line) + ":" + std::to_string(first_.column) + ": " + message_;
    if (errors_ > 1) text += " (and " + std::to_string(errors_ - 1) + (errors_ == 2 ? " more error)" : " more errors)");
    return Status(Code::invalid, std::move(text));
  }

 private:
  void complain(Place at, std::string message) {
    if (errors_++ == 0 || at < first_) {
      first_ = at;
      message_ = std::move(message);
    }
  }
  const Place* place(const Key& key) const {
    for (const auto& [known, at] : places_)
      if (known == &key) return &at;
    return nullptr;
  }
  // "poll.interval = 5 has no unit", but "poll.interval is a list" and "smoothing.ema holds 5".
  static std::string sentence(const std::string& path, const Written& value, const std::string& wrong) {
    const bool shown = value.form != Written::Form::list && value.form != Written::Form::other;
    return path + (shown ? " = " + value.shown() + " " : " ") + wrong;
  }

  Config& config_;
  std::vector<std::pair<const Key*, Place>> places_;
  size_t errors_ = 0;
  Place first_;
  std::string message_;
};

// Position of the first byte that is not UTF-8 or a control character that TOML forbids, counted as editors do: columns
// in characters.
std::optional<Place> first_bad_byte(std::string_view text) {
  Place at;
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool control = (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
    const size_t length = control ? 0 : c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (length == 0 || i + length > text.size()) return at;
    for (size_t k = 1; k < length; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return at;
    if (length > 2) {
      const auto second = static_cast<unsigned char>(text[i + 1]);
      if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) ||
          (c == 0xf4 && second > 0x8f))
        return at;
    }
    if (c == '\n') {
      ++at.line;
      at.column = 1;
    } else {
      ++at.column;
    }
    i += length;
  }
  return {};
}

}  // namespace

Result<Config> parse_config(std::string_view text, std::string_view file_name) {
  const std::string file = printable(file_name, 4096);
  const auto at = [&](Place place) {
    return file + ":" + std::to_string(place.line) + ":" + std::to_string(place.column) + ": ";
  };
  if (text.size() > kMaxFile)
    return fail(Code::invalid, file + ": is larger than 1 MiB; a configuration has a few dozen lines at most");
  if (const auto bad = first_bad_byte(text))
    return fail(Code::invalid, at(*bad) + "this byte is not text; save the file as UTF-8, without control characters");
  const toml::parse_result parsed = toml::parse(text, std::string_view());
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return fail(Code::invalid, at(place_of(error.source())) + "not TOML: " + printable(error.description(), 300));
  }
  Config config = default_config();
  Reader reader(config);
  reader.table(parsed.table(), "");
  reader.fit();
  if (reader.failed()) return fail(reader.error(file));
  return config;
}

Result<Config> load_config(const std::string& path) {
  const std::string file = printable(path, 4096);
  // Not blocking: opening a pipe that nobody writes to must not hang the start.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return fail(Status::from_errno(errno, file));
  struct stat about {};
  if (::fstat(fd.get(), &about) != 0) return fail(Status::from_errno(errno, file));
  if (S_ISDIR(about.st_mode)) return fail(Code::invalid, file + ": is a directory; name the file in it");
  if (!S_ISREG(about.st_mode)) return fail(Code::invalid, file + ": is not a regular file");
  std::string text;
  char chunk[16384];
  for (;;) {
    const ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Status::from_errno(errno, file));
    if (n == 0) break;
    text.append(chunk, static_cast<size_t>(n));
    if (text.size() > kMaxFile) break;  // parse_config says so
  }
  return parse_config(text, path);
}

std::string default_socket_path() {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr && value[0] == '/' ? value : "");
  };
  // systemd gives several directories with colons between them.
  if (const std::string runtime = environment("RUNTIME_DIRECTORY"); !runtime.empty())
    return runtime.substr(0, runtime.find(':')) + "/accelmon.sock";
  if (::geteuid() == 0) return "/run/accelmon/accelmon.sock";
  if (const std::string user = environment("XDG_RUNTIME_DIR"); !user.empty()) return user + "/accelmon.sock";
  return "/tmp/accelmon-" + std::to_string(::geteuid()) + ".sock";
}

}  // namespace accelmon

#include "net/yaml.h"

#include <yaml.h>

#include <memory>

#include "base/text.h"

namespace accelmon {
namespace {

constexpr size_t kMaxNodes = 4096;
constexpr size_t kMaxDepth = 8;

std::string text_of(const yaml_char_t* bytes, size_t size) {
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

bool is_null(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

class Reader {
 public:
  Reader(std::string_view bytes, std::string_view file) : file_(printable(file, 4096)) {
    ready_ = yaml_parser_initialize(&parser_) == 1;
    if (ready_)
      yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  }
  ~Reader() {
    yaml_event_delete(&event_);
    if (ready_) yaml_parser_delete(&parser_);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Result<YamlNode> document() {
    YamlNode root;
    if (!ready_) return fail(Code::exhausted, file_ + ": no memory to read it");
    if (!next() || !next()) return fail(std::move(error_));  // the stream and the document begin
    if (event_.type == YAML_STREAM_END_EVENT) return root;
    if (!next() || !node(root, 0)) return fail(std::move(error_));
    if (!next() || !next()) return fail(std::move(error_));
    if (event_.type != YAML_STREAM_END_EVENT) {
      wrong(event_.start_mark, "a second document begins here; the file holds one");
      return fail(std::move(error_));
    }
    return root;
  }

 private:
  bool wrong(const yaml_mark_t& at, const std::string& what) {
    error_ = Status(Code::invalid,
                    file_ + ":" + std::to_string(at.line + 1) + ":" + std::to_string(at.column + 1) + ": " + what);
    return false;
  }

  bool next() {
    yaml_event_delete(&event_);
    event_ = {};
    if (yaml_parser_parse(&parser_, &event_) == 1) return true;
    event_ = {};
    std::string what = parser_.problem != nullptr ? printable(parser_.problem, 200) : "not YAML";
    if (parser_.error == YAML_MEMORY_ERROR) what = "no memory to read it";
    yaml_mark_t at = parser_.problem_mark;
    if (parser_.error == YAML_READER_ERROR) {
      // Bytes that are no text have an offset instead of a line.
      at = parser_.mark;
      what += "; save the file as UTF-8, without control characters";
    }
    return wrong(at, "not YAML: " + what);
  }

  // The event at hand, with what belongs to it.
  bool node(YamlNode& out, size_t depth) {
    const yaml_mark_t at = event_.start_mark;
    out.line = static_cast<uint32_t>(at.line + 1);
    out.column = static_cast<uint32_t>(at.column + 1);
    if (++nodes_ > kMaxNodes) return wrong(at, "the file has more than " + std::to_string(kMaxNodes) + " values");
    if (depth > kMaxDepth) return wrong(at, "more than " + std::to_string(kMaxDepth) + " levels deep");
    switch (event_.type) {
      case YAML_ALIAS_EVENT:
        return wrong(at, "aliases (*name) are not taken; write the value out");
      case YAML_SCALAR_EVENT: {
        if (event_.data.scalar.tag != nullptr) return wrong(at, "tags (!name) are not taken; write the value alone");
        out.text = text_of(event_.data.scalar.value, event_.data.scalar.length);
        out.quoted = event_.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        out.kind = !out.quoted && is_null(out.text) ? YamlNode::Kind::null : YamlNode::Kind::text;
        return true;
      }
      case YAML_SEQUENCE_START_EVENT:
        if (event_.data.sequence_start.tag != nullptr) return wrong(at, "tags (!name) are not taken");
        out.kind = YamlNode::Kind::list;
        for (;;) {
          if (!next()) return false;
          if (event_.type == YAML_SEQUENCE_END_EVENT) return true;
          if (!node(out.values.emplace_back(), depth + 1)) return false;
        }
      case YAML_MAPPING_START_EVENT:
        if (event_.data.mapping_start.tag != nullptr) return wrong(at, "tags (!name) are not taken");
        out.kind = YamlNode::Kind::map;
        for (;;) {
          if (!next()) return false;
          if (event_.type == YAML_MAPPING_END_EVENT) return true;
          const yaml_mark_t key_at = event_.start_mark;
          YamlNode key;
          if (!node(key, depth + 1)) return false;
          if (key.kind != YamlNode::Kind::text) return wrong(key_at, "a key is a text");
          if (out.find(key.text) != nullptr)
            return wrong(key_at, "the key " + printable(key.text, 60) + " comes twice");
          out.keys.push_back(std::move(key));
          if (!next() || !node(out.values.emplace_back(), depth + 1)) return false;
        }
      default:
        return wrong(at, "not YAML: a value is missing");
    }
  }

  std::string file_;
  yaml_parser_t parser_{};
  yaml_event_t event_{};
  bool ready_ = false;
  size_t nodes_ = 0;
  Status error_;
};

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  for (size_t i = 0; i < keys.size() && i < values.size(); ++i)
    if (keys[i].text == key) return &values[i];
  return nullptr;
}

Result<YamlNode> parse_yaml(std::string_view bytes, std::string_view file) {
  if (bytes.size() > kMaxYamlBytes)
    return fail(Code::invalid, printable(file, 4096) + ": is larger than " + std::to_string(kMaxYamlBytes) + " bytes");
  return Reader(bytes, file).document();
}

}  // namespace accelmon

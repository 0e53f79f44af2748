// What an OTLP receiver answers, read with suspicion: bodies are bounded by whoever received them, and nothing here
// allocates more than the message that is kept.
#include <nlohmann/json.hpp>
#include <protozero/pbf_reader.hpp>

#include "base/text.h"
#include "encode/otlp.h"

namespace accelmon {
namespace {

constexpr size_t kMaxMessage = 1021;         // and the dots behind what was cut
constexpr int64_t kMaxRetrySeconds = 86400;  // more is no wish but a mistake
constexpr std::string_view kRetryInfo = "google.rpc.RetryInfo";

bool is_retry_info(std::string_view type_url) {
  return type_url.ends_with(kRetryInfo) &&
         (type_url.size() == kRetryInfo.size() || type_url[type_url.size() - kRetryInfo.size() - 1] == '/');
}

std::optional<Nanos> retry_delay(int64_t seconds, int64_t nanos) {
  if (seconds < 0 || nanos < 0 || seconds > kMaxRetrySeconds || nanos >= kSecond) return std::nullopt;
  return seconds * kSecond + nanos;
}

std::string_view bytes_of(protozero::data_view view) {
  return {view.data(), view.size()};
}

// ---- protobuf ----

void read_partial_success(protozero::pbf_reader reader, OtlpAnswer& answer) {
  while (reader.next()) {
    if (reader.tag_and_type() == protozero::tag_and_type(1, protozero::pbf_wire_type::varint))
      answer.rejected_points = reader.get_int64();
    else if (reader.tag_and_type() == protozero::tag_and_type(2, protozero::pbf_wire_type::length_delimited))
      answer.message = printable(bytes_of(reader.get_view()), kMaxMessage);
    else
      reader.skip();
  }
}

std::optional<Nanos> read_retry_info(protozero::pbf_reader info) {
  int64_t seconds = 0, nanos = 0;
  bool found = false;
  while (info.next(1, protozero::pbf_wire_type::length_delimited)) {
    found = true;
    protozero::pbf_reader duration = info.get_message();
    while (duration.next()) {
      if (duration.tag_and_type() == protozero::tag_and_type(1, protozero::pbf_wire_type::varint))
        seconds = duration.get_int64();
      else if (duration.tag_and_type() == protozero::tag_and_type(2, protozero::pbf_wire_type::varint))
        nanos = duration.get_int32();
      else
        duration.skip();
    }
  }
  return found ? retry_delay(seconds, nanos) : std::nullopt;
}

void read_status(protozero::pbf_reader reader, RpcStatus& status) {
  while (reader.next()) {
    if (reader.tag_and_type() == protozero::tag_and_type(1, protozero::pbf_wire_type::varint)) {
      status.code = reader.get_int32();
    } else if (reader.tag_and_type() == protozero::tag_and_type(2, protozero::pbf_wire_type::length_delimited)) {
      status.message = printable(bytes_of(reader.get_view()), kMaxMessage);
    } else if (reader.tag_and_type() == protozero::tag_and_type(3, protozero::pbf_wire_type::length_delimited)) {
      protozero::pbf_reader any = reader.get_message();
      std::string_view type, value;
      while (any.next()) {
        if (any.tag_and_type() == protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited))
          type = bytes_of(any.get_view());
        else if (any.tag_and_type() == protozero::tag_and_type(2, protozero::pbf_wire_type::length_delimited))
          value = bytes_of(any.get_view());
        else
          any.skip();
      }
      if (is_retry_info(type)) status.retry_after = read_retry_info(protozero::pbf_reader(value.data(), value.size()));
    } else {
      reader.skip();
    }
  }
}

// ---- JSON ----

// Follows a document without keeping it: only how deep it is, and the keys on the way.
class Reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return scalar({}, std::nullopt); }
  bool boolean(bool) override { return scalar({}, std::nullopt); }
  bool number_integer(number_integer_t value) override { return scalar({}, value); }
  bool number_unsigned(number_unsigned_t value) override {
    return scalar({}, value <= static_cast<uint64_t>(INT64_MAX) ? std::optional<int64_t>(static_cast<int64_t>(value))
                                                                : std::nullopt);
  }
  bool number_float(number_float_t, const string_t&) override { return scalar({}, std::nullopt); }
  bool string(string_t& value) override { return scalar(value, parse_i64(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(true); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(false); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ <= kKept) path_[depth_ - 1] = name.substr(0, 64);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }
  bool is_object() const { return is_object_; }

 protected:
  // The keys from the outermost object inwards; an array has the key "[]", and "*" stands for any.
  bool at(std::initializer_list<std::string_view> path) const {
    if (depth_ != path.size()) return false;
    size_t i = 0;
    for (const std::string_view name : path)
      if (const std::string& key = path_[i++]; key != name && name != "*") return false;
    return true;
  }
  virtual void value(std::string_view text, std::optional<int64_t> number) = 0;
  virtual void closed() {}

 private:
  static constexpr size_t kKept = 6, kDeepest = 64;
  bool scalar(std::string_view text, std::optional<int64_t> number) {
    if (depth_ == 0) return false;  // no answer is a mere number
    value(text, number);
    return true;
  }
  bool open(bool object) {
    if (depth_ == 0) is_object_ = object;
    if (++depth_ > kDeepest) return false;
    if (depth_ <= kKept) path_[depth_ - 1] = object ? "" : "[]";
    return true;
  }
  bool close() {
    closed();
    --depth_;
    return true;
  }
  std::string path_[kKept];
  size_t depth_ = 0;
  bool is_object_ = false;
};

class AnswerReader : public Reader {
 public:
  OtlpAnswer answer;

 private:
  void value(std::string_view text, std::optional<int64_t> number) override {
    // proto3's JSON knows both spellings of a field.
    if (at({"partialSuccess", "rejectedDataPoints"}) || at({"partial_success", "rejected_data_points"}))
      answer.rejected_points = number.value_or(0);
    if (at({"partialSuccess", "errorMessage"}) || at({"partial_success", "error_message"}))
      answer.message = printable(text, kMaxMessage);
  }
};

class StatusReader : public Reader {
 public:
  RpcStatus status;

 private:
  void value(std::string_view text, std::optional<int64_t> number) override {
    if (at({"code"}) && number && *number >= INT32_MIN && *number <= INT32_MAX)
      status.code = static_cast<int32_t>(*number);
    if (at({"message"})) status.message = printable(text, kMaxMessage);
    if (at({"details", "[]", "@type"})) retry_info_ = is_retry_info(text);
    if (at({"details", "[]", "retryDelay"})) delay_ = duration(text);
  }
  void closed() override {
    if (!at({"details", "[]", "*"})) return;
    if (retry_info_ && delay_) status.retry_after = delay_;
    retry_info_ = false;
    delay_.reset();
  }
  static std::optional<Nanos> duration(std::string_view text) {  // "1.5s"
    if (!text.ends_with('s')) return std::nullopt;
    const std::optional<double> seconds = parse_double(text.substr(0, text.size() - 1));
    if (!seconds || !(*seconds >= 0) || *seconds > static_cast<double>(kMaxRetrySeconds)) return std::nullopt;
    return static_cast<Nanos>(*seconds * 1e9 + 0.5);
  }
  bool retry_info_ = false;
  std::optional<Nanos> delay_;
};

bool parse(std::string_view body, Reader& reader) {
  return nlohmann::json::sax_parse(body.begin(), body.end(), &reader) && reader.is_object();
}

}  // namespace

Result<OtlpAnswer> decode_otlp_answer(std::string_view body, OtlpForm form) {
  if (body.empty()) return OtlpAnswer();
  try {
    if (form == OtlpForm::json) {
      AnswerReader reader;
      if (!parse(body, reader)) return fail(Code::invalid, "the receiver's answer is not the JSON that OTLP asks for");
      return std::move(reader.answer);
    }
    OtlpAnswer answer;
    protozero::pbf_reader reader(body.data(), body.size());
    while (reader.next()) {
      if (reader.tag_and_type() == protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited))
        read_partial_success(reader.get_message(), answer);
      else
        reader.skip();
    }
    return answer;
  } catch (const std::exception&) {
    return fail(Code::invalid, "the receiver's answer is not the protobuf that OTLP asks for");
  }
}

Result<RpcStatus> decode_rpc_status(std::string_view body, OtlpForm form) {
  if (body.empty()) return RpcStatus();
  try {
    if (form == OtlpForm::json) {
      StatusReader reader;
      if (!parse(body, reader)) return fail(Code::invalid, "the receiver's error is not a status in JSON");
      return std::move(reader.status);
    }
    RpcStatus status;
    read_status(protozero::pbf_reader(body.data(), body.size()), status);
    return status;
  } catch (const std::exception&) {
    return fail(Code::invalid, "the receiver's error is not a status in protobuf");
  }
}

}  // namespace accelmon

#include "encode/remote_read.h"

#include <protozero/pbf_reader.hpp>

#include "encode/protobuf.h"
#include "encode/snappy.h"
#include "encode/utf8.h"

namespace accelmon {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using protozero::tag_and_type;

constexpr auto kVarint = pbf_wire_type::varint;
constexpr auto kBytes = pbf_wire_type::length_delimited;

bool valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

// Readers of parts: once `why` says something nothing more is read.
std::string text_of(pbf_reader& reader, const char* what, Status& why) {
  const protozero::data_view view = reader.get_view();
  const std::string_view text(view.data(), view.size());
  if (text.size() > kMaxMatcherBytes)
    why = Status(Code::exhausted, std::string(what) + " of more than " + std::to_string(kMaxMatcherBytes) + " bytes");
  else if (!valid_utf8(text))
    why = Status(Code::invalid, std::string(what) + " that is not UTF-8");
  else
    return std::string(text);
  return {};
}

LabelMatcher read_matcher(pbf_reader reader, Status& why) {
  LabelMatcher matcher;
  while (why.ok() && reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kVarint): {
        const int32_t type = reader.get_enum();
        if (type < 0 || type > static_cast<int32_t>(MatchType::not_regex))
          why = Status(Code::invalid, "a matcher of the unknown type " + std::to_string(type));
        else
          matcher.type = static_cast<MatchType>(type);
        break;
      }
      case tag_and_type(2, kBytes):
        matcher.name = text_of(reader, "a matcher's name", why);
        break;
      case tag_and_type(3, kBytes):
        matcher.value = text_of(reader, "a matcher's value", why);
        break;
      default:
        reader.skip();
    }
  }
  if (why.ok() && matcher.name.empty()) why = Status(Code::invalid, "a matcher without the name of a label");
  return matcher;
}

void read_hints(pbf_reader reader, ReadQuery& query, Status& why) {
  while (why.ok() && reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kVarint):
        query.step_ms = reader.get_int64();
        break;
      case tag_and_type(2, kBytes):
        query.function = text_of(reader, "a function's name", why);
        break;
      case tag_and_type(7, kVarint):
        query.range_ms = reader.get_int64();
        break;
      default:
        reader.skip();
    }
  }
}

ReadQuery read_query(pbf_reader reader, Status& why) {
  ReadQuery query;
  while (why.ok() && reader.next()) {
    switch (reader.tag_and_type()) {
      case tag_and_type(1, kVarint):
        query.start_ms = reader.get_int64();
        break;
      case tag_and_type(2, kVarint):
        query.end_ms = reader.get_int64();
        break;
      case tag_and_type(3, kBytes):
        if (query.matchers.size() == kMaxReadMatchers)
          why = Status(Code::exhausted, "a query with more than " + std::to_string(kMaxReadMatchers) + " matchers");
        else
          query.matchers.push_back(read_matcher(reader.get_message(), why));
        break;
      case tag_and_type(4, kBytes):
        read_hints(reader.get_message(), query, why);
        break;
      default:
        reader.skip();
    }
  }
  return query;
}

// accepted_response_types may come one by one or packed.
struct ResponseTypes {
  bool any = false, samples = false;
  void see(int32_t type) {
    any = true;
    samples |= type == 0;
  }
};

}  // namespace

Result<ReadRequest> decode_read_request(std::string_view body) {
  std::string bytes;
  if (Status status = snappy_uncompress(body, kMaxReadRequestBytes, bytes); !status.ok())
    return fail(std::move(status));
  try {
    ReadRequest request;
    ResponseTypes types;
    Status why;
    pbf_reader reader(bytes.data(), bytes.size());
    while (why.ok() && reader.next()) {
      switch (reader.tag_and_type()) {
        case tag_and_type(1, kBytes):
          if (request.queries.size() == kMaxReadQueries)
            return fail(Code::exhausted,
                        "a read request with more than " + std::to_string(kMaxReadQueries) + " queries");
          request.queries.push_back(read_query(reader.get_message(), why));
          break;
        case tag_and_type(2, kVarint):
          types.see(reader.get_enum());
          break;
        case tag_and_type(2, kBytes): {
          const auto packed = reader.get_packed_enum();
          for (auto type = packed.begin(); type != packed.end(); ++type) types.see(*type);
          break;
        }
        default:
          reader.skip();
      }
    }
    if (!why.ok()) return fail(std::move(why));
    request.takes_samples = !types.any || types.samples;
    return request;
  } catch (const std::exception&) {
    return fail(Code::invalid, "the body is no remote-read request: its protobuf is damaged");
  }
}

void encode_read_response(std::span<const ReadResult> results, std::string& body) {
  const auto label_size = [](const auto& label) {
    return (label.first.empty() ? 0 : protobuf::field_size(label.first.size())) +
           (label.second.empty() ? 0 : protobuf::field_size(label.second.size()));
  };
  const auto sample_size = [](const ReadSample& sample) {
    return (std::bit_cast<uint64_t>(sample.value) != 0 ? 9u : 0u) +
           (sample.time_ms != 0 ? 1 + protobuf::varint_size(static_cast<uint64_t>(sample.time_ms)) : 0u);
  };
  const auto series_size = [&](const ReadSeries& series) {
    size_t size = 0;
    for (const auto& label : series.labels) size += protobuf::field_size(label_size(label));
    for (const ReadSample& sample : series.samples) size += protobuf::field_size(sample_size(sample));
    return size;
  };
  protobuf::Buffer out;
  const auto open = [](char* at, uint32_t field, size_t size) {
    *at++ = protobuf::tag(field, protobuf::kBytes);
    return protobuf::put_varint(at, size);
  };
  for (const ReadResult& result : results) {
    size_t result_size = 0;
    for (const ReadSeries& series : result) result_size += protobuf::field_size(series_size(series));
    char* at = open(out.room(protobuf::field_size(result_size)), 1, result_size);
    for (const ReadSeries& series : result) {
      at = open(at, 1, series_size(series));
      for (const auto& label : series.labels) {
        at = open(at, 1, label_size(label));
        if (!label.first.empty()) at = protobuf::put_field(at, 1, label.first);
        if (!label.second.empty()) at = protobuf::put_field(at, 2, label.second);
      }
      for (const ReadSample& sample : series.samples) {
        at = open(at, 2, sample_size(sample));
        if (std::bit_cast<uint64_t>(sample.value) != 0) at = protobuf::put_fixed64(at, 1, sample.value);
        if (sample.time_ms != 0) {
          *at++ = protobuf::tag(2, protobuf::kVarint);
          at = protobuf::put_varint(at, static_cast<uint64_t>(sample.time_ms));
        }
      }
    }
    out.wrote(at);
  }
  snappy_compress(out.view(), body);
}

}  // namespace accelmon

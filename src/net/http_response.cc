#include "net/http_response.h"

#include <cstdio>

#include "base/text.h"

namespace accelmon {
namespace {

std::string_view reason(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "";
  }
}

bool token(std::string_view name) {
  for (const char c : name) {
    const bool good =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!good) return false;
  }
  return !name.empty();
}

bool one_line(std::string_view value) {
  for (const char c : value)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  return true;
}

void header(std::string& out, std::string_view name, std::string_view value) {
  if (!token(name) || !one_line(value)) return;
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

}  // namespace

std::string_view HttpDate::at(std::time_t now) {
  if (now == made_) return {text_, size_};
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  if (::gmtime_r(&now, &utc) == nullptr) return {};
  const int n = std::snprintf(text_, sizeof text_, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[utc.tm_wday % 7],
                              utc.tm_mday % 100, kMonths[utc.tm_mon % 12], (utc.tm_year + 1900) % 10000,
                              utc.tm_hour % 100, utc.tm_min % 100, utc.tm_sec % 100);
  size_ = n > 0 && static_cast<size_t>(n) < sizeof text_ ? static_cast<size_t>(n) : 0;
  made_ = now;
  return {text_, size_};
}

bool status_has_body(unsigned status) {
  return status >= 200 && status != 204 && status != 304;
}

void write_head(const HttpResponse& response, std::string_view date, HeadOptions options, std::string& out) {
  out.clear();
  out += "HTTP/1.1 ";
  append_number(out, uint64_t{response.status});
  out += ' ';
  out += reason(response.status);
  out += "\r\n";
  if (!date.empty()) header(out, "Date", date);
  if (status_has_body(response.status)) {
    header(out, "Content-Type", response.content_type);
    if (!response.content_encoding.empty()) header(out, "Content-Encoding", response.content_encoding);
    if (response.stream == nullptr) {
      out += "Content-Length: ";
      append_number(out, uint64_t{response.body.size()});
      out += "\r\n";
    }
  }
  for (const auto& [name, value] : response.headers) header(out, name, value);
  if (!options.keep_alive)
    header(out, "Connection", "close");
  else if (options.http_1_0)
    header(out, "Connection", "keep-alive");
  out += "\r\n";
}

HttpResponse HttpResponse::text(unsigned status, std::string body, std::string_view content_type) {
  HttpResponse response;
  response.status = status;
  response.content_type = content_type;
  auto kept = std::make_shared<const std::string>(std::move(body));
  response.body = *kept;
  response.owner = std::move(kept);
  return response;
}

}  // namespace accelmon

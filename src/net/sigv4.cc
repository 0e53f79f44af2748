#include "net/sigv4.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <memory>

#include "base/text.h"
#include "net/sha256.h"

namespace accelmon {
namespace {

using Digest = Sha256;

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string hex(const Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : digest) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string_view bytes(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// RFC 3986: all but the unreserved characters are escaped.
void append_encoded(std::string& out, std::string_view text, bool keep_slash) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                            c == '.' || c == '_' || c == '~' || (keep_slash && c == '/');
    if (unreserved) {
      out += c;
      continue;
    }
    out += '%';
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Without "." and "..", and with no two slashes in a row.
std::string normalized(std::string_view path) {
  std::vector<std::string_view> parts;
  bool ends_with_slash = path.empty() || path.back() == '/';
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part == "." || part == "..") {
      if (part == ".." && !parts.empty()) parts.pop_back();
      if (end == path.size()) ends_with_slash = true;
    } else if (!part.empty()) {
      parts.push_back(part);
    }
  }
  std::string out;
  for (const std::string_view part : parts) out.append("/").append(part);
  if (out.empty() || ends_with_slash) out += '/';
  return out;
}

std::string canonical_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> parameters;
  for (size_t begin = 0; begin < query.size();) {
    const size_t end = std::min(query.find('&', begin), query.size());
    const std::string_view one = query.substr(begin, end - begin);
    begin = end + 1;
    if (one.empty()) continue;
    const size_t equals = std::min(one.find('='), one.size());
    auto& [name, value] = parameters.emplace_back();
    append_encoded(name, decoded(one.substr(0, equals)), false);
    if (equals < one.size()) append_encoded(value, decoded(one.substr(equals + 1)), false);
  }
  std::sort(parameters.begin(), parameters.end());
  std::string out;
  for (const auto& [name, value] : parameters) {
    if (!out.empty()) out += '&';
    out.append(name).append("=").append(value);
  }
  return out;
}

std::string canonical_value(std::string_view value) {
  std::string out;
  bool blank = false;
  for (const char c : value) {
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      blank = !out.empty();
      continue;
    }
    if (blank) out += ' ';
    blank = false;
    out += c;
  }
  return out;
}

// What somebody on the way may change or add.
bool is_signed(std::string_view name) {
  for (const std::string_view never : {"authorization", "user-agent", "connection", "expect", "transfer-encoding",
                                       "x-amzn-trace-id", "proxy-authorization"})
    if (name == never) return false;
  return true;
}

std::map<std::string, std::string> canonical_headers(const Headers& headers) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : headers) {
    std::string key;
    for (const char c : name) key += lower(c);
    if (!is_signed(key)) continue;
    const auto [at, fresh] = out.emplace(std::move(key), canonical_value(value));
    if (!fresh) at->second.append(",").append(canonical_value(value));
  }
  return out;
}

std::string signed_names(const Headers& headers) {
  std::string out;
  for (const auto& [name, value] : canonical_headers(headers)) out.append(out.empty() ? "" : ";").append(name);
  return out;
}

std::string credential_scope(const SigV4Scope& scope) {
  return sigv4_time(scope.wall).substr(0, 8) + "/" + scope.region + "/" + scope.service + "/aws4_request";
}

}  // namespace

Status sigv4_available() {
  if (Status status = sha256_available(); !status.ok())
    return {status.code(), "requests to AWS are signed with libcrypto: " + status.message()};
  return {};
}

std::string sigv4_time(Nanos wall) {
  const std::time_t seconds = wall / kSecond;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  const size_t size = std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return std::string(text, size);
}

std::string sigv4_canonical_request(const SigV4Request& request, const SigV4Scope& scope) {
  std::string out = request.method + "\n";
  append_encoded(out,
                 scope.normalize_path   ? normalized(request.path)
                 : request.path.empty() ? "/"
                                        : request.path,
                 true);
  out.append("\n").append(canonical_query(request.query)).append("\n");
  for (const auto& [name, value] : canonical_headers(request.headers))
    out.append(name).append(":").append(value).append("\n");
  return out.append("\n").append(signed_names(request.headers)).append("\n").append(hex(sha256(request.body)));
}

std::string sigv4_string_to_sign(std::string_view canonical_request, const SigV4Scope& scope) {
  return std::string(kAlgorithm) + "\n" + sigv4_time(scope.wall) + "\n" + credential_scope(scope) + "\n" +
         hex(sha256(canonical_request));
}

std::string sigv4_signature(std::string_view string_to_sign, const AwsCredentials& credentials,
                            const SigV4Scope& scope) {
  const Secret start("AWS4" + credentials.secret_access_key.reveal());
  Digest key = hmac_sha256(start.reveal(), sigv4_time(scope.wall).substr(0, 8));
  key = hmac_sha256(bytes(key), scope.region);
  key = hmac_sha256(bytes(key), scope.service);
  key = hmac_sha256(bytes(key), "aws4_request");
  const std::string signature = hex(hmac_sha256(bytes(key), string_to_sign));
  ::explicit_bzero(key.data(), key.size());
  return signature;
}

Headers sigv4_sign(const SigV4Request& request, const AwsCredentials& credentials, const SigV4Scope& scope) {
  Headers added{{"X-Amz-Date", sigv4_time(scope.wall)}};
  if (scope.body_header) added.emplace_back("X-Amz-Content-Sha256", hex(sha256(request.body)));
  const bool token = !credentials.session_token.empty();
  if (token && scope.sign_token) added.emplace_back("X-Amz-Security-Token", credentials.session_token.reveal());
  SigV4Request whole = request;
  whole.headers.insert(whole.headers.end(), added.begin(), added.end());
  const std::string to_sign = sigv4_string_to_sign(sigv4_canonical_request(whole, scope), scope);
  if (token && !scope.sign_token) added.emplace_back("X-Amz-Security-Token", credentials.session_token.reveal());
  added.emplace_back("Authorization", std::string(kAlgorithm) + " Credential=" + credentials.access_key_id + "/" +
                                          credential_scope(scope) + ", SignedHeaders=" + signed_names(whole.headers) +
                                          ", Signature=" + sigv4_signature(to_sign, credentials, scope));
  return added;
}

}  // namespace accelmon

// The parts of an http or https URL, as views into its text. Splits and does not judge: what a part must be is for
// those who use it. Threads: pure.
#pragma once

#include <string>
#include <string_view>

namespace accelmon {

struct UrlParts {
  std::string_view scheme;     // "https://", with its slashes; empty: it has none
  std::string_view authority;  // "user:password@host:4318"
  std::string_view host;       // of that, what stands behind the last '@': "host:4318"
  std::string_view path;       // "/v1/metrics"; empty: it has none
  std::string_view query;      // without the question mark, up to a fragment
};

inline UrlParts split_url(std::string_view url) {
  UrlParts parts;
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) parts.scheme = url.substr(0, scheme + 3);
  std::string_view rest = url.substr(parts.scheme.size());
  parts.authority = rest.substr(0, rest.find_first_of("/?#"));
  parts.host = parts.authority.substr(parts.authority.rfind('@') + 1);  // npos + 1 is 0
  rest.remove_prefix(parts.authority.size());
  rest = rest.substr(0, rest.find('#'));
  parts.path = rest.substr(0, rest.find('?'));
  if (parts.path.size() < rest.size()) parts.query = rest.substr(parts.path.size() + 1);
  return parts;
}

// "https://host:4318" of a URL: as much as anybody may see, since paths and queries hold tokens too. Where a user or
// password holds what ends the host ("u:p/w@host"), nobody knows where the secret ends: "https://..." then.
inline std::string url_origin(std::string_view url) {
  const UrlParts parts = split_url(url);
  const std::string_view behind = url.substr(parts.scheme.size() + parts.authority.size());
  const bool torn = behind.find('@') != std::string_view::npos && parts.host.find(':') != std::string_view::npos;
  return std::string(parts.scheme) + (torn ? "..." : std::string(parts.host));
}

}  // namespace accelmon

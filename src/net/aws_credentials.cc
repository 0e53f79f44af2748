#include "net/aws_credentials.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "net/url.h"

namespace accelmon {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxText = 64 * 1024;
constexpr size_t kMaxKey = 16 * 1024;
constexpr std::string_view kMachine = "http://169.254.169.254";
constexpr std::string_view kMachineV6 = "http://[fd00:ec2::254]";
constexpr std::string_view kContainer = "http://169.254.170.2";

// A key goes into a header: one line of visible ASCII.
bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= kMaxKey &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Result<AwsCredentials> checked(std::string id, std::string key, std::string token, Nanos expires) {
  // Their text is nowhere in the errors.
  if (!is_token(id) || id.size() > 256) return fail(Code::invalid, "the access key id is missing or malformed");
  Secret secret(std::move(key));
  Secret session(std::move(token));
  if (!is_token(secret.reveal())) return fail(Code::invalid, "the secret access key is missing or malformed");
  if (!session.empty() && !is_token(session.reveal())) return fail(Code::invalid, "the session token is malformed");
  return AwsCredentials{std::move(id), std::move(secret), std::move(session), expires};
}

std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool two_digits(std::string_view text, size_t at, int low, int high, int& out) {
  if (at + 2 > text.size() || text[at] < '0' || text[at] > '9' || text[at + 1] < '0' || text[at + 1] > '9')
    return false;
  out = (text[at] - '0') * 10 + (text[at + 1] - '0');
  return out >= low && out <= high;
}

std::string element(std::string_view xml, std::string_view name) {
  const std::string open = "<" + std::string(name) + ">";
  const std::string close = "</" + std::string(name) + ">";
  const size_t begin = xml.find(open);
  if (begin == std::string_view::npos) return {};
  const size_t end = xml.find(close, begin);
  return end == std::string_view::npos ? std::string()
                                       : std::string(trim(xml.substr(begin + open.size(), end - begin - open.size())));
}

std::string encoded(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
        c == '.') {
      out += c;
    } else {
      out += '%';
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

std::string host_of(std::string_view url) {
  const UrlParts parts = split_url(url);
  if (parts.scheme.empty() || parts.host != parts.authority) return {};
  if (parts.host.starts_with('[')) return std::string(parts.host.substr(0, parts.host.find(']') + 1));
  return std::string(parts.host.substr(0, parts.host.find(':')));
}

std::string shared_file(const AwsWorld& world, const char* variable, const char* name) {
  if (const auto path = world.variable(variable); path && !path->empty()) return *path;
  const auto home = world.variable("HOME");
  return home && !home->empty() ? *home + "/.aws/" + name : std::string();
}

std::string profile_name(const AwsWorld& world, const std::string& asked) {
  if (!asked.empty()) return asked;
  const auto name = world.variable("AWS_PROFILE");
  return name && !name->empty() ? *name : "default";
}

// The settings of a profile, of both files; what the credentials file says stands. A file that is not there is none.
Result<std::map<std::string, std::string>> profile_settings(const AwsWorld& world, const std::string& name) {
  std::map<std::string, std::string> settings;
  for (const auto& [variable, file] :
       {std::pair{"AWS_CONFIG_FILE", "config"}, std::pair{"AWS_SHARED_CREDENTIALS_FILE", "credentials"}}) {
    const std::string path = shared_file(world, variable, file);
    if (path.empty()) continue;
    const Result<std::string> text = world.file(path);
    if (!text) {
      if (text.error().code() == Code::absent) continue;
      return fail(text.error());
    }
    Result<AwsProfiles> profiles = parse_aws_profiles(*text);
    if (!profiles) return fail(profiles.error().code(), path + ": " + profiles.error().message());
    for (auto& [key, value] : (*profiles)[name]) settings[key] = std::move(value);
  }
  return settings;
}

}  // namespace

Result<AwsProfiles> parse_aws_profiles(std::string_view text) {
  if (text.size() > kMaxText) return fail(Code::invalid, "longer than 64 KiB");
  AwsProfiles profiles;
  std::map<std::string, std::string>* section = nullptr;
  size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::string_view line = next_line(text);
    const std::string_view words = trim(line);
    if (words.empty() || words.front() == '#' || words.front() == ';') continue;
    if (words.front() == '[') {
      const size_t end = words.find(']');
      if (end == std::string_view::npos)
        return fail(Code::invalid, "line " + std::to_string(number) + ": the section's name has no ']'");
      std::string_view name = trim(words.substr(1, end - 1));
      if (name.starts_with("profile ") || name.starts_with("profile\t")) name = trim(name.substr(8));
      section = &profiles[std::string(name)];
      continue;
    }
    // A line that begins with a blank belongs to the setting before it.
    if (section == nullptr || line.front() == ' ' || line.front() == '\t') continue;
    const size_t equals = words.find('=');
    if (equals == std::string_view::npos) continue;
    std::string key(trim(words.substr(0, equals)));
    std::transform(key.begin(), key.end(), key.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    (*section)[key] = trim(words.substr(equals + 1));
  }
  return profiles;
}

std::optional<Nanos> parse_aws_time(std::string_view text) {
  int century = 0, year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' ||
      !two_digits(text, 0, 19, 21, century) || !two_digits(text, 2, 0, 99, year) ||
      !two_digits(text, 5, 1, 12, month) || !two_digits(text, 8, 1, 31, day) || !two_digits(text, 11, 0, 23, hour) ||
      !two_digits(text, 14, 0, 59, minute) || !two_digits(text, 17, 0, 60, second))
    return std::nullopt;
  size_t end = 19;
  if (text[end] == '.')
    for (++end; end < text.size() && text[end] >= '0' && text[end] <= '9';) ++end;
  if (end + 1 != text.size() || text[end] != 'Z') return std::nullopt;
  year += century * 100;
  if (year < 1970) return std::nullopt;
  // Days since 1970, the year beginning in March.
  const int64_t y = month <= 2 ? year - 1 : year;
  const int64_t days =
      y * 365 + y / 4 - y / 100 + y / 400 + (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
  return ((days * 24 + hour) * 60 + minute) * 60 * kSecond + second * kSecond;
}

Result<AwsCredentials> parse_aws_credentials_json(std::string_view text) {
  if (text.size() > kMaxText) return fail(Code::invalid, "the answer is longer than 64 KiB");
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return fail(Code::invalid, "the answer is no JSON object");
  if (const std::string code = text_of(json, "Code"); !code.empty() && code != "Success")
    return fail(Code::no_permission, "the answer is " + printable(code, 60));
  Nanos expires = 0;
  if (const std::string when = text_of(json, "Expiration"); !when.empty()) {
    const std::optional<Nanos> parsed = parse_aws_time(when);
    if (!parsed) return fail(Code::invalid, "the answer's Expiration is no time");
    expires = *parsed;
  }
  return checked(text_of(json, "AccessKeyId"), text_of(json, "SecretAccessKey"), text_of(json, "Token"), expires);
}

Result<AwsCredentials> parse_aws_credentials_xml(std::string_view xml) {
  if (xml.size() > kMaxText) return fail(Code::invalid, "the answer is longer than 64 KiB");
  const std::optional<Nanos> expires = parse_aws_time(element(xml, "Expiration"));
  if (!expires) return fail(Code::invalid, "the answer has no Expiration");
  return checked(element(xml, "AccessKeyId"), element(xml, "SecretAccessKey"), element(xml, "SessionToken"), *expires);
}

bool is_allowed_credential_endpoint(std::string_view url) {
  const std::string host = host_of(url);
  if (host.empty()) return false;
  if (url.starts_with("https://")) return true;
  if (!url.starts_with("http://")) return false;
  for (const std::string_view allowed :
       {"127.0.0.1", "localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"})
    if (host == allowed) return true;
  return false;
}

std::string AwsCredentialChain::variable(const char* name) const {
  return world_.variable(name).value_or("");
}

void AwsCredentialChain::invalidate() {
  kept_.reset();
  tried_ = 0;
}

Result<AwsCredentials> AwsCredentialChain::get(Nanos wall) {
  const bool good = kept_ && (kept_->expires == 0 || wall < kept_->expires);
  if (good && (kept_->expires == 0 || wall < kept_->expires - kRefreshBefore)) return *kept_;
  // A clock that was set back does not silence it.
  if (good && tried_ != 0 && wall >= tried_ && wall < tried_ + kRetryAfter) return *kept_;
  tried_ = wall;
  Result<AwsCredentials> fresh = fetch();
  if (!fresh) return good ? Result<AwsCredentials>(*kept_) : fresh;
  if (fresh->expires != 0 && wall >= fresh->expires) {
    if (good) return *kept_;
    return fail(Code::no_permission, "the keys from " + origin_ + " have expired");
  }
  kept_ = std::move(*fresh);
  return *kept_;
}

Result<AwsCredentials> AwsCredentialChain::fetch() {
  struct Place {
    Result<AwsCredentials> (AwsCredentialChain::*ask)();
    std::string_view name;
  };
  const Place places[] = {{&AwsCredentialChain::from_environment, "the environment"},
                          {&AwsCredentialChain::from_web_identity, "web identity"},
                          {&AwsCredentialChain::from_profile, "the shared files"},
                          {&AwsCredentialChain::from_container, "the container's endpoint"},
                          {&AwsCredentialChain::from_machine, "the machine's endpoint"}};
  for (const Place& place : places) {
    Result<AwsCredentials> found = (this->*place.ask)();
    if (!found && found.error().code() == Code::absent) continue;
    origin_ = place.name;
    // A place that was set up and fails is not passed over: the next one might be somebody else.
    if (!found) return fail(found.error().code(), "keys for AWS from " + origin_ + ": " + found.error().message());
    return found;
  }
  return fail(Code::absent,
              "no keys for AWS: none in the environment, no web identity, none in the shared files, no endpoint of a "
              "container or machine");
}

Result<AwsCredentials> AwsCredentialChain::from_environment() {
  std::string id = variable("AWS_ACCESS_KEY_ID");
  if (id.empty()) return fail(Code::absent, "");
  return checked(std::move(id), variable("AWS_SECRET_ACCESS_KEY"), variable("AWS_SESSION_TOKEN"), 0);
}

Result<AwsCredentials> AwsCredentialChain::from_web_identity() {
  const std::string path = variable("AWS_WEB_IDENTITY_TOKEN_FILE");
  const std::string role = variable("AWS_ROLE_ARN");
  if (path.empty() || role.empty()) return fail(Code::absent, "");
  const Result<std::string> token = world_.file(path);
  if (!token)
    return fail(token.error().code() == Code::absent ? Code::invalid : token.error().code(), path + " cannot be read");
  if (region_.empty()) return fail(Code::invalid, "no region is set");
  std::string session = variable("AWS_ROLE_SESSION_NAME");
  if (session.empty()) session = "accelmon";
  const std::string domain = region_.starts_with("cn-") ? ".amazonaws.com.cn/" : ".amazonaws.com/";
  AwsHttpCall request{"POST",
                      "https://sts." + region_ + domain,
                      {{"Content-Type", "application/x-www-form-urlencoded"}},
                      "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + encoded(role) +
                          "&RoleSessionName=" + encoded(session) + "&WebIdentityToken=" + encoded(trim(*token))};
  const Result<std::string> answer = call(request, "STS");
  if (!answer) return fail(answer.error());
  return parse_aws_credentials_xml(*answer);
}

Result<AwsCredentials> AwsCredentialChain::from_profile() {
  const std::string name = profile_name(world_, profile_);
  Result<std::map<std::string, std::string>> settings = profile_settings(world_, name);
  if (!settings) return fail(settings.error());
  const auto value = [&](const char* key) {
    const auto found = settings->find(key);
    return found == settings->end() ? std::string() : found->second;
  };
  std::string id = value("aws_access_key_id");
  if (id.empty()) {
    for (const char* other : {"role_arn", "credential_process", "sso_session", "sso_start_url", "source_profile"})
      if (!value(other).empty())
        return fail(Code::unsupported, "profile " + printable(name, 60) + " uses " + other +
                                           ", which is not supported; give it keys, or run with a role of the machine");
    if (!profile_.empty())
      return fail(Code::invalid, "profile " + printable(name, 60) + " is not there or has no keys");
    return fail(Code::absent, "");
  }
  return checked(std::move(id), value("aws_secret_access_key"), value("aws_session_token"), 0);
}

Result<AwsCredentials> AwsCredentialChain::from_container() {
  const std::string relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  const std::string full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (relative.empty() && full.empty()) return fail(Code::absent, "");
  if (!relative.empty() && relative.front() != '/')
    return fail(Code::invalid, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash");
  AwsHttpCall request{"GET", relative.empty() ? full : std::string(kContainer) + relative, {}, {}, /*direct=*/true};
  if (!is_allowed_credential_endpoint(request.url))
    return fail(Code::invalid, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor on this machine");
  std::string token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const std::string path = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !path.empty()) {
    const Result<std::string> text = world_.file(path);
    if (!text) return fail(Code::invalid, path + " cannot be read");
    token = trim(*text);
  }
  if (!token.empty()) {
    // "Bearer x" is allowed to have a blank, a line break would be a header of its own.
    if (token.size() > kMaxKey || std::any_of(token.begin(), token.end(), [](char c) { return c < ' ' || c >= 0x7f; }))
      return fail(Code::invalid, "the container's authorization token is malformed");
    request.headers.emplace_back("Authorization", token);
  }
  const Result<std::string> answer = call(request, "the endpoint");
  if (!answer) return fail(answer.error());
  return parse_aws_credentials_json(*answer);
}

Result<AwsCredentials> AwsCredentialChain::from_machine() {
  std::string off = variable("AWS_EC2_METADATA_DISABLED");
  std::transform(off.begin(), off.end(), off.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (off == "true") return fail(Code::absent, "");
  std::string base = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (base.empty()) base = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") == "IPv6" ? kMachineV6 : kMachine;
  while (base.ends_with('/')) base.pop_back();
  Result<AwsHttpReply> token =
      world_.http({"PUT", base + "/latest/api/token", {{"X-aws-ec2-metadata-token-ttl-seconds", "21600"}}, {}, true});
  // Nobody there: this is no machine of theirs.
  if (!token) return fail(Code::absent, "");
  if (token->status != 200 || !is_token(trim(token->body))) return fail(Code::absent, "");
  const Headers with_token{{"X-aws-ec2-metadata-token", std::string(trim(token->body))}};
  const std::string path = base + "/latest/meta-data/iam/security-credentials/";
  Result<AwsHttpReply> roles = world_.http({"GET", path, with_token, {}, true});
  if (roles && roles->status == 404) return fail(Code::absent, "");  // the machine has no role
  if (!roles) return fail(roles.error());
  const std::string_view listed = trim(roles->body);
  const std::string role(trim(listed.substr(0, listed.find('\n'))));
  if (roles->status != 200 || !is_token(role) || role.size() > 256 || role.find_first_of("/?#") != std::string::npos)
    return fail(Code::invalid, "the machine's endpoint names no role");
  const Result<std::string> answer = call({"GET", path + role, with_token, {}, true}, "the machine's endpoint");
  if (!answer) return fail(answer.error());
  return parse_aws_credentials_json(*answer);
}

Result<std::string> AwsCredentialChain::call(const AwsHttpCall& request, std::string_view who) {
  Result<AwsHttpReply> reply = world_.http(request);
  // `absent` would send the search to the next place.
  if (!reply)
    return fail(reply.error().code() == Code::absent ? Code::io : reply.error().code(), reply.error().message());
  if (reply->status == 200) return std::move(reply->body);
  // An answer may repeat what it was asked, a token with it: its number alone is told.
  return fail(reply->status >= 500 ? Code::not_ready : Code::no_permission,
              std::string(who) + " answers with status " + std::to_string(reply->status));
}

std::string aws_region(const AwsWorld& world, const std::string& profile) {
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"})
    if (const auto region = world.variable(name); region && !region->empty()) return *region;
  const Result<std::map<std::string, std::string>> settings = profile_settings(world, profile_name(world, profile));
  if (!settings) return {};
  const auto found = settings->find("region");
  return found == settings->end() ? std::string() : found->second;
}

}  // namespace accelmon

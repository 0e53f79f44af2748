// Where the keys for AWS come from: environment, web identity, profile, container, machine; in the order of AWS' own
// tools. And when they are to be fetched anew.
//
// What touches the world is handed in (AwsWorld): variables, files and HTTP, so that all of it is tested without
// sockets. No key or token is ever part of an error's text. Threads: one at a time; get() may block as long as the HTTP
// that it was given does. Every text from outside is bounded and hostile.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "net/sigv4.h"

namespace accelmon {

struct AwsHttpCall {
  std::string method;
  std::string url;  // "http://169.254.169.254/latest/api/token"
  Headers headers;
  std::string body;
  bool direct = false;  // the container's and the machine's own endpoints: a proxy must not get to see them
};
struct AwsHttpReply {
  unsigned status = 0;
  std::string body;
};

struct AwsWorld {
  std::function<std::optional<std::string>(const char* name)> variable;
  std::function<Result<std::string>(const std::string& path)> file;  // bounded by its maker
  std::function<Result<AwsHttpReply>(const AwsHttpCall& call)>
      http;  // within a second or two: some places do not answer
};

// [profile NAME] sections of the shared config file, [NAME] of the credentials file: key -> value. Lines that are no
// "key = value" of a section (nested settings, comments) are passed over. Errors: invalid, with the line's number, for
// a section that has no end.
using AwsProfiles = std::map<std::string, std::map<std::string, std::string>>;
Result<AwsProfiles> parse_aws_profiles(std::string_view text);

// The JSON of a container's or machine's endpoint: AccessKeyId, SecretAccessKey, Token, Expiration.
Result<AwsCredentials> parse_aws_credentials_json(std::string_view json);
// The XML of STS AssumeRoleWithWebIdentity.
Result<AwsCredentials> parse_aws_credentials_xml(std::string_view xml);
// "2026-03-01T12:00:00Z", also with a fraction: wall time. Years 1970 to 2200.
std::optional<Nanos> parse_aws_time(std::string_view text);

// Whether credentials may be sent to this endpoint, which a variable named: https, or http to this machine or to the
// addresses at which ECS and EKS answer.
bool is_allowed_credential_endpoint(std::string_view url);

class AwsCredentialChain {
 public:
  // `profile`: empty for AWS_PROFILE or "default". `region` signs the one call to STS.
  AwsCredentialChain(AwsWorld world, std::string profile, std::string region)
      : world_(std::move(world)), profile_(std::move(profile)), region_(std::move(region)) {}

  // Keys that are good at `wall`, from the first place that has any. They are fetched anew when less than
  // kRefreshBefore is left; while the old ones are good a failure is passed over and tried again after kRetryAfter.
  // Errors: absent (no place has any; names the places), else what the place said.
  Result<AwsCredentials> get(Nanos wall);
  // The receiver refused them: fetch anew at the next get().
  void invalidate();
  const std::string& origin() const { return origin_; }  // "environment", "profile x", ...: for the log

  static constexpr Nanos kRefreshBefore = 15 * 60 * kSecond;
  static constexpr Nanos kRetryAfter = 60 * kSecond;

 private:
  // Each: keys, or an error; `absent` means that this place was not set up, so the next one is asked.
  Result<AwsCredentials> fetch();
  Result<AwsCredentials> from_environment();
  Result<AwsCredentials> from_web_identity();
  Result<AwsCredentials> from_profile();
  Result<AwsCredentials> from_container();
  Result<AwsCredentials> from_machine();
  Result<std::string> call(const AwsHttpCall& call, std::string_view who);
  std::string variable(const char* name) const;

  AwsWorld world_;
  std::string profile_, region_, origin_;
  std::optional<AwsCredentials> kept_;
  Nanos tried_ = 0;
};

// Region: AWS_REGION, AWS_DEFAULT_REGION, or the profile's. Empty: nobody says.
std::string aws_region(const AwsWorld& world, const std::string& profile);

}  // namespace accelmon

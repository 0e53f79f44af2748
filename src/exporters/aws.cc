#include "exporters/aws.h"

#include <cstdlib>

#include "base/fd.h"
#include "base/text.h"
#include "net/url.h"

namespace accelmon {
namespace {

constexpr size_t kMostFile = 1u << 20;

AwsWorld real_world(PushClient& client) {
  AwsWorld world;
  world.variable = [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  world.file = [](const std::string& path) { return read_file(path, kMostFile); };
  world.http = [&client](const AwsHttpCall& call) -> Result<AwsHttpReply> {
    PushRequest request;
    request.url = call.url;
    request.method = call.method;
    request.body = call.body;
    request.timeout = 2 * kSecond;
    request.direct = call.direct;
    for (const auto& [name, value] : call.headers) request.headers.push_back(name + ": " + value);
    Result<PushReply> reply = client.send(request);
    if (!reply) return fail(reply.error());
    return AwsHttpReply{reply->status, std::move(reply->body)};
  };
  return world;
}

}  // namespace

Result<std::unique_ptr<AwsSigner>> AwsSigner::make(const ExporterSettings& settings, std::string service,
                                                   PushClient& client) {
  if (Status status = sigv4_available(); !status.ok()) return fail(std::move(status));
  const std::string profile = settings.text("profile");
  AwsWorld world = real_world(client);
  std::string region = settings.text("region");
  if (region.empty()) region = aws_region(world, profile);
  if (region.empty())
    return fail(
        settings.wrong("region", "is needed, for example \"eu-central-1\": neither AWS_REGION nor a profile says it"));
  return std::unique_ptr<AwsSigner>(new AwsSigner(std::move(world), profile, std::move(region), std::move(service)));
}

Status AwsSigner::sign(PushRequest& request) {
  const Nanos wall = real_clock().wall();
  const Result<AwsCredentials> credentials = chain_.get(wall);
  if (!credentials) return {credentials.error().code(), "no credentials: " + credentials.error().message()};
  SigV4Request to_sign;
  to_sign.method = request.method;
  to_sign.body = request.body;
  const UrlParts parts = split_url(request.url);
  to_sign.headers.emplace_back("Host", parts.authority);
  to_sign.path = parts.path.empty() ? "/" : parts.path;
  to_sign.query = parts.query;
  for (const std::string& header : request.headers)
    for (const std::string_view name : {"Content-Type", "X-Amz-Target"})
      if (header.size() > name.size() && header.starts_with(name) && header[name.size()] == ':')
        to_sign.headers.emplace_back(name, trim(std::string_view(header).substr(name.size() + 1)));
  SigV4Scope scope;
  scope.region = region_;
  scope.service = service_;
  scope.wall = wall;
  for (const auto& [name, value] : sigv4_sign(to_sign, *credentials, scope))
    request.headers.push_back(name + ": " + value);
  return {};
}

}  // namespace accelmon

// Requests to AWS, signed: where the keys come from on this host, and the headers that they make.
//
// Threads: one. Cost: keys are fetched when they are needed first and before they expire; a signature takes some 10 us
// and a hash of the body.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "exporters/settings.h"
#include "net/aws_credentials.h"
#include "net/push_client.h"

namespace accelmon {

class AwsSigner {
 public:
  // Reads region and profile. `client` must live as long: the machine's and the container's keys are asked for with it.
  // Errors: absent (libcrypto is not installed), invalid (nobody says the region).
  static Result<std::unique_ptr<AwsSigner>> make(const ExporterSettings& settings, std::string service,
                                                 PushClient& client);

  // Adds what signs the request to its headers; Host and Content-Type among those are protected. Errors: no keys.
  Status sign(PushRequest& request);
  void invalidate() { chain_.invalidate(); }  // the far end refused the keys
  const std::string& region() const { return region_; }

 private:
  AwsSigner(AwsWorld world, const std::string& profile, std::string region, std::string service)
      : chain_(std::move(world), profile, region), region_(std::move(region)), service_(std::move(service)) {}
  AwsCredentialChain chain_;
  std::string region_, service_;
};

}  // namespace accelmon

// The places of keys, one by one and in their order, over a world of maps; and no secret in any error.
#include "net/aws_credentials.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace accelmon {
namespace {

constexpr const char* kSecret = "wJalrXUtnFEMI/K7MDENG";
constexpr Nanos kNow = 1772366400 * kSecond;  // 2026-03-01T12:00:00Z

struct Fake {
  std::map<std::string, std::string> variables, files;
  std::map<std::string, AwsHttpReply> answers;  // by "METHOD url"
  std::vector<AwsHttpCall> calls;

  AwsWorld world() {
    return {.variable = [this](const char* name) -> std::optional<std::string> {
              const auto found = variables.find(name);
              return found == variables.end() ? std::nullopt : std::optional(found->second);
            },
            .file = [this](const std::string& path) -> Result<std::string> {
              const auto found = files.find(path);
              if (found == files.end()) return fail(Code::absent, path + ": no such file");
              return found->second;
            },
            .http = [this](const AwsHttpCall& call) -> Result<AwsHttpReply> {
              calls.push_back(call);
              const auto found = answers.find(call.method + " " + call.url);
              if (found == answers.end()) return fail(Code::absent, "nobody listens at " + call.url);
              return found->second;
            }};
  }
  AwsCredentialChain chain(std::string profile = {}) { return {world(), std::move(profile), "eu-central-1"}; }
};

std::string keys(std::string_view expiration, std::string_view id = "ASIA1") {
  return "{\"Code\":\"Success\",\"AccessKeyId\":\"" + std::string(id) + "\",\"SecretAccessKey\":\"" + kSecret +
         "\",\"Token\":\"TOKEN\",\"Expiration\":\"" + std::string(expiration) + "\"}";
}

void answers_as_machine(Fake& fake, const std::string& credentials,
                        const std::string& base = "http://169.254.169.254") {
  fake.answers["PUT " + base + "/latest/api/token"] = {200, "IMDSTOKEN"};
  fake.answers["GET " + base + "/latest/meta-data/iam/security-credentials/"] = {200, "my-role\n"};
  fake.answers["GET " + base + "/latest/meta-data/iam/security-credentials/my-role"] = {200, credentials};
}

TEST(AwsCredentials, Environment) {
  Fake fake;
  fake.variables = {{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", kSecret}, {"AWS_SESSION_TOKEN", "T"}};
  AwsCredentialChain chain = fake.chain();
  const auto found = chain.get(kNow);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->access_key_id, "AKIA1");
  EXPECT_EQ(found->secret_access_key.reveal(), kSecret);
  EXPECT_EQ(found->session_token.reveal(), "T");
  EXPECT_EQ(chain.origin(), "the environment");
  EXPECT_TRUE(fake.calls.empty());
}

TEST(AwsCredentials, HalfAnEnvironmentIsAnErrorAndNoSecretIsTold) {
  Fake fake;
  fake.variables = {{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", std::string(kSecret) + "\r\nX: y"}};
  answers_as_machine(fake, keys("2026-03-01T18:00:00Z"));
  const auto found = fake.chain().get(kNow);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::invalid);
  EXPECT_EQ(found.error().message().find(kSecret), std::string::npos);
  EXPECT_NE(found.error().message().find("the environment"), std::string::npos);
  EXPECT_TRUE(fake.calls.empty()) << "another place might be somebody else";
}

TEST(AwsCredentials, Profiles) {
  Fake fake;
  fake.variables = {{"HOME", "/h"}};
  fake.files["/h/.aws/config"] =
      "# comment\n[default]\nregion = us-west-2\n[profile ml]\nregion=eu-west-1\naws_access_key_id = FROMCONFIG\n"
      "s3 =\n  aws_access_key_id = NESTED\n[profile sso]\nsso_session = x\n";
  fake.files["/h/.aws/credentials"] = std::string("[default]\nAWS_ACCESS_KEY_ID=AKIAD\naws_secret_access_key = ") +
                                      kSecret + "\n[ml]\naws_access_key_id = AKIAM \naws_secret_access_key=a=b\n; end";
  EXPECT_EQ(fake.chain().get(kNow)->access_key_id, "AKIAD");
  const auto ml = fake.chain("ml").get(kNow);
  ASSERT_TRUE(ml) << ml.error().message();
  EXPECT_EQ(ml->access_key_id, "AKIAM") << "the credentials file stands";
  EXPECT_EQ(ml->secret_access_key.reveal(), "a=b");
  EXPECT_EQ(aws_region(fake.world(), "ml"), "eu-west-1");
  EXPECT_EQ(aws_region(fake.world(), ""), "us-west-2");
  fake.variables["AWS_PROFILE"] = "ml";
  EXPECT_EQ(fake.chain().get(kNow)->access_key_id, "AKIAM");
  EXPECT_EQ(aws_region(fake.world(), ""), "eu-west-1");
  const auto sso = fake.chain("sso").get(kNow);
  ASSERT_FALSE(sso);
  EXPECT_EQ(sso.error().code(), Code::unsupported);
  EXPECT_NE(sso.error().message().find("sso_session"), std::string::npos);
  EXPECT_EQ(fake.chain("none").get(kNow).error().code(), Code::invalid) << "it was asked for by name";
  fake.files["/h/.aws/credentials"] = "[default\nx";
  const auto broken = fake.chain().get(kNow);
  EXPECT_NE(broken.error().message().find("/h/.aws/credentials: line 1"), std::string::npos)
      << broken.error().message();
}

TEST(AwsCredentials, WebIdentity) {
  Fake fake;
  fake.variables = {{"AWS_WEB_IDENTITY_TOKEN_FILE", "/token"}, {"AWS_ROLE_ARN", "arn:aws:iam::1:role/x"}};
  fake.files["/token"] = "eyJ+/=\n";
  fake.answers["POST https://sts.eu-central-1.amazonaws.com/"] = {
      200,
      std::string("<AssumeRoleWithWebIdentityResponse><Credentials><AccessKeyId>ASIA2</AccessKeyId><SecretAccessKey>") +
          kSecret +
          "</SecretAccessKey><SessionToken>TOK</SessionToken><Expiration>2026-03-01T13:00:00.123Z</Expiration>"};
  const auto found = fake.chain().get(kNow);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->access_key_id, "ASIA2");
  EXPECT_EQ(found->expires, kNow + 3600 * kSecond);
  EXPECT_EQ(fake.calls.at(0).body,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&"
            "RoleSessionName=accelmon&WebIdentityToken=eyJ%2B%2F%3D");
  fake.answers.clear();
  EXPECT_EQ(fake.chain().get(kNow).error().code(), Code::io);
}

TEST(AwsCredentials, Container) {
  Fake fake;
  fake.variables = {{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"}};
  fake.answers["GET http://169.254.170.2/v2/x"] = {200, keys("2026-03-01T18:00:00Z")};
  EXPECT_EQ(fake.chain().get(kNow)->access_key_id, "ASIA1");
  fake.variables = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"},
                    {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t"}};
  fake.files["/t"] = "eks-token\n";
  fake.answers["GET http://169.254.170.23/v1/credentials"] = {200, keys("2026-03-01T18:00:00Z", "ASIA3")};
  EXPECT_EQ(fake.chain().get(kNow)->access_key_id, "ASIA3");
  EXPECT_EQ(fake.calls.back().headers, (Headers{{"Authorization", "eks-token"}}));
  fake.files["/t"] = "eks\r\nHost: evil";
  EXPECT_EQ(fake.chain().get(kNow).error().code(), Code::invalid);
  fake.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://example.com/";
  EXPECT_EQ(fake.chain().get(kNow).error().code(), Code::invalid);
  for (const char* good :
       {"https://example.com/x", "http://localhost:8080/", "http://[::1]/", "http://[fd00:ec2::23]/v1"})
    EXPECT_TRUE(is_allowed_credential_endpoint(good)) << good;
  for (const char* bad :
       {"http://127.0.0.1.evil.com/", "http://127.0.0.1@evil.com/", "ftp://127.0.0.1/", "", "http://"})
    EXPECT_FALSE(is_allowed_credential_endpoint(bad)) << bad;
}

TEST(AwsCredentials, Machine) {
  Fake fake;
  answers_as_machine(fake, keys("2026-03-01T18:00:00Z"));
  AwsCredentialChain chain = fake.chain();
  const auto found = chain.get(kNow);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->session_token.reveal(), "TOKEN");
  EXPECT_EQ(chain.origin(), "the machine's endpoint");
  ASSERT_EQ(fake.calls.size(), 3u);
  EXPECT_EQ(fake.calls[0].headers, (Headers{{"X-aws-ec2-metadata-token-ttl-seconds", "21600"}}));
  EXPECT_EQ(fake.calls[2].headers, (Headers{{"X-aws-ec2-metadata-token", "IMDSTOKEN"}}));
  fake.variables["AWS_EC2_METADATA_DISABLED"] = "True";
  EXPECT_EQ(fake.chain().get(kNow).error().code(), Code::absent);
  EXPECT_EQ(fake.calls.size(), 3u);
  fake.variables = {{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6"}};
  answers_as_machine(fake, keys("2026-03-01T18:00:00Z", "ASIA6"), "http://[fd00:ec2::254]");
  EXPECT_EQ(fake.chain().get(kNow)->access_key_id, "ASIA6");
  fake.answers["GET http://[fd00:ec2::254]/latest/meta-data/iam/security-credentials/"] = {200, "../../x?"};
  EXPECT_EQ(fake.chain().get(kNow).error().code(), Code::invalid);
}

TEST(AwsCredentials, NowhereNamesThePlaces) {
  Fake fake;
  const auto found = fake.chain().get(kNow);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::absent);
  EXPECT_NE(found.error().message().find("environment"), std::string::npos);
}

TEST(AwsCredentials, Refresh) {
  Fake fake;
  answers_as_machine(fake, keys("2026-03-01T13:00:00Z", "OLD"));
  AwsCredentialChain chain = fake.chain();
  const Nanos end = kNow + 3600 * kSecond;
  const auto id = [&](Nanos wall) {
    const auto found = chain.get(wall);
    return found ? found->access_key_id : std::string(to_string(found.error().code()));
  };
  EXPECT_EQ(id(kNow), "OLD");
  EXPECT_EQ(id(end - AwsCredentialChain::kRefreshBefore - kSecond), "OLD");
  EXPECT_EQ(fake.calls.size(), 3u) << "nobody is asked while they are good for long";
  // It is time, and the endpoint fails: the old ones go on, and it is not asked again at once.
  const auto answers = std::exchange(fake.answers, {});
  const Nanos due = end - AwsCredentialChain::kRefreshBefore;
  EXPECT_EQ(id(due), "OLD");
  const size_t asked = fake.calls.size();
  EXPECT_EQ(id(due + kSecond), "OLD");
  EXPECT_EQ(fake.calls.size(), asked);
  EXPECT_EQ(id(due + AwsCredentialChain::kRetryAfter), "OLD");
  EXPECT_GT(fake.calls.size(), asked);
  EXPECT_EQ(id(end), "absent") << "what has expired is not used";
  fake.answers = answers;
  EXPECT_EQ(id(end), "no_permission") << "it gives expired ones";
  answers_as_machine(fake, keys("2026-03-01T20:00:00Z", "NEW"));
  EXPECT_EQ(id(end), "NEW");
  answers_as_machine(fake, keys("2026-03-01T20:00:00Z", "NEWER"));
  EXPECT_EQ(id(end), "NEW");
  chain.invalidate();
  EXPECT_EQ(id(end), "NEWER");
}

TEST(AwsCredentials, BrokenAnswers) {
  for (const char* json : {"", "[]", "{", "{}", "{\"AccessKeyId\":1}", "{\"AccessKeyId\":\"A\"}",
                           "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"b c\"}",
                           "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"b\",\"Expiration\":\"tomorrow\"}",
                           "{\"Code\":\"Failed\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"b\"}"})
    EXPECT_FALSE(parse_aws_credentials_json(json)) << json;
  EXPECT_TRUE(parse_aws_credentials_json("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"b\"}"));
  EXPECT_FALSE(parse_aws_credentials_json(std::string(100'000, '[')));
  EXPECT_FALSE(parse_aws_credentials_xml("<Expiration>2026-03-01T13:00:00Z</Expiration><AccessKeyId>A"));
}

TEST(AwsCredentials, Times) {
  EXPECT_EQ(parse_aws_time("2026-03-01T12:00:00Z"), kNow);
  EXPECT_EQ(parse_aws_time("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_aws_time("2000-02-29T00:00:00.5Z"), 951782400 * kSecond);
  for (const char* bad :
       {"", "2026-03-01T12:00:00", "2026-13-01T12:00:00Z", "1969-12-31T23:59:59Z", "2026-03-01T12:00:00+01",
        "2026-03-01T12:00:00.Zx", "9999-03-01T12:00:00Z", "20260301T120000Z"})
    EXPECT_EQ(parse_aws_time(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace accelmon

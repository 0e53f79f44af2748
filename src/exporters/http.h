// What destinations that are spoken to over HTTP have in common: the client, who we are to it, and what its answers
// mean.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "encode/gzip.h"
#include "exporters/aws.h"
#include "exporters/destination.h"
#include "net/push_client.h"

namespace accelmon {

// A URL without what may be secret: scheme, host and port, and the path where it is one that such servers are known by.
// Others may hold a token and are "/..."; user, password and query are left out.
std::string shown_url(std::string_view url);

// Overwrites with '*' what the answer repeats of the request: its credentials, headers and what shown_url() hides of
// its URL. `more`: further secrets. Sizes stay, so that what is binary can still be read.
void hide_secrets(const PushRequest& request, std::vector<std::string> more, PushReply& reply);

class HttpDestination {
 public:
  // Reads url, headers, headers_file, timeout, compression, the files of certificates and of passwords, and opens the
  // client. `defaults`: the header that says what a body is, and others.
  static Result<HttpDestination> make(const ExporterSettings& settings, const Identity& identity,
                                      std::vector<std::string> defaults, std::string_view example_url);

  // Posts `body`. The verdict is that of the status alone; `reply` is the answer, where there was one.
  Sent post(std::string_view body, PushReply& reply);
  void interrupt() { client_->interrupt(); }
  const std::string& url() const { return url_; }
  std::string shown() const { return shown_url(url_); }
  void set_header(std::string_view name, std::string_view value);
  // From now on every request is signed for this service of AWS. Errors as AwsSigner::make.
  Status sign_for(const ExporterSettings& settings, std::string service);
  bool gzip = false;   // compress bodies
  bool http2 = false;  // gRPC
  std::string path;    // in place of the URL's own; empty: that

 private:
  HttpDestination() = default;
  // Passwords, tokens and secret headers lie in files, which are read for every request: they may be renewed at any
  // time.
  Status authorize(std::vector<std::string>& headers, std::string& password) const;
  Status add_secret_headers(std::vector<std::string>& headers) const;

  std::string name_, url_, unix_socket_;
  std::vector<std::string> headers_;
  std::string username_, password_file_, token_file_, headers_file_;
  Nanos timeout_ = 10 * kSecond;
  std::unique_ptr<PushClient> client_;
  std::unique_ptr<AwsSigner> signer_;  // nullptr: requests are not signed
  std::unique_ptr<GzipEncoder> compressor_;
  std::string compressed_;
};

// The keys of the configuration that HttpDestination reads.
#define ACCELMON_HTTP_KEYS                                                                                       \
  "url headers headers_file timeout username password_file bearer_token_file ca_file cert_file key_file verify " \
  "unix_socket"

}  // namespace accelmon

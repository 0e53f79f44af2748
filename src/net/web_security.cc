#include "net/web_security.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>

#include "base/fd.h"
#include "base/text.h"
#include "net/authenticator.h"

namespace accelmon {
namespace {

constexpr size_t kMaxFile = 1u << 20;
constexpr Nanos kLookEvery = kSecond;
// A file that changed so shortly before it was read may change again without its times telling.
constexpr Nanos kRacy = 2 * kSecond;
// Handshakes of one client: what a scraper or a browser needs many times over.
constexpr Nanos kConnectionInterval = 50 * kMillisecond;
constexpr uint32_t kConnectionBurst = 64;
// Passwords and tokens that are wrong, of one client.
constexpr Nanos kAttemptInterval = 3 * kSecond;
constexpr uint32_t kAttemptBurst = 10;
// A password at cost 10 takes 60 ms of the server's thread; all clients together get a tenth of it.
constexpr Nanos kCheckTime = 60 * kMillisecond;
constexpr unsigned kCheckCost = 10;
constexpr unsigned kMaxCost = 15;  // two seconds

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// "Host.Example:19400" -> "host.example"; "[::1]:19400" -> "::1".
std::string host_name(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    host = end == std::string_view::npos ? std::string_view() : host.substr(1, end - 1);
  } else if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
    host = host.substr(0, colon);
  }
  if (host.ends_with('.')) host.remove_suffix(1);
  std::string out(host);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

struct FileStamp {
  std::string path;
  bool there = false;
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  Nanos modified = 0;
  Nanos changed = 0;
  bool operator==(const FileStamp&) const = default;

  void set(const struct stat& about) {
    there = true;
    device = about.st_dev;
    inode = about.st_ino;
    size = about.st_size;
    modified = about.st_mtim.tv_sec * kSecond + about.st_mtim.tv_nsec;
    changed = about.st_ctim.tv_sec * kSecond + about.st_ctim.tv_nsec;
  }
};

FileStamp stamp_of(const std::string& path) {
  FileStamp stamp;
  stamp.path = path;
  struct stat about {};
  if (::stat(path.c_str(), &about) == 0) stamp.set(about);
  return stamp;
}

// The files that were read, and what they looked like then.
class FileSet {
 public:
  Result<std::string> read(const std::string& path, bool secret) {
    const std::string name = printable(path, 4096);
    FileStamp& stamp = stamps_.emplace_back();
    stamp.path = path;
    // Not blocking: opening a pipe that nobody writes to must not hang the server.
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat about {};
    if (!fd.valid() || ::fstat(fd.get(), &about) != 0) return fail(Status::from_errno(errno, name));
    stamp.set(about);
    if (!S_ISREG(about.st_mode)) return fail(Code::invalid, name + ": is not a regular file");
    if (about.st_size > static_cast<off_t>(kMaxFile)) return fail(Code::invalid, name + ": is larger than 1 MiB");
    if (secret && (about.st_mode & S_IRWXO) != 0)
      warnings_.push_back(name + " holds secrets and everybody on this host may read it; chmod o= it");
    std::string text(static_cast<size_t>(about.st_size), '\0');
    size_t size = 0;
    while (size < text.size()) {
      const ssize_t n = ::read(fd.get(), text.data() + size, text.size() - size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Status::from_errno(errno, name));
      if (n == 0) break;
      size += static_cast<size_t>(n);
    }
    text.resize(size);
    return text;
  }

  bool changed(Nanos wall) const {
    return std::any_of(stamps_.begin(), stamps_.end(), [&](const FileStamp& one) {
      return stamp_of(one.path) != one || (racy(one) && wall > one.changed + kRacy);
    });
  }
  void set_read_at(Nanos wall) { read_at_ = wall; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  bool empty() const { return stamps_.empty(); }

 private:
  bool racy(const FileStamp& one) const {
    return one.there && one.changed <= read_at_ && read_at_ < one.changed + kRacy;
  }

  std::vector<FileStamp> stamps_;
  std::vector<std::string> warnings_;
  Nanos read_at_ = 0;
};

}  // namespace

bool is_loopback_host(std::string_view host) {
  const std::string name = host_name(host);
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  std::array<unsigned char, 16> bytes{};
  if (::inet_pton(AF_INET, name.c_str(), bytes.data()) == 1) return bytes[0] == 127;
  if (::inet_pton(AF_INET6, name.c_str(), bytes.data()) != 1) return false;
  const bool zeros = std::all_of(bytes.begin(), bytes.begin() + 10, [](unsigned char b) { return b == 0; });
  if (!zeros) return false;
  if (bytes[10] == 0xff && bytes[11] == 0xff) return bytes[12] == 127;
  return bytes[10] == 0 && bytes[11] == 0 && bytes[12] == 0 && bytes[13] == 0 && bytes[14] == 0 && bytes[15] == 1;
}

struct WebSecurity::Policy {
  uint64_t generation = 0;
  WebConfig config;
  std::shared_ptr<const TlsContext> tls;
  std::unique_ptr<Authenticator> authenticator;
  FileSet files;
  unsigned cost = 0;  // of the dearest password

  bool identifies_clients() const {
    return authenticator->required() ||
           (config.tls &&
            (config.tls->client_auth == ClientAuth::require_and_verify ||
             (config.tls->client_auth == ClientAuth::require_any && !config.tls->client_allowed_sans.empty())));
  }
};

WebSecurity::WebSecurity(WebSecurityOptions options) : options_(std::move(options)) {
  for (const std::string& host : options_.hosts) {
    if (host == "*") any_host_ = true;
    hosts_.push_back(host_name(host));
  }
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0') {
    hosts_.push_back(host_name(name));
    hosts_.push_back(hosts_.back().substr(0, hosts_.back().find('.')));
  }
  connections_ = std::make_unique<RateLimiter>(kConnectionInterval, kConnectionBurst);
}

WebSecurity::~WebSecurity() = default;

Result<std::unique_ptr<WebSecurity>> WebSecurity::load(WebSecurityOptions options) {
  std::unique_ptr<WebSecurity> made(new WebSecurity(std::move(options)));
  Result<std::shared_ptr<Policy>> policy = made->read_files();
  if (!policy) return fail(policy.error());
  if (Status status = made->take(std::move(*policy)); !status.ok()) return fail(std::move(status));
  return made;
}

Result<std::shared_ptr<WebSecurity::Policy>> WebSecurity::read_files() const {
  static std::atomic<uint64_t> generations{0};
  auto policy = std::make_shared<Policy>();
  policy->generation = ++generations;
  policy->files.set_read_at(real_clock().wall());
  if (!options_.web_config.empty()) {
    const Result<std::string> text = policy->files.read(options_.web_config, false);
    if (!text) return fail(text.error());
    Result<WebConfig> config = parse_web_config(*text, options_.web_config);
    if (!config) return fail(config.error());
    policy->config = std::move(*config);
  }
  if (policy->config.tls) {
    const TlsConfig& tls = *policy->config.tls;
    TlsMaterial material{tls.cert, tls.key, tls.client_ca};
    const auto get = [&](const std::string& path, bool secret, std::string& into) -> Status {
      if (path.empty()) return {};
      Result<std::string> text = policy->files.read(path, secret);
      if (!text) return {text.error().code(), tls.where + ": " + text.error().message()};
      into = std::move(*text);
      return {};
    };
    std::string key;
    if (Status status = get(tls.cert_file, false, material.cert); !status.ok()) return fail(std::move(status));
    if (Status status = get(tls.key_file, true, key); !status.ok()) return fail(std::move(status));
    if (!tls.key_file.empty()) material.key = Secret(std::move(key));
    if (Status status = get(tls.client_ca_file, false, material.client_ca); !status.ok())
      return fail(std::move(status));
    Result<std::shared_ptr<const TlsContext>> context = TlsContext::make(tls, material);
    if (!context) return fail(context.error());
    policy->tls = std::move(*context);
  }
  std::vector<Secret> tokens;
  if (!options_.bearer_tokens_file.empty()) {
    Result<std::string> text = policy->files.read(options_.bearer_tokens_file, true);
    if (!text) return fail(text.error());
    const Secret kept(std::move(*text));
    Result<std::vector<Secret>> parsed = parse_bearer_tokens(kept.reveal(), options_.bearer_tokens_file);
    if (!parsed) return fail(parsed.error());
    tokens = std::move(*parsed);
  }
  for (const auto& [name, hash] : policy->config.users)
    policy->cost = std::max(policy->cost, bcrypt_cost(hash.reveal()).value_or(0));
  if (policy->cost > kMaxCost)
    return fail(Code::invalid, printable(options_.web_config, 4096) +
                                   ": a password in basic_auth_users is hashed at cost " +
                                   std::to_string(policy->cost) +
                                   "; checking it would stop the server for many seconds. "
                                   "Hash it at cost 10 to 12");
  Result<std::unique_ptr<Authenticator>> authenticator = Authenticator::make(policy->config.users, tokens);
  if (!authenticator) return fail(authenticator.error());
  policy->authenticator = std::move(*authenticator);
  return policy;
}

Status WebSecurity::take(std::shared_ptr<Policy> fresh) {
  {
    const std::lock_guard lock(mutex_);
    if (policy_ != nullptr && policy_->tls != nullptr && fresh->tls == nullptr)
      return {Code::invalid, printable(options_.web_config, 4096) +
                                 ": has no tls_server_config any more; it takes a restart to serve without TLS"};
    if (policy_ != nullptr && policy_->identifies_clients() && !fresh->identifies_clients())
      return {Code::invalid, printable(options_.web_config, 4096) +
                                 ": has neither users nor client certificates any more; it takes a restart to serve "
                                 "everybody"};
    policy_ = fresh;
  }
  for (const std::string& warning : fresh->files.warnings()) log(LogLevel::warn, "http", warning);
  if (fresh->tls != nullptr && fresh->tls->expires_at() != 0) {
    const int64_t left = fresh->tls->expires_at() - real_clock().wall() / kSecond;
    const std::string name = fresh->config.tls->cert_file.empty() ? "the server's certificate"
                                                                  : printable(fresh->config.tls->cert_file, 4096);
    if (left < 0)
      log(LogLevel::warn, "http", name + " has expired; clients will refuse it");
    else if (left < 7 * 86400)
      log(LogLevel::warn, "http", name + " expires in " + std::to_string(left / 3600) + " hours");
  }
  return {};
}

std::shared_ptr<WebSecurity::Policy> WebSecurity::policy() const {
  const std::lock_guard lock(mutex_);
  return policy_;
}

bool WebSecurity::tls() const {
  return policy()->tls != nullptr;
}

int64_t WebSecurity::certificate_expires_at() const {
  const std::shared_ptr<Policy> now = policy();
  return now->tls != nullptr ? now->tls->expires_at() : 0;
}

bool WebSecurity::authenticates() const {
  return policy()->identifies_clients();
}

uint64_t WebSecurity::generation() const {
  return policy()->generation;
}

Status WebSecurity::reload() {
  if (policy()->files.empty()) return {};
  Result<std::shared_ptr<Policy>> fresh = read_files();
  if (!fresh) return fresh.error();
  return take(std::move(*fresh));
}

void WebSecurity::refresh(Nanos now) {
  if (now < looked_at_ + kLookEvery) return;
  looked_at_ = now;
  const std::shared_ptr<Policy> current = policy();
  if (current->files.empty() || !current->files.changed(real_clock().wall())) return;
  if (Status status = reload(); !status.ok())
    troubles_.log(LogLevel::error, "http", status.message() + ". Still serving with the old files", now);
  else
    log(LogLevel::info, "http", "certificates, users and tokens read again");
}

bool WebSecurity::may_connect(const ClientKey& client, Nanos now) {
  return !tls() || connections_->take(client, now);
}

std::unique_ptr<TlsSession> WebSecurity::session(int fd) {
  const std::shared_ptr<Policy> current = policy();
  return current->tls == nullptr ? nullptr : current->tls->session(fd);
}

bool WebSecurity::host_known(std::string_view host) const {
  if (is_loopback_host(host)) return true;
  const std::string name = host_name(host);
  return !name.empty() && std::find(hosts_.begin(), hosts_.end(), name) != hosts_.end();
}

std::optional<HttpResponse> WebSecurity::refuse(const HttpRequest& request, const ClientKey& client, Nanos now) {
  if (request.local) return {};
  refresh(now);
  const std::shared_ptr<Policy> current = policy();
  const auto busy = [](const RateLimiter& limiter, std::string text) {
    HttpResponse response = HttpResponse::text(429, std::move(text));
    response.headers.emplace_back("Retry-After", std::to_string(limiter.retry_after()));
    return response;
  };

  Nanos interval = current->config.rate_interval;
  uint32_t burst = current->config.rate_burst;
  if (interval == 0 && options_.requests_per_second != 0) {
    interval = kSecond / options_.requests_per_second;
    burst = 2 * options_.requests_per_second;
  }
  if (requests_ == nullptr || interval != requests_interval_ || burst != requests_burst_) {
    requests_ = std::make_unique<RateLimiter>(interval, burst);
    requests_interval_ = interval;
    requests_burst_ = burst;
  }
  if (!requests_->take(client, now)) return busy(*requests_, "too many requests from your address; try again later\n");

  // A page in a browser on this host may have its own name resolve to this host. Who must show who it is needs no such
  // check, and neither does a server for the network, whose names we cannot know, unless it was told them.
  const bool check_host =
      options_.check_host && !any_host_ && ((loopback_ && !current->identifies_clients()) || !options_.hosts.empty());
  if (check_host) {
    for (const std::string_view host : {request.host, request.authority})
      if (!host.empty() && !host_known(host))
        return HttpResponse::text(
            421, "this server is not known by that name; listen.hosts in the configuration adds names\n");
  }

  const std::string_view path = request.path;
  if (path == "/-/healthy" || path == "/healthz" || path == "/health" || path == "/-/ready" || path == "/readyz")
    return {};
  Authenticator& authenticator = *current->authenticator;
  if (!authenticator.required()) return {};
  if (attempts_ == nullptr || current->cost != attempts_cost_) {
    const Nanos check = current->cost > kCheckCost ? kCheckTime << (current->cost - kCheckCost) : kCheckTime;
    if (attempts_ == nullptr) attempts_ = std::make_unique<RateLimiter>(kAttemptInterval, kAttemptBurst);
    all_attempts_ = std::make_unique<RateLimiter>(10 * check, current->cost > kCheckCost ? 4 : 10, 4);
    attempts_cost_ = current->cost;
  }
  switch (authenticator.check(request.authorization, client, now, *attempts_, *all_attempts_)) {
    case Authenticator::Verdict::granted:
      return {};
    case Authenticator::Verdict::too_many:
      return busy(*attempts_, "too many wrong passwords; try again later\n");
    case Authenticator::Verdict::denied:
      break;
  }
  HttpResponse response = HttpResponse::text(401, "say who you are: this server wants a password or a token\n");
  for (std::string& challenge : authenticator.challenges())
    response.headers.emplace_back("WWW-Authenticate", std::move(challenge));
  return response;
}

void WebSecurity::add_headers(HttpResponse& response) const {
  const std::shared_ptr<Policy> current = policy();
  for (const auto& [name, value] : current->config.headers) {
    // What the operator wrote wins over what a page says for itself.
    std::erase_if(response.headers,
                  [&, wanted = std::string_view(name)](const auto& one) { return one.first == wanted; });
    response.headers.emplace_back(name, value);
  }
}

void WebSecurity::log_handshake(const std::string& trouble, Nanos now) {
  if (handshake_logged_at_ != 0 && now < handshake_logged_at_ + 10 * kSecond) {
    ++handshakes_held_back_;
    return;
  }
  handshake_logged_at_ = now;
  const uint64_t others = std::exchange(handshakes_held_back_, 0);
  log(LogLevel::info, "http",
      "a client's TLS handshake failed: " + trouble +
          (others == 0 ? "" : " (and " + std::to_string(others) + " others before)"));
}

}  // namespace accelmon

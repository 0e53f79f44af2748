// The server: one thread and one epoll loop (Boost.Asio's), which tells connections when they can go on. One timer for
// all of them stands at the earliest deadline.
// One thread runs all handlers, so there is nothing to fence; and GCC's thread sanitizer does not know fences.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK

#include "net/http_server.h"
#include "base/instrumented.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <exception>
#include <new>
#include <optional>

#include "base/log.h"
#include "base/text.h"
#include "net/http_connection.h"
#include "net/http_response.h"
#include "net/listener.h"
#include "net/web_security.h"

namespace accelmon {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using SteadyClock = std::chrono::steady_clock;
using asio::posix::stream_descriptor;

#ifdef ACCELMON_INSTRUMENTED
constexpr size_t kStackBytes = 2u << 20;  // instrumented frames are several times larger
#else
constexpr size_t kStackBytes = 256u << 10;
#endif
constexpr size_t kMaxRefusals = 16;  // connections beyond the bound that are told so at the same time
constexpr auto kAcceptPause = std::chrono::milliseconds(200);

class Server;

// A connection whose readiness Asio tells.
class Session final : public HttpConnection, public std::enable_shared_from_this<Session> {
 public:
  Session(Server& server, UniqueFd fd, const Peer& peer, std::unique_ptr<TlsSession> tls, const ClientKey& client);
  bool assign();    // hands the descriptor to Asio
  size_t slot = 0;  // in the server's list

 private:
  void wait_for(Readiness what) override;
  void watch(TimePoint deadline) override;
  void awaiting(bool on) override;
  void dropped() override;
  void gone() override;
  HttpResponse handle(const HttpRequest& request) override;
  void count(unsigned status) override;
  void handshake_failed(const std::string& trouble) override;
  bool outdated() override;
  std::string_view date() override;

  Server& server_;
  const ClientKey client_;
  const uint64_t generation_;
  UniqueFd unassigned_;
  stream_descriptor stream_;
};

class Server final : public HttpServer {
 public:
  Server(HttpServerOptions options, HttpHandler handler)
      : options_(std::move(options)), handler_(std::move(handler)), io_(1), timer_(io_) {
    options_.max_connections = std::max(1u, options_.max_connections);
    connections_.reserve(options_.max_connections + kMaxRefusals);
  }
  ~Server() override;

  Status open();
  std::string address() const override { return address_; }
  HttpCounters counters() const override;
  bool authenticates() const override { return security_->authenticates(); }
  bool tls() const override { return security_->tls(); }
  Status reload_security() override { return security_->reload(); }
  void wake() override;

  // ---- for the connections; in the server's thread ----
  asio::io_context& io() { return io_; }
  const HttpServerOptions& options() const { return options_; }
  WebSecurity& security() { return *security_; }
  HttpResponse handle(const HttpRequest& request, const ClientKey& client);
  void count(unsigned status);
  void handshake_failed(const std::string& trouble);
  void arm(TimePoint deadline);
  void remove(Session& session);
  void add_awaiting(int by) { awaiting_.fetch_add(by, std::memory_order_seq_cst); }
  void count_dropped() { dropped_.fetch_add(1, std::memory_order_relaxed); }
  std::string_view date() { return date_.at(std::time(nullptr)); }

 private:
  struct Listener {
    Listener(asio::io_context& io, int fd, bool is_local) : descriptor(io, fd), pause(io), local(is_local) {}
    stream_descriptor descriptor;
    asio::steady_timer pause;  // after an accept that failed
    bool local;
  };

  static void* thread_main(void* self);
  Status start_thread();
  void wait_for_clients(Listener& listener);
  void accept_all(Listener& listener);
  void admit(UniqueFd fd, bool local, const ClientKey& client);
  HttpResponse ask_handler(const HttpRequest& request);
  bool evict();
  void wake_all();
  void check_deadlines();

  HttpServerOptions options_;
  HttpHandler handler_;
  std::unique_ptr<WebSecurity> security_;
  asio::io_context io_;
  asio::steady_timer timer_;
  UnixListener unix_;
  std::unique_ptr<Listener> listeners_[2];
  std::vector<std::shared_ptr<Session>> connections_;
  size_t refusals_ = 0;  // of them, beyond the bound
  TimePoint armed_ = TimePoint::max();
  HttpDate date_;
  Repeated troubles_;
  std::string address_;
  pthread_t thread_{};
  bool running_ = false;
  std::atomic<uint64_t> ok_{0}, client_error_{0}, server_error_{0}, open_{0}, evicted_{0}, handshakes_failed_{0},
      dropped_{0};
  std::atomic<int> awaiting_{0};  // connections that want to be woken
  std::atomic<bool> wake_posted_{false};
};

// ---- session ----

Session::Session(Server& server, UniqueFd fd, const Peer& peer, std::unique_ptr<TlsSession> tls,
                 const ClientKey& client)
    : HttpConnection(server.options(), peer, std::move(tls)),
      server_(server),
      client_(client),
      generation_(server.security().generation()),
      unassigned_(std::move(fd)),
      stream_(server.io()) {}

bool Session::assign() {
  error_code error;
  stream_.assign(unassigned_.get(), error);
  if (error) return false;
  unassigned_.release();
  return true;
}

// Only who waits needs the timer: a request that arrives whole and whose response leaves at once costs no timer call.
void Session::wait_for(Readiness what) {
  const auto type = what == Readiness::readable ? stream_descriptor::wait_read : stream_descriptor::wait_write;
  stream_.async_wait(type, [self = shared_from_this(), what](const error_code& error) {
    if (self->closed()) return;
    if (error)
      self->close();
    else
      self->ready(what);
  });
}

void Session::watch(TimePoint deadline) {
  server_.arm(deadline);
}

void Session::awaiting(bool on) {
  server_.add_awaiting(on ? 1 : -1);
}

void Session::dropped() {
  server_.count_dropped();
}

void Session::gone() {
  error_code ignored;
  stream_.close(ignored);  // a wait that is under way ends with an error and lets go of this object
  server_.remove(*this);
}

HttpResponse Session::handle(const HttpRequest& request) {
  return server_.handle(request, client_);
}
void Session::handshake_failed(const std::string& trouble) {
  server_.handshake_failed(trouble);
}
bool Session::outdated() {
  return server_.security().generation() != generation_;
}
void Session::count(unsigned status) {
  server_.count(status);
}
std::string_view Session::date() {
  return server_.date();
}

// ---- server ----

Server::~Server() {
  if (running_) {
    io_.stop();
    ::pthread_join(thread_, nullptr);
  }
  while (!connections_.empty()) connections_.back()->close();
  // Waits that have not run yet hold connections; they go, unrun, with io_, which outlives the other members.
}

Status Server::open() {
  if (options_.address.empty() && options_.socket_path.empty())
    return Status(Code::invalid, "the HTTP server has neither an address nor a socket to listen on");
  Result<std::unique_ptr<WebSecurity>> security = WebSecurity::load(options_.security);
  if (!security) return security.error();
  security_ = std::move(*security);
  if (!options_.address.empty()) {
    Result<TcpListener> tcp = listen_tcp(options_.address);
    if (!tcp) return tcp.error();
    address_ = std::move(tcp->address);
    security_->set_loopback(is_loopback_host(address_));
    listeners_[0] = std::make_unique<Listener>(io_, tcp->fd.get(), false);
    tcp->fd.release();
  }
  if (!options_.socket_path.empty()) {
    Result<UnixListener> local = listen_unix(options_.socket_path);
    if (!local) return local.error();
    unix_ = std::move(*local);
    const int copy = ::fcntl(unix_.fd(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return Status::from_errno(errno, "unix:" + options_.socket_path);
    listeners_[1] = std::make_unique<Listener>(io_, copy, true);
  }
  for (const auto& listener : listeners_)
    if (listener != nullptr) wait_for_clients(*listener);
  return start_thread();
}

// A thread of its own with a small stack and all signals blocked: they are the main thread's.
Status Server::start_thread() {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStackBytes);
  const int error = ::pthread_create(&thread_, &attributes, &Server::thread_main, this);
  ::pthread_attr_destroy(&attributes);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return Status::from_errno(error, "cannot start the HTTP server's thread");
  running_ = true;
  ::pthread_setname_np(thread_, "http");
  return {};
}

void* Server::thread_main(void* self) {
  auto& server = *static_cast<Server*>(self);
  for (;;) {
    try {
      server.io_.run();
      return nullptr;
    } catch (const std::exception& error) {
      // For lack of memory, or by a mistake of ours: that step is lost, the server goes on.
      server.troubles_.log(LogLevel::error, "http", "unexpected: " + printable(error.what()), real_clock().monotonic());
    }
  }
}

HttpCounters Server::counters() const {
  HttpCounters out;
  out.ok = ok_.load(std::memory_order_relaxed);
  out.client_error = client_error_.load(std::memory_order_relaxed);
  out.server_error = server_error_.load(std::memory_order_relaxed);
  out.open = open_.load(std::memory_order_relaxed);
  out.handshakes_failed = handshakes_failed_.load(std::memory_order_relaxed);
  out.certificate_expires_at = security_->certificate_expires_at();
  out.evicted = evicted_.load(std::memory_order_relaxed);
  out.dropped = dropped_.load(std::memory_order_relaxed);
  return out;
}

void Server::wake() {
  if (awaiting_.load(std::memory_order_seq_cst) == 0 || wake_posted_.exchange(true)) return;
  try {
    asio::post(io_, [this] { wake_all(); });
  } catch (const std::exception&) {  // no memory: the next one comes
    wake_posted_ = false;
  }
}

void Server::wake_all() {
  wake_posted_ = false;
  // Connections that close leave the list.
  std::vector<std::shared_ptr<Session>> wanted;
  for (const auto& connection : connections_)
    if (connection->awaits()) wanted.push_back(connection);
  for (const auto& connection : wanted)
    if (!connection->closed()) connection->woken();
}

void Server::count(unsigned status) {
  auto& counter = status < 400 ? ok_ : status < 500 ? client_error_ : server_error_;
  counter.fetch_add(1, std::memory_order_relaxed);
}

void Server::handshake_failed(const std::string& trouble) {
  handshakes_failed_.fetch_add(1, std::memory_order_relaxed);
  security_->log_handshake(trouble, real_clock().monotonic());
}

HttpResponse Server::handle(const HttpRequest& request, const ClientKey& client) {
  if (request.local) return ask_handler(request);
  std::optional<HttpResponse> refusal = security_->refuse(request, client, real_clock().monotonic());
  HttpResponse response = refusal ? std::move(*refusal) : ask_handler(request);
  security_->add_headers(response);
  return response;
}

HttpResponse Server::ask_handler(const HttpRequest& request) {
  try {
    return handler_(request);
  } catch (const std::exception& error) {
    troubles_.log(LogLevel::error, "http", printable(request.path, 80) + ": " + printable(error.what()),
                  real_clock().monotonic());
  } catch (...) {
    troubles_.log(LogLevel::error, "http", printable(request.path, 80) + ": unknown exception",
                  real_clock().monotonic());
  }
  return HttpResponse::text(500, "internal error; the log has more\n");
}

void Server::wait_for_clients(Listener& listener) {
  listener.descriptor.async_wait(stream_descriptor::wait_read, [this, &listener](const error_code& error) {
    if (error != asio::error::operation_aborted) accept_all(listener);
  });
}

void Server::accept_all(Listener& listener) {
  // Not for ever: connections that are open want their turn too.
  for (int i = 0; i < 64; ++i) {
    SocketAddress from;
    from.size = sizeof from.storage;
    UniqueFd fd(::accept4(listener.descriptor.native_handle(), from.get(), &from.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.valid()) {
      try {
        admit(std::move(fd), listener.local, client_key(from));
      } catch (const std::bad_alloc&) {  // this client is turned away, the listener stays
      }
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    // No descriptors or no memory: the client stays in the kernel's queue, and the readiness would wake us at once
    // again.
    troubles_.log(LogLevel::warn, "http", Status::from_errno(errno, "cannot accept a connection").message(),
                  real_clock().monotonic());
    evict();
    listener.pause.expires_after(kAcceptPause);
    listener.pause.async_wait([this, &listener](const error_code& error) {
      if (error != asio::error::operation_aborted) accept_all(listener);
    });
    return;
  }
  wait_for_clients(listener);
}

void Server::admit(UniqueFd fd, bool local, const ClientKey& client) {
  const Nanos now = real_clock().monotonic();
  if (!local) security_->refresh(now);
  if (!local && !security_->may_connect(client, now)) {
    handshake_failed("more connections than a client may open in a second");
    return;
  }
  const bool full = connections_.size() - refusals_ >= options_.max_connections;
  const bool refused = full && !evict();
  if (refused && refusals_ >= kMaxRefusals) {
    count(503);
    return;
  }
  uint32_t uid = 0;
  if (local) {
    ucred peer{};
    socklen_t size = sizeof peer;
    // Who cannot be named is nobody, and above all not root.
    uid = ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.uid : static_cast<uint32_t>(-1);
  }
  const HttpConnection::Peer peer{.fd = fd.get(), .local = local, .uid = uid, .refused = refused};
  std::unique_ptr<TlsSession> tls;
  if (!local && security_->tls()) {
    tls = security_->session(fd.get());
    if (tls == nullptr) return;
  }
  auto session = std::make_shared<Session>(*this, std::move(fd), peer, std::move(tls), client);
  if (!session->assign()) return;
  session->slot = connections_.size();
  connections_.push_back(session);
  if (refused) ++refusals_;
  open_.store(connections_.size(), std::memory_order_relaxed);
  session->start();
}

void Server::remove(Session& session) {
  if (session.refused()) --refusals_;
  const size_t slot = session.slot;
  const std::shared_ptr<Session> kept = std::move(connections_[slot]);
  if (slot + 1 != connections_.size()) {
    connections_[slot] = std::move(connections_.back());
    connections_[slot]->slot = slot;
  }
  connections_.pop_back();
  open_.store(connections_.size(), std::memory_order_relaxed);
}

// Closes the connection that has been idle for the longest time, else the one whose request has stalled for the longest
// time: clients that send half a request and stop must not keep others out. False when there is neither.
bool Server::evict() {
  Session* longest = nullptr;
  for (const auto& connection : connections_)
    if (connection->idle() && (longest == nullptr || connection->idle_since() < longest->idle_since()) &&
        connection->may_be_evicted())
      longest = connection.get();
  if (longest == nullptr) {
    // A request's deadline is its beginning and request_timeout.
    const auto fair =
        std::chrono::steady_clock::now() + std::chrono::nanoseconds(options_.request_timeout - options_.stalled_after);
    for (const auto& connection : connections_)
      if (!connection->refused() && connection->deadline() <= fair &&
          (longest == nullptr || connection->deadline() < longest->deadline()) && connection->stalls())
        longest = connection.get();
  }
  if (longest == nullptr) return false;
  longest->close();
  evicted_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// Sees to it that deadlines are checked at `deadline` or earlier. A deadline that moved away is found out when the
// timer fires, so that a busy connection costs no timer call for each request.
void Server::arm(TimePoint deadline) {
  if (deadline >= armed_) return;
  armed_ = deadline;
  timer_.expires_at(deadline);
  timer_.async_wait([this](const error_code& error) {
    if (!error) check_deadlines();
  });
}

void Server::check_deadlines() {
  armed_ = TimePoint::max();
  const TimePoint now = SteadyClock::now();
  TimePoint next = TimePoint::max();
  for (size_t i = 0; i < connections_.size();) {
    const std::shared_ptr<Session> connection = connections_[i];
    if (connection->deadline() <= now) connection->expire();
    if (i < connections_.size() && connections_[i] == connection) {
      next = std::min(next, connection->deadline());
      ++i;
    }
  }
  if (next != TimePoint::max()) arm(next);
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpServerOptions options, HttpHandler handler) {
  try {
    auto server = std::make_unique<Server>(std::move(options), std::move(handler));
    if (Status status = server->open(); !status.ok()) return fail(std::move(status));
    return server;
  } catch (const std::exception& error) {
    return fail(Code::io, std::string("cannot start the HTTP server: ") + error.what());
  }
}

}  // namespace accelmon

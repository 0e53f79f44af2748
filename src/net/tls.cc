#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <type_traits>

#include "base/dynamic_library.h"
#include "base/text.h"

namespace accelmon {
namespace {

// Every function that is used, by its own name. One list, so that none is forgotten at loading.
// clang-format off
#define ACCELMON_OPENSSL(X) \
  X(TLS_server_method) \
  X(SSL_CTX_new) \
  X(SSL_CTX_free) \
  X(SSL_CTX_ctrl) \
  X(SSL_CTX_set_options) \
  X(SSL_CTX_set_cipher_list) \
  X(SSL_CTX_set_num_tickets) \
  X(SSL_CTX_use_certificate) \
  X(SSL_CTX_use_PrivateKey) \
  X(SSL_CTX_check_private_key) \
  X(SSL_CTX_set_verify) \
  X(SSL_CTX_set_cert_verify_callback) \
  X(SSL_CTX_get_cert_store) \
  X(SSL_CTX_add_client_CA) \
  X(SSL_CTX_set_alpn_select_cb) \
  X(SSL_new) \
  X(SSL_free) \
  X(SSL_set_fd) \
  X(SSL_set_accept_state) \
  X(SSL_do_handshake) \
  X(SSL_read_ex) \
  X(SSL_write_ex) \
  X(SSL_get_error) \
  X(SSL_shutdown) \
  X(SSL_pending) \
  X(SSL_get_verify_result) \
  X(BIO_new_mem_buf) \
  X(BIO_free) \
  X(PEM_read_bio_X509) \
  X(PEM_read_bio_PrivateKey) \
  X(X509_free) \
  X(X509_get0_notAfter) \
  X(ASN1_TIME_diff) \
  X(EVP_PKEY_free) \
  X(X509_STORE_add_cert) \
  X(X509_STORE_set_flags) \
  X(X509_verify_cert) \
  X(X509_STORE_CTX_get0_cert) \
  X(X509_STORE_CTX_set_error) \
  X(X509_verify_cert_error_string) \
  X(X509_get_ext_d2i) \
  X(GENERAL_NAMES_free) \
  X(OPENSSL_sk_num) \
  X(OPENSSL_sk_value) \
  X(ASN1_STRING_get0_data) \
  X(ASN1_STRING_length) \
  X(ERR_peek_error) \
  X(ERR_peek_last_error) \
  X(ERR_clear_error) \
  X(ERR_reason_error_string)
// clang-format on

struct Library {
  DynamicLibrary file;
#define ACCELMON_DECLARE(name) decltype(&::name) name = nullptr;
  ACCELMON_OPENSSL(ACCELMON_DECLARE)
#undef ACCELMON_DECLARE
};

Status load(Library& library) {
  // What it depends on (libcrypto) is found through it.
  Result<DynamicLibrary> opened = DynamicLibrary::open("libssl.so.3");
  if (!opened)
    return {Code::absent, "TLS needs OpenSSL 3, which cannot be loaded: install the package libssl3 (" +
                              opened.error().message() + ")"};
  library.file = std::move(*opened);
  const char* missing = nullptr;
#define ACCELMON_LOAD(name)                                    \
  library.name = library.file.symbol<decltype(::name)>(#name); \
  if (library.name == nullptr) missing = #name;
  ACCELMON_OPENSSL(ACCELMON_LOAD)
#undef ACCELMON_LOAD
  if (missing != nullptr)
    return {Code::absent, std::string("TLS needs OpenSSL 3; the libssl.so.3 of this host lacks ") + missing};
  return {};
}

// Set once, before the first context; kept, since OpenSSL cannot be unloaded safely.
const Library* ssl = nullptr;

Status load_once() {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (ssl != nullptr) return {};
  auto fresh = std::make_unique<Library>();
  if (Status status = load(*fresh); !status.ok()) return status;
  ssl = fresh.release();
  return {};
}

struct Free {
  void operator()(SSL* one) const { ssl->SSL_free(one); }
  void operator()(SSL_CTX* one) const { ssl->SSL_CTX_free(one); }
  void operator()(X509* one) const { ssl->X509_free(one); }
  void operator()(EVP_PKEY* one) const { ssl->EVP_PKEY_free(one); }
  void operator()(BIO* one) const { ssl->BIO_free(one); }
  void operator()(GENERAL_NAMES* one) const { ssl->GENERAL_NAMES_free(one); }
};
template <class T>
using Held = std::unique_ptr<T, Free>;

// The newest reason in OpenSSL's queue, which is emptied.
std::string reason(unsigned long code) {
  const char* text = code == 0 ? nullptr : ssl->ERR_reason_error_string(code);
  ssl->ERR_clear_error();
  return text != nullptr ? printable(text, 120) : "no reason given";
}
std::string last_reason() {
  return reason(ssl->ERR_peek_last_error());
}

// Keys with a password are not for servers that start by themselves; without this OpenSSL would ask the terminal.
int no_password(char*, int, int, void*) {
  return 0;
}

// Every certificate of a PEM text.
Result<std::vector<Held<X509>>> certificates(const std::string& pem, const std::string& name) {
  std::vector<Held<X509>> out;
  const Held<BIO> bio(ssl->BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return fail(Code::exhausted, name + ": no memory to read it");
  ssl->ERR_clear_error();
  while (Held<X509> one{ssl->PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)}) {
    if (out.size() == 64) return fail(Code::invalid, name + ": more than 64 certificates");
    out.push_back(std::move(one));
  }
  const unsigned long error = ssl->ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  const std::string why = last_reason();
  if (!at_end)
    return fail(Code::invalid, name + ": is broken after " + std::to_string(out.size()) + " certificates: " + why);
  if (out.empty()) return fail(Code::invalid, name + ": holds no certificate (-----BEGIN CERTIFICATE-----)");
  return out;
}

std::string name_of(const std::string& file, const TlsConfig& config, const char* key) {
  return file.empty() ? config.where + ": " + key : printable(file, 4096);
}

class Context final : public TlsContext, public std::enable_shared_from_this<Context> {
 public:
  Status open(const TlsConfig& config, const TlsMaterial& material);
  std::unique_ptr<TlsSession> session(int fd) const override;
  int64_t expires_at() const override { return expires_at_; }

 private:
  Status set_protocol(const TlsConfig& config);
  Status set_identity(const TlsConfig& config, const TlsMaterial& material);
  Status set_clients(const TlsConfig& config, const TlsMaterial& material);
  static int choose_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* offered,
                             unsigned offered_size, void*);
  static int verify(X509_STORE_CTX* store, void* self);
  bool san_allowed(X509* certificate) const;

  Held<SSL_CTX> context_;
  bool verify_chain_ = false;
  std::vector<std::string> allowed_sans_;
  int64_t expires_at_ = 0;
};

class Session final : public TlsSession {
 public:
  Session(std::shared_ptr<const Context> context, Held<SSL> connection)
      : context_(std::move(context)), connection_(std::move(connection)) {}

  Io handshake() override {
    ssl->ERR_clear_error();
    const Io result = io(ssl->SSL_do_handshake(connection_.get()));
    if (result == Io::done) open_ = true;
    return result;
  }
  Io read(char* to, size_t size, size_t& got) override {
    got = 0;
    ssl->ERR_clear_error();
    return io(ssl->SSL_read_ex(connection_.get(), to, size, &got));
  }
  Io write(const char* from, size_t size, size_t& sent) override {
    sent = 0;
    ssl->ERR_clear_error();
    return io(ssl->SSL_write_ex(connection_.get(), from, size, &sent));
  }
  bool pending() const override { return ssl->SSL_pending(connection_.get()) > 0; }
  void shutdown() override {
    if (!std::exchange(open_, false)) return;
    ssl->ERR_clear_error();
    ssl->SSL_shutdown(connection_.get());  // what is not taken at once is not worth waiting for
    ssl->ERR_clear_error();
  }
  std::string trouble() const override { return trouble_; }

 private:
  Io io(int result) {
    if (result == 1) return Io::done;
    switch (ssl->SSL_get_error(connection_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return Io::want_read;
      case SSL_ERROR_WANT_WRITE:
        return Io::want_write;
      case SSL_ERROR_ZERO_RETURN:
        return Io::closed;
      case SSL_ERROR_SYSCALL:
        open_ = false;
        trouble_ = "the client is gone";
        return Io::closed;
      default: {
        open_ = false;
        const unsigned long first = ssl->ERR_peek_error();
        if (ERR_GET_LIB(first) == ERR_LIB_SSL && ERR_GET_REASON(first) == SSL_R_HTTP_REQUEST) {
          ssl->ERR_clear_error();
          return Io::plain_http;
        }
        trouble_ = reason(first);
        if (const long verdict = ssl->SSL_get_verify_result(connection_.get()); verdict != X509_V_OK)
          trouble_ += verdict == X509_V_ERR_APPLICATION_VERIFICATION
                          ? std::string(": none of its names is in client_allowed_sans")
                          : std::string(": ") + ssl->X509_verify_cert_error_string(verdict);
        return Io::failed;
      }
    }
  }

  std::shared_ptr<const Context> context_;  // the verification reads it
  Held<SSL> connection_;
  std::string trouble_;
  bool open_ = false;
};

Status Context::open(const TlsConfig& config, const TlsMaterial& material) {
  ssl->ERR_clear_error();
  context_.reset(ssl->SSL_CTX_new(ssl->TLS_server_method()));
  if (context_ == nullptr) return {Code::internal, "OpenSSL gives no TLS context: " + last_reason()};
  if (Status status = set_protocol(config); !status.ok()) return status;
  if (Status status = set_identity(config, material); !status.ok()) return status;
  return set_clients(config, material);
}

Status Context::set_protocol(const TlsConfig& config) {
  SSL_CTX* const c = context_.get();
  uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF;
  if (config.prefer_server_cipher_suites) options |= SSL_OP_CIPHER_SERVER_PREFERENCE;
  ssl->SSL_CTX_set_options(c, options);
  ssl->SSL_CTX_set_num_tickets(c, 0);
  ssl->SSL_CTX_ctrl(c, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, nullptr);
  ssl->SSL_CTX_ctrl(c, SSL_CTRL_MODE,
                    SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS,
                    nullptr);
  const auto version = [](TlsVersion one) { return one == TlsVersion::tls13 ? TLS1_3_VERSION : TLS1_2_VERSION; };
  if (ssl->SSL_CTX_ctrl(c, SSL_CTRL_SET_MIN_PROTO_VERSION, version(config.min_version), nullptr) != 1 ||
      ssl->SSL_CTX_ctrl(c, SSL_CTRL_SET_MAX_PROTO_VERSION, version(config.max_version), nullptr) != 1)
    return {Code::invalid, config.where + ": OpenSSL refuses these versions of TLS: " + last_reason()};
  std::string ciphers;
  for (const std::string& one : config.cipher_suites) ciphers.append(ciphers.empty() ? "" : ":").append(one);
  if (ssl->SSL_CTX_set_cipher_list(c, ciphers.empty() ? "ECDHE+AESGCM:ECDHE+CHACHA20" : ciphers.c_str()) != 1)
    return {Code::invalid, config.where + ": OpenSSL has none of these cipher_suites: " + last_reason()};
  std::string curves;
  for (const std::string& one : config.curves) curves.append(curves.empty() ? "" : ":").append(one);
  if (!curves.empty() && ssl->SSL_CTX_ctrl(c, SSL_CTRL_SET_GROUPS_LIST, 0, curves.data()) != 1)
    return {Code::invalid, config.where + ": OpenSSL has none of these curve_preferences: " + last_reason()};
  ssl->SSL_CTX_set_alpn_select_cb(c, &Context::choose_protocol, nullptr);
  return {};
}

// Who offers protocols and not ours is told so; who offers none speaks HTTP/1.1.
int Context::choose_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* offered,
                             unsigned offered_size, void*) {
  static constexpr std::string_view kOurs = "http/1.1";
  for (unsigned i = 0; i < offered_size;) {
    const unsigned length = offered[i];
    if (length + 1 > offered_size - i) break;
    if (std::string_view(reinterpret_cast<const char*>(offered + i + 1), length) == kOurs) {
      *out = offered + i + 1;
      *size = static_cast<unsigned char>(length);
      return SSL_TLSEXT_ERR_OK;
    }
    i += length + 1;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

Status Context::set_identity(const TlsConfig& config, const TlsMaterial& material) {
  const std::string cert_name = name_of(config.cert_file, config, "cert");
  const std::string key_name = name_of(config.key_file, config, "key");
  const Result<std::vector<Held<X509>>> chain = certificates(material.cert, cert_name);
  if (!chain) return chain.error();
  if (ssl->SSL_CTX_use_certificate(context_.get(), chain->front().get()) != 1)
    return {Code::invalid, cert_name + ": OpenSSL does not take the certificate: " + last_reason()};
  for (size_t i = 1; i < chain->size(); ++i)
    if (ssl->SSL_CTX_ctrl(context_.get(), SSL_CTRL_CHAIN_CERT, 1, (*chain)[i].get()) != 1)
      return {Code::invalid, cert_name + ": OpenSSL does not take a certificate of the chain: " + last_reason()};
  int days = 0;
  int seconds = 0;
  if (ssl->ASN1_TIME_diff(&days, &seconds, nullptr, ssl->X509_get0_notAfter(chain->front().get())) == 1)
    expires_at_ = real_clock().wall() / kSecond + int64_t{days} * 86400 + seconds;

  const std::string& pem = material.key.reveal();
  if (pem.find("ENCRYPTED") != std::string::npos)
    return {Code::invalid, key_name +
                               ": is locked with a password, which nobody can type at a service's start; unlock a "
                               "copy with: openssl pkey -in KEY -out UNLOCKED"};
  const Held<BIO> bio(ssl->BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const Held<EVP_PKEY> key(bio == nullptr ? nullptr
                                          : ssl->PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (key == nullptr) return {Code::invalid, key_name + ": holds no private key: " + last_reason()};
  if (ssl->SSL_CTX_use_PrivateKey(context_.get(), key.get()) != 1 ||
      ssl->SSL_CTX_check_private_key(context_.get()) != 1)
    return {Code::invalid, key_name + ": is not the key of the certificate in " + cert_name + ": " + last_reason()};
  return {};
}

Status Context::set_clients(const TlsConfig& config, const TlsMaterial& material) {
  if (config.client_auth == ClientAuth::none) return {};
  if (!material.client_ca.empty()) {
    const Result<std::vector<Held<X509>>> authorities =
        certificates(material.client_ca, name_of(config.client_ca_file, config, "client_ca"));
    if (!authorities) return authorities.error();
    X509_STORE* const store = ssl->SSL_CTX_get_cert_store(context_.get());
    // An authority below a root is trusted as it stands.
    ssl->X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    for (const Held<X509>& one : *authorities)
      if (ssl->X509_STORE_add_cert(store, one.get()) != 1 || ssl->SSL_CTX_add_client_CA(context_.get(), one.get()) != 1)
        return {Code::invalid, "OpenSSL does not take a client_ca: " + last_reason()};
  }
  verify_chain_ =
      config.client_auth == ClientAuth::require_and_verify || config.client_auth == ClientAuth::verify_if_given;
  allowed_sans_ = config.client_allowed_sans;
  int mode = SSL_VERIFY_PEER;
  if (config.client_auth == ClientAuth::require_and_verify || config.client_auth == ClientAuth::require_any)
    mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  ssl->SSL_CTX_set_verify(context_.get(), mode, nullptr);
  ssl->SSL_CTX_set_cert_verify_callback(context_.get(), &Context::verify, this);
  return {};
}

int Context::verify(X509_STORE_CTX* store, void* self) {
  const auto& context = *static_cast<const Context*>(self);
  if (context.verify_chain_ && ssl->X509_verify_cert(store) != 1) return 0;
  if (context.allowed_sans_.empty() || context.san_allowed(ssl->X509_STORE_CTX_get0_cert(store))) return 1;
  ssl->X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

// Whether one of the certificate's alternative names (DNS, IP address, mail, URI) is one of ours, letter for letter.
bool Context::san_allowed(X509* certificate) const {
  const Held<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(ssl->X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr) return false;
  const auto* stack = reinterpret_cast<const OPENSSL_STACK*>(names.get());
  const int count = ssl->OPENSSL_sk_num(stack);
  for (int i = 0; i < count; ++i) {
    const auto* name = static_cast<const GENERAL_NAME*>(ssl->OPENSSL_sk_value(stack, i));
    const bool text = name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI;
    if (!text && name->type != GEN_IPADD) continue;
    const ASN1_STRING* const value = text ? name->d.ia5 : name->d.ip;
    const unsigned char* const bytes = ssl->ASN1_STRING_get0_data(value);
    const auto size = static_cast<size_t>(std::max(0, ssl->ASN1_STRING_length(value)));
    std::string its;
    if (text) {
      its.assign(reinterpret_cast<const char*>(bytes), size);
    } else {
      char shown[INET6_ADDRSTRLEN] = {};
      if (size != 4 && size != 16) continue;
      if (::inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, shown, sizeof shown) == nullptr) continue;
      its = shown;
    }
    if (std::find(allowed_sans_.begin(), allowed_sans_.end(), its) != allowed_sans_.end()) return true;
  }
  return false;
}

std::unique_ptr<TlsSession> Context::session(int fd) const {
  ssl->ERR_clear_error();
  Held<SSL> connection(ssl->SSL_new(context_.get()));
  if (connection == nullptr || ssl->SSL_set_fd(connection.get(), fd) != 1) {
    ssl->ERR_clear_error();
    return nullptr;
  }
  ssl->SSL_set_accept_state(connection.get());
  return std::make_unique<Session>(shared_from_this(), std::move(connection));
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::make(const TlsConfig& config, const TlsMaterial& material) {
  if (Status status = load_once(); !status.ok()) return fail(std::move(status));
  auto context = std::make_shared<Context>();
  if (Status status = context->open(config, material); !status.ok()) return fail(std::move(status));
  return context;
}

}  // namespace accelmon

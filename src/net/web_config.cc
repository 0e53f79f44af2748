#include "net/web_config.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/text.h"
#include "net/yaml.h"

namespace accelmon {
namespace {

constexpr size_t kMaxUsers = 256;
constexpr size_t kMaxSans = 256;
constexpr size_t kMaxText = 64u << 10;

struct Name {
  std::string_view theirs;  // as Go's crypto/tls calls it, and so the file
  std::string_view ours;    // as OpenSSL does
};

constexpr Name kCiphers[] = {
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
    // Those of TLS 1.3 are always on, there as here.
    {"TLS_AES_128_GCM_SHA256", ""},
    {"TLS_AES_256_GCM_SHA384", ""},
    {"TLS_CHACHA20_POLY1305_SHA256", ""},
};

constexpr Name kCurves[] = {
    {"X25519", "X25519"}, {"CurveP256", "P-256"}, {"CurveP384", "P-384"}, {"CurveP521", "P-521"}};

constexpr std::string_view kHeaders[] = {"Content-Security-Policy", "Strict-Transport-Security",
                                         "X-Content-Type-Options", "X-Frame-Options", "X-XSS-Protection"};

constexpr std::pair<std::string_view, ClientAuth> kClientAuth[] = {
    {"NoClientCert", ClientAuth::none},
    {"RequestClientCert", ClientAuth::request},
    {"RequireAnyClientCert", ClientAuth::require_any},
    {"RequireClientCert", ClientAuth::require_any},  // its old name
    {"VerifyClientCertIfGiven", ClientAuth::verify_if_given},
    {"RequireAndVerifyClientCert", ClientAuth::require_and_verify}};

std::string quoted(std::string_view text) {
  return '"' + printable(text, 60) + '"';
}

std::string listed(std::span<const std::string_view> words) {
  std::string out;
  for (const std::string_view word : words) out.append(out.empty() ? "" : ", ").append(word);
  return out;
}

// Goes through the tree; the first error ends it.
class Checker {
 public:
  explicit Checker(const std::string& file) : file_(printable(file, 4096)) {
    const size_t slash = file.rfind('/');
    if (slash != std::string::npos) folder_ = file.substr(0, slash + 1);
  }

  bool root(const YamlNode& node, WebConfig& out) {
    static constexpr std::string_view kKnown[] = {"tls_server_config", "http_server_config", "basic_auth_users",
                                                  "rate_limit"};
    return map(node, "the file", kKnown, [&](std::string_view key, const YamlNode& value) {
      if (key == "tls_server_config") return tls(value, out);
      if (key == "http_server_config") return http(value, out);
      if (key == "basic_auth_users") return users(value, out);
      return rate(value, out);
    });
  }

  Status error() const { return error_; }

 private:
  std::string place(const YamlNode& at) const {
    return file_ + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
  }
  bool wrong(const YamlNode& at, const std::string& what) {
    error_ = Status(Code::invalid, place(at) + ": " + what);
    return false;
  }

  // A section that holds nothing is one that is not there.
  template <class Each>
  bool map(const YamlNode& node, std::string_view name, std::span<const std::string_view> known, Each each) {
    if (node.kind == YamlNode::Kind::null) return true;
    if (node.kind != YamlNode::Kind::map)
      return wrong(node, std::string(name) + " is no section; write its keys below it, each as KEY: VALUE");
    for (size_t i = 0; i < node.keys.size(); ++i) {
      const YamlNode& key = node.keys[i];
      if (!known.empty() && std::find(known.begin(), known.end(), key.text) == known.end()) {
        const auto near = nearest_word(key.text, known);
        return wrong(key, "unknown key " + quoted(key.text) + " in " + std::string(name) +
                              (near ? "; did you mean " + quoted(*near) + "?" : "; it knows " + listed(known)));
      }
      if (!each(std::string_view(key.text), node.values[i])) return false;
    }
    return true;
  }

  bool text(std::string_view key, const YamlNode& node, std::string& out) {
    if (node.kind == YamlNode::Kind::null) {
      out.clear();
      return true;
    }
    if (node.kind != YamlNode::Kind::text) return wrong(node, std::string(key) + " is a text");
    if (node.text.size() > kMaxText) return wrong(node, std::string(key) + " is longer than 64 KiB");
    if (node.text.find('\0') != std::string::npos) return wrong(node, std::string(key) + " holds a null character");
    out = node.text;
    return true;
  }

  bool path(std::string_view key, const YamlNode& node, std::string& out) {
    if (!text(key, node, out)) return false;
    if (out.size() > 4096) return wrong(node, std::string(key) + " is too long for a path");
    if (!out.empty() && out.front() != '/') out = folder_ + out;
    return true;
  }

  bool truth(std::string_view key, const YamlNode& node, bool& out) {
    if (!node.quoted) {
      for (const std::string_view word : {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
        if (node.text == word) return out = true, true;
      for (const std::string_view word : {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})
        if (node.text == word) return out = false, true;
    }
    return wrong(node, std::string(key) + " is neither true nor false");
  }

  bool texts(std::string_view key, const YamlNode& node, size_t most, std::vector<std::string>& out) {
    if (node.kind == YamlNode::Kind::null) return true;
    if (node.kind != YamlNode::Kind::list)
      return wrong(node, std::string(key) + " is a list; write each value behind \"- \"");
    if (node.values.size() > most)
      return wrong(node, std::string(key) + " has more than " + std::to_string(most) + " values");
    for (const YamlNode& one : node.values)
      if (one.kind != YamlNode::Kind::text || !text(key, one, out.emplace_back()))
        return wrong(one, std::string(key) + " holds something that is no text");
    return true;
  }

  bool names(std::string_view key, const YamlNode& node, std::span<const Name> known, bool& some,
             std::vector<std::string>& out) {
    std::vector<std::string> written;
    if (!texts(key, node, 64, written)) return false;
    std::vector<std::string_view> words;
    for (const Name& name : known) words.push_back(name.theirs);
    for (size_t i = 0; i < written.size(); ++i) {
      const auto its = std::find(words.begin(), words.end(), written[i]);
      if (its == words.end()) {
        const bool weak = written[i].starts_with("TLS_RSA_") || written[i].find("_RC4_") != std::string::npos ||
                          written[i].find("3DES") != std::string::npos || written[i].ends_with("_CBC_SHA256");
        return wrong(node.values[i], std::string(key) + " holds " + quoted(written[i]) +
                                         (weak ? ", which is too weak to be offered; leave it out"
                                               : ", which is unknown; it takes " + listed(words)));
      }
      const std::string_view ours = known[static_cast<size_t>(its - words.begin())].ours;
      if (!ours.empty()) out.emplace_back(ours);
    }
    some = !written.empty();
    return true;
  }

  bool version(std::string_view key, const YamlNode& node, TlsVersion& out) {
    if (node.text == "TLS13") return out = TlsVersion::tls13, true;
    if (node.text == "TLS12") return out = TlsVersion::tls12, true;
    if (node.text == "TLS11" || node.text == "TLS10")
      return wrong(node, std::string(key) + " is " + node.text + ", which is broken and not offered; write TLS12");
    return wrong(node, std::string(key) + " is neither TLS12 nor TLS13");
  }

  bool tls(const YamlNode& node, WebConfig& out) {
    static constexpr std::string_view kKnown[] = {"cert_file",
                                                  "key_file",
                                                  "cert",
                                                  "key",
                                                  "client_auth_type",
                                                  "client_ca_file",
                                                  "client_ca",
                                                  "client_allowed_sans",
                                                  "min_version",
                                                  "max_version",
                                                  "cipher_suites",
                                                  "curve_preferences",
                                                  "prefer_server_cipher_suites"};
    TlsConfig tls;
    tls.where = place(node);
    const YamlNode* auth_at = &node;
    std::string key_text;
    bool some_ciphers = false;
    bool some_curves = false;
    const bool good = map(node, "tls_server_config", kKnown, [&](std::string_view key, const YamlNode& value) {
      if (key == "cert_file") return path(key, value, tls.cert_file);
      if (key == "key_file") return path(key, value, tls.key_file);
      if (key == "client_ca_file") return path(key, value, tls.client_ca_file);
      if (key == "cert") return text(key, value, tls.cert);
      if (key == "client_ca") return text(key, value, tls.client_ca);
      if (key == "key") {
        if (!text(key, value, key_text)) return false;
        tls.key = Secret(std::move(key_text));
        return true;
      }
      if (key == "client_auth_type") {
        auth_at = &value;
        return client_auth(value, tls.client_auth);
      }
      if (key == "client_allowed_sans") return texts(key, value, kMaxSans, tls.client_allowed_sans);
      if (key == "min_version") return version(key, value, tls.min_version);
      if (key == "max_version") return version(key, value, tls.max_version);
      if (key == "cipher_suites") return names(key, value, kCiphers, some_ciphers, tls.cipher_suites);
      if (key == "curve_preferences") return names(key, value, kCurves, some_curves, tls.curves);
      return truth(key, value, tls.prefer_server_cipher_suites);
    });
    if (!good) return false;
    if (node.keys.empty()) return true;
    // Only ciphers of TLS 1.3 were named: nothing is left for 1.2.
    if (some_ciphers && tls.cipher_suites.empty()) tls.min_version = TlsVersion::tls13;
    if (tls.min_version > tls.max_version) return wrong(node, "min_version is above max_version");
    if (!tls.cert_file.empty() && !tls.cert.empty()) return wrong(node, "write cert or cert_file, not both");
    if (!tls.key_file.empty() && !tls.key.empty()) return wrong(node, "write key or key_file, not both");
    if (!tls.client_ca_file.empty() && !tls.client_ca.empty())
      return wrong(node, "write client_ca or client_ca_file, not both");
    if (tls.cert_file.empty() && tls.cert.empty()) return wrong(node, "tls_server_config lacks cert_file (or cert)");
    if (tls.key_file.empty() && tls.key.empty()) return wrong(node, "tls_server_config lacks key_file (or key)");
    const bool has_ca = !tls.client_ca_file.empty() || !tls.client_ca.empty();
    const bool verifies =
        tls.client_auth == ClientAuth::require_and_verify || tls.client_auth == ClientAuth::verify_if_given;
    if (verifies && !has_ca)
      return wrong(*auth_at, "this client_auth_type needs client_ca_file: who signs the clients");
    if (has_ca && tls.client_auth == ClientAuth::none)
      return wrong(node,
                   "there is a client_ca_file, but no client's certificate is asked for; write client_auth_type: "
                   "RequireAndVerifyClientCert");
    if (!tls.client_allowed_sans.empty() && tls.client_auth != ClientAuth::require_and_verify &&
        tls.client_auth != ClientAuth::require_any)
      return wrong(*auth_at, "client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert");
    out.tls = std::move(tls);
    return true;
  }

  bool client_auth(const YamlNode& node, ClientAuth& out) {
    if (node.kind == YamlNode::Kind::null) return true;
    std::vector<std::string_view> words;
    for (const auto& [word, value] : kClientAuth) {
      if (node.text == word && node.kind == YamlNode::Kind::text) return out = value, true;
      words.push_back(word);
    }
    return wrong(node, "client_auth_type is one of " + listed(words));
  }

  bool http(const YamlNode& node, WebConfig& out) {
    static constexpr std::string_view kKnown[] = {"http2", "headers"};
    return map(node, "http_server_config", kKnown, [&](std::string_view key, const YamlNode& value) {
      bool ignored = false;
      if (key == "http2") return truth(key, value, ignored);
      return map(value, "headers", kHeaders, [&](std::string_view header, const YamlNode& what) {
        std::string line;
        if (!text(header, what, line)) return false;
        if (std::any_of(line.begin(), line.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
          return wrong(what, std::string(header) + " holds a control character; a header is one line");
        if (line.size() > 2048) return wrong(what, std::string(header) + " is longer than 2048 bytes");
        if (header == "X-Content-Type-Options" && line != "nosniff")
          return wrong(what, std::string(header) + " can only be nosniff");
        if (header == "X-Frame-Options" && line != "deny" && line != "sameorigin")
          return wrong(what, std::string(header) + " is deny or sameorigin");
        if (!line.empty())
          out.headers.emplace_back(*std::find(std::begin(kHeaders), std::end(kHeaders), header), std::move(line));
        return true;
      });
    });
  }

  bool users(const YamlNode& node, WebConfig& out) {
    if (node.values.size() > kMaxUsers)
      return wrong(node, "basic_auth_users has more than " + std::to_string(kMaxUsers) + " users");
    return map(node, "basic_auth_users", {}, [&](std::string_view name, const YamlNode& value) {
      if (name.find(':') != std::string_view::npos)
        return wrong(value, "a user's name cannot hold a colon: it ends the name in the request");
      // What stands there instead of a hash may be the password itself: it is not repeated.
      std::string hash;
      if (value.kind != YamlNode::Kind::text || !text("the hash", value, hash) || !bcrypt_cost(hash))
        return wrong(value, "this is no bcrypt hash; make one with: htpasswd -nBC 10 NAME");
      out.users.emplace_back(std::string(name), Secret(std::move(hash)));
      return true;
    });
  }

  bool rate(const YamlNode& node, WebConfig& out) {
    static constexpr std::string_view kKnown[] = {"interval", "burst"};
    return map(node, "rate_limit", kKnown, [&](std::string_view key, const YamlNode& value) {
      if (key == "burst") {
        const auto number = parse_u64(value.text);
        if (!number || *number > 1'000'000) return wrong(value, "burst is a whole number from 0 to 1000000");
        out.rate_burst = static_cast<uint32_t>(std::max<uint64_t>(*number, 1));
        return true;
      }
      if (value.text == "0") return true;
      const Result<Nanos> interval = parse_duration(value.text);
      if (!interval || *interval < 0 || *interval > 3600 * kSecond)
        return wrong(value, "interval is a time of at most an hour, for example 100ms; 0 for no limit");
      out.rate_interval = *interval;
      return true;
    });
  }

  std::string file_;
  std::string folder_;
  Status error_;
};

}  // namespace

std::optional<unsigned> bcrypt_cost(std::string_view hash) {
  // $2y$10$ and 53 characters of salt and digest.
  if (hash.size() != 60 || !hash.starts_with("$2") || hash[3] != '$' || hash[6] != '$') return {};
  if (hash[2] != 'a' && hash[2] != 'b' && hash[2] != 'y') return {};
  const auto cost = parse_u64(hash.substr(4, 2));
  if (!cost || *cost < 4 || *cost > 31) return {};
  const bool good = std::all_of(hash.begin() + 7, hash.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '/';
  });
  if (!good) return {};
  return static_cast<unsigned>(*cost);
}

Result<WebConfig> parse_web_config(std::string_view bytes, const std::string& file) {
  const Result<YamlNode> root = parse_yaml(bytes, file);
  if (!root) return fail(root.error());
  WebConfig config;
  Checker checker(file);
  if (!checker.root(*root, config)) return fail(checker.error());
  return config;
}

}  // namespace accelmon

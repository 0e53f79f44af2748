#include "net/push_client.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <mutex>

#include "base/dynamic_library.h"
#include "base/fd.h"
#include "base/text.h"
#include "net/url.h"

namespace accelmon {
namespace {

constexpr size_t kMostHeaderBytes = 64u << 10;
constexpr size_t kMostBodyBytes = 256u << 10;

// The functions that are used, by their own names.
struct Library {
  DynamicLibrary file;
  decltype(&::curl_global_init) global_init = nullptr;
  decltype(&::curl_easy_init) init = nullptr;
  decltype(&::curl_easy_cleanup) cleanup = nullptr;
  decltype(&::curl_easy_reset) reset = nullptr;
  decltype(&::curl_easy_setopt) set = nullptr;
  decltype(&::curl_multi_init) multi_init = nullptr;
  decltype(&::curl_multi_cleanup) multi_cleanup = nullptr;
  decltype(&::curl_multi_add_handle) multi_add = nullptr;
  decltype(&::curl_multi_remove_handle) multi_remove = nullptr;
  decltype(&::curl_multi_perform) multi_perform = nullptr;
  decltype(&::curl_multi_poll) multi_poll = nullptr;
  decltype(&::curl_multi_wakeup) multi_wakeup = nullptr;
  decltype(&::curl_multi_info_read) multi_info_read = nullptr;
  decltype(&::curl_easy_getinfo) info = nullptr;
  decltype(&::curl_easy_strerror) text = nullptr;
  decltype(&::curl_slist_append) append = nullptr;
  decltype(&::curl_slist_free_all) free_all = nullptr;
};

Status load(Library& library) {
  Status why(Code::absent, "");
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4"}) {
    Result<DynamicLibrary> opened = DynamicLibrary::open(name);
    if (!opened) {
      if (why.message().empty()) why = opened.error();
      continue;
    }
    library.file = std::move(*opened);
    const auto get = [&](auto& function, const char* symbol) {
      function = library.file.symbol<std::remove_pointer_t<std::remove_reference_t<decltype(function)>>>(symbol);
      return function != nullptr;
    };
    if (get(library.global_init, "curl_global_init") && get(library.init, "curl_easy_init") &&
        get(library.cleanup, "curl_easy_cleanup") && get(library.reset, "curl_easy_reset") &&
        get(library.set, "curl_easy_setopt") && get(library.multi_init, "curl_multi_init") &&
        get(library.multi_cleanup, "curl_multi_cleanup") && get(library.multi_add, "curl_multi_add_handle") &&
        get(library.multi_remove, "curl_multi_remove_handle") && get(library.multi_perform, "curl_multi_perform") &&
        get(library.multi_poll, "curl_multi_poll") && get(library.multi_wakeup, "curl_multi_wakeup") &&
        get(library.multi_info_read, "curl_multi_info_read") && get(library.info, "curl_easy_getinfo") &&
        get(library.text, "curl_easy_strerror") && get(library.append, "curl_slist_append") &&
        get(library.free_all, "curl_slist_free_all") && library.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
      return {};
    why = Status(Code::invalid, std::string(name) + " lacks functions that every libcurl since 7.68 has");
  }
  return {Code::absent,
          "what is pushed over HTTP needs libcurl, which cannot be loaded: install the package libcurl4 (" +
              why.message() + ")"};
}

// Loaded once and kept: libcurl and its TLS library cannot be unloaded safely.
Result<const Library*> the_library() {
  static std::mutex mutex;
  static Library* loaded = nullptr;
  const std::lock_guard lock(mutex);
  if (loaded == nullptr) {
    auto fresh = std::make_unique<Library>();
    if (Status status = load(*fresh); !status.ok()) return fail(std::move(status));
    loaded = fresh.release();
  }
  return loaded;
}

struct Receiver {
  PushReply reply;
  size_t header_bytes = 0;
};

size_t on_body(const char* data, size_t, size_t size, void* to) {
  std::string& body = static_cast<Receiver*>(to)->reply.body;
  body.append(data, std::min(size, kMostBodyBytes - std::min(body.size(), kMostBodyBytes)));
  return size;  // what is too much is read and forgotten, so that the connection stays good
}

size_t on_header(const char* data, size_t, size_t size, void* to) {
  auto& receiver = *static_cast<Receiver*>(to);
  std::string_view line(data, size);
  // A new answer behind an interim one (100 Continue).
  if (line.starts_with("HTTP/")) receiver.reply.headers.clear();
  receiver.header_bytes += size;
  if (receiver.header_bytes > kMostHeaderBytes) return 0;
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return size;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  receiver.reply.headers.emplace_back(std::move(name), std::string(trim(line.substr(colon + 1))));
  return size;
}

}  // namespace

struct PushClient::Handle {
  const Library* library;
  CURL* curl;
  CURLM* multi;  // for what waits: it can be woken, and it keeps the connection
  PushSecurity security;
  std::array<char, CURL_ERROR_SIZE> error{};
  ~Handle() {
    library->cleanup(curl);
    library->multi_cleanup(multi);
  }
  CURLcode perform(const std::atomic<bool>& interrupted);
};

// As curl_easy_perform, but that it ends at once when it is interrupted.
CURLcode PushClient::Handle::perform(const std::atomic<bool>& interrupted) {
  constexpr int kLongestWaitMs = 1000;
  if (library->multi_add(multi, curl) != CURLM_OK) return CURLE_FAILED_INIT;
  CURLcode result = CURLE_ABORTED_BY_CALLBACK;
  while (!interrupted.load(std::memory_order_acquire)) {
    int running = 0;
    if (library->multi_perform(multi, &running) != CURLM_OK) {
      result = CURLE_OUT_OF_MEMORY;
      break;
    }
    if (running == 0) {
      int left = 0;
      while (const CURLMsg* message = library->multi_info_read(multi, &left))
        if (message->msg == CURLMSG_DONE) result = message->data.result;
      break;
    }
    (void)library->multi_poll(multi, nullptr, 0, kLongestWaitMs, nullptr);
  }
  library->multi_remove(multi, curl);
  return result;
}

PushClient::PushClient(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
PushClient::~PushClient() = default;

void PushClient::interrupt() {
  interrupted_.store(true, std::memory_order_release);
  handle_->library->multi_wakeup(handle_->multi);
}

Result<std::unique_ptr<PushClient>> PushClient::open(PushSecurity security) {
  for (const std::string* file : {&security.ca_file, &security.cert_file, &security.key_file}) {
    if (file->empty()) continue;
    if (const Result<std::string> text = read_file(*file, 1u << 20); !text)
      return fail(Code::invalid, text.error().message());
  }
  const Result<const Library*> library = the_library();
  if (!library) return fail(library.error());
  CURL* curl = (*library)->init();
  CURLM* multi = (*library)->multi_init();
  if (curl == nullptr || multi == nullptr) {
    (*library)->cleanup(curl);
    (*library)->multi_cleanup(multi);
    return fail(Code::internal, "libcurl gives no handle");
  }
  return std::unique_ptr<PushClient>(
      new PushClient(std::unique_ptr<Handle>(new Handle{*library, curl, multi, std::move(security)})));
}

Result<PushReply> PushClient::send(const PushRequest& request) {
  if (interrupted_.load(std::memory_order_acquire)) return fail(Code::lost, "interrupted");
  Handle& handle = *handle_;
  const Library& lib = *handle.library;
  CURL* curl = handle.curl;
  lib.reset(curl);  // options go, the connection stays
  Receiver receiver;
  curl_slist* headers = nullptr;
  const auto add = [&](const std::string& header) {
    if (curl_slist* longer = lib.append(headers, header.c_str()); longer != nullptr) headers = longer;
  };
  for (const std::string& header : request.headers) add(header);
  add("Expect:");  // no pause before a body

  const auto milliseconds = static_cast<long>(std::clamp<Nanos>(request.timeout / kMillisecond, 1, 3'600'000));
  lib.set(curl, CURLOPT_URL, request.url.c_str());
  lib.set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  lib.set(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.method == "GET") {
    lib.set(curl, CURLOPT_HTTPGET, 1L);
  } else {
    lib.set(curl, CURLOPT_POST, 1L);
    lib.set(curl, CURLOPT_POSTFIELDS, request.body.empty() ? "" : request.body.data());
    lib.set(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  }
  lib.set(curl, CURLOPT_HTTPHEADER, headers);
  const bool https = request.url.starts_with("https:");
  lib.set(curl, CURLOPT_HTTP_VERSION,
          !request.http2 ? static_cast<long>(CURL_HTTP_VERSION_1_1)
          : https        ? static_cast<long>(CURL_HTTP_VERSION_2TLS)
                         : static_cast<long>(CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
  // libcurl 7.88 sends nothing over a connection of HTTP/2 with prior knowledge that it uses again, and fails.
  lib.set(curl, CURLOPT_FORBID_REUSE, request.http2 && !https ? 1L : 0L);
  lib.set(curl, CURLOPT_TIMEOUT_MS, milliseconds);
  lib.set(curl, CURLOPT_CONNECTTIMEOUT_MS, milliseconds);
  lib.set(curl, CURLOPT_NOSIGNAL, 1L);
  lib.set(curl, CURLOPT_FOLLOWLOCATION, 0L);
  lib.set(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  lib.set(curl, CURLOPT_WRITEFUNCTION, &on_body);
  lib.set(curl, CURLOPT_WRITEDATA, &receiver);
  lib.set(curl, CURLOPT_HEADERFUNCTION, &on_header);
  lib.set(curl, CURLOPT_HEADERDATA, &receiver);
  // A name that is still looked up when the request ends is not waited for.
  lib.set(curl, CURLOPT_QUICK_EXIT, 1L);
  if (request.direct) lib.set(curl, CURLOPT_NOPROXY, "*");
  handle.error[0] = '\0';
  lib.set(curl, CURLOPT_ERRORBUFFER, handle.error.data());
  if (!request.unix_socket.empty()) lib.set(curl, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  const PushSecurity& security = handle.security;
  if (!security.verify) {
    lib.set(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    lib.set(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (!security.ca_file.empty()) lib.set(curl, CURLOPT_CAINFO, security.ca_file.c_str());
  if (!security.cert_file.empty()) lib.set(curl, CURLOPT_SSLCERT, security.cert_file.c_str());
  if (!security.key_file.empty()) lib.set(curl, CURLOPT_SSLKEY, security.key_file.c_str());

  const CURLcode code = handle.perform(interrupted_);
  lib.free_all(headers);
  if (code == CURLE_OK) {
    long status = 0, version = 0;
    lib.info(curl, CURLINFO_RESPONSE_CODE, &status);
    // Over TLS the server may have chosen another protocol. What it then says is no answer to this request.
    lib.info(curl, CURLINFO_HTTP_VERSION, &version);
    if (request.http2 && version != CURL_HTTP_VERSION_2_0)
      return fail(Code::io,
                  printable(url_origin(request.url), 200) + ": the server speaks no HTTP/2, which gRPC needs");
    receiver.reply.status = static_cast<unsigned>(std::max(status, 0L));
    return std::move(receiver.reply);
  }
  const std::string why = printable(url_origin(request.url), 200) + ": " +
                          printable(handle.error[0] != '\0' ? handle.error.data() : lib.text(code), 300);
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return fail(Code::timeout, why);
    case CURLE_ABORTED_BY_CALLBACK:
      return fail(Code::lost, "interrupted");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return fail(Code::invalid, why);
    default:
      return fail(Code::io, why);
  }
}

std::string_view PushReply::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

bool parse_retry_after(std::string_view text, Nanos now, Nanos& out) {
  text = trim(text);
  if (const auto seconds = parse_u64(text)) {
    out = static_cast<Nanos>(std::min<uint64_t>(*seconds, 86400)) * kSecond;
    return true;
  }
  tm parts{};
  const std::string date(text.substr(0, 64));
  const char* end = ::strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return false;
  out = std::clamp<Nanos>(static_cast<Nanos>(::timegm(&parts)) * kSecond - now, 0, 86400 * kSecond);
  return true;
}

}  // namespace accelmon

#include "agent/agent.h"

#include <accelmon_revision.h>
#include <malloc.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <mutex>
#include <utility>

#include "agent/api.h"
#include "agent/arbiter.h"
#include "agent/collector_slot.h"
#include "agent/event_log.h"
#include "agent/exporter_set.h"
#include "agent/finding_facts.h"
#include "agent/hand_over.h"
#include "agent/landing.h"
#include "agent/pages.h"
#include "agent/registry.h"
#include "agent/self_metrics.h"
#include "agent/service_manager.h"
#include "agent/status_document.h"
#include "base/memory.h"
#include "base/text.h"
#include "store/store.h"

namespace accelmon {
namespace {

constexpr Nanos kSettled = 15 * kSecond;  // after this no source is waited for any longer

class AgentImpl : public Agent {
 public:
  explicit AgentImpl(AgentOptions options)
      : options_(std::move(options)),
        config_(options_.config),
        clock_(real_clock()),
        self_(clock_, ACCELMON_VERSION, ACCELMON_REVISION),
        exporters_(identity()),
        pages_(page_source()),
        api_(api_source()) {
    hostname_ = identity().hostname;
    socket_path_ = config_.listen.socket.empty() ? default_socket_path() : config_.listen.socket;
  }

  ~AgentImpl() override {
    api_.stop();
    serving_.store(nullptr);
    server_.reset();  // before what its handler reads
    stop_collectors();
    exporters_.stop();
  }

  Status start() {
    wake_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_.valid()) return Status::from_errno(errno, "cannot make an eventfd");
    wake_fd_.store(wake_.get(), std::memory_order_release);
    store_ = std::make_unique<Store>(config_.store.memory);
    if (options_.serve && !config_.store.path.empty()) history_ = DiskStore::open(disk_options());
    pages_.set_gzip(config_.exposition.gzip);
    pages_.set_options(page_options());
    // The listener comes first: an address in use must not start collectors, and /metrics answers from the beginning.
    // What else is asked for waits until the slots are there.
    const std::lock_guard lock(mutex_);
    if (options_.serve) {
      publish();
      HttpServerOptions http;
      http.address = config_.listen.address;
      http.socket_path = socket_path_;
      http.max_connections = config_.listen.max_connections;
      http.idle_timeout = config_.listen.idle_timeout;
      http.request_timeout = config_.listen.request_timeout;
      http.security = {.web_config = config_.listen.web_config,
                       .bearer_tokens_file = config_.listen.bearer_tokens_file,
                       .requests_per_second = config_.listen.requests_per_second,
                       .check_host = true,
                       .hosts = config_.listen.hosts};
      http.post_path = kRemoteReadPath;
      auto server = HttpServer::start(std::move(http), [this](const HttpRequest& r) { return pages_.handle(r); });
      if (!server) return server.error();
      server_ = std::move(*server);
      serving_.store(server_.get());
      address_ = server_->address();
    }
    for (const CollectorEntry& entry : collector_table())
      slots_.push_back(std::make_unique<CollectorSlot>(entry, clock_));
    for (auto& slot : slots_) slot->configure(config_, slot_settings());
    for (auto& slot : slots_) slot->service();
    publish();
    if (options_.serve) exporters_.configure(config_, history_.get());
    return {};
  }

  void run(std::function<void()> on_first_report, Nanos first_report_after) override {
    const Nanos deadline = clock_.monotonic() + first_report_after;
    const Nanos watchdog = watchdog_period();
    Nanos next_watchdog = 0;
    notify_service_manager("READY=1\nSTATUS=serving " + scheme() + "://" + address_ + "/");
    bool first = static_cast<bool>(on_first_report);
    while (!stopping_.load(std::memory_order_acquire)) {
      Nanos until = clock_.monotonic() + 60 * kSecond;
      if (first) until = std::min(until, deadline);
      if (watchdog != 0) until = std::min(until, next_watchdog);
      turn(until);
      const Nanos now = clock_.monotonic();
      if (watchdog != 0 && now >= next_watchdog) {
        notify_service_manager("WATCHDOG=1");
        next_watchdog = now + watchdog;
      }
      if (reload_.exchange(false, std::memory_order_acq_rel)) reload_configuration();
      if (first && (all_reported(1) || now >= deadline)) {
        first = false;
        on_first_report();
        release_unused_memory();
      }
    }
    notify_service_manager("STOPPING=1");
    {
      const std::lock_guard lock(mutex_);
      exporters_.begin_stop();  // they send their last while the collectors end
    }
    stop_collectors();
    api_.stop();
    std::unique_ptr<DiskStore> history;
    {
      // The status document reads both, until the server is gone.
      const std::lock_guard lock(mutex_);
      exporters_.stop();
      history = std::move(history_);
    }
    history.reset();  // writes what waits
  }

  bool wait_for_frames(uint64_t frames, Nanos timeout) override {
    const Nanos deadline = clock_.monotonic() + timeout;
    while (!all_reported(frames) && !stopping_.load(std::memory_order_acquire)) {
      if (clock_.monotonic() >= deadline) return false;
      turn(deadline);
    }
    return true;
  }

  void stop() override {
    stopping_.store(true, std::memory_order_release);
    wake();
  }
  void reload() override {
    reload_.store(true, std::memory_order_release);
    wake();
  }

  Recycled<Snapshot> snapshot() const override {
    const std::lock_guard lock(snapshot_mutex_);
    return snapshot_;
  }

  std::string status_json(bool device_values) const override {
    const std::lock_guard lock(mutex_);
    look_for_findings();
    const PageCounters& pages = pages_.counters();
    return status_document(StatusInputs{
        .clock = clock_,
        .config = config_,
        .version = ACCELMON_VERSION,
        .hostname = hostname_,
        .address = address_,
        .tls = server_ != nullptr && server_->tls(),
        .authenticates = server_ != nullptr && server_->authenticates(),
        .socket = options_.serve ? std::string_view(socket_path_) : std::string_view(),
        .simulated = simulated(),
        .slots = slots_,
        .views = views_,
        .self = self_,
        .events = events_,
        .scrapes = pages.scrapes_text.load() + pages.scrapes_openmetrics.load() + pages.scrapes_protobuf.load(),
        .last_scrape = pages.last_scrape.load(),
        .page_bytes = pages.page_bytes.load(),
        .exporters = exporters_.states(),
        .history = history_ ? std::optional(history_->state()) : std::nullopt,
        .history_path = history_ ? std::string_view(history_->path()) : std::string_view(),
        .findings =
            std::array{book_.count(Severity::info), book_.count(Severity::warning), book_.count(Severity::critical)},
        .device_values = device_values,
    });
  }

  std::string findings_json() const override {
    const std::lock_guard lock(mutex_);
    look_for_findings();
    return findings_document(book_.findings(), book_.evaluated_at()) + "\n";
  }

  std::string address() const override { return address_; }

 private:
  PageSource page_source() {
    PageSource source;
    source.snapshot = [this] { return snapshot(); };
    source.status_json = [this] { return status_json(true); };
    source.ready = [this](std::string& why) { return ready(why); };
    source.control = [this](std::string_view verb, std::string_view vendor, std::string& answer) {
      return control(verb, vendor, answer);
    };
    source.landing = [this] { return landing_page(); };
    source.api = [this](const HttpRequest& request, HttpResponse& out) { return api_.handle(request, out); };
    return source;
  }

  ApiSource api_source() {
    ApiSource source;
    source.snapshot = [this] { return snapshot(); };
    source.events = [this] {
      const std::lock_guard lock(mutex_);
      return events_.entries();
    };
    source.findings = [this] {
      const std::lock_guard lock(mutex_);
      look_for_findings();
      return book_.findings();
    };
    source.history = [this] {
      const std::lock_guard lock(mutex_);
      return HistoryPlaces{history_.get(), store_.get()};
    };
    source.wake = [this] {
      if (HttpServer* server = serving_.load()) server->wake();
    };
    return source;
  }

  static Identity identity() {
    Identity out;
    char name[256] = {};
    if (::gethostname(name, sizeof name - 1) == 0) out.hostname = printable(name, 253);
    out.host_id = machine_id();
    out.version = ACCELMON_VERSION;
    return out;
  }

  std::string scheme() const { return server_ != nullptr && server_->tls() ? "https" : "http"; }

  SlotSettings slot_settings() const { return {options_.executable, options_.collector_environment}; }

  bool simulated() const {
    return std::any_of(options_.collector_environment.begin(), options_.collector_environment.end(),
                       [](const auto& entry) { return entry.name == "ACCELMON_SCENARIO"; });
  }

  void wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_fd_.load(std::memory_order_acquire), &one, sizeof one);
  }

  // One turn of the loop: sleeps until something arrives or is due, then lets every slot work and publishes.
  void turn(Nanos until) {
    fds_.clear();
    fds_.push_back({wake_.get(), POLLIN, 0});
    {
      const std::lock_guard lock(mutex_);
      for (const auto& slot : slots_) {
        if (slot->fd() >= 0) fds_.push_back({slot->fd(), POLLIN, 0});
        until = std::min(until, slot->next_deadline());
      }
    }
    // Ages and self-metrics keep moving while every collector is silent.
    until = std::min(until, published_at_ + std::max<Nanos>(config_.poll.interval, 100 * kMillisecond) * 3 / 2);
    until = std::min(until, exporters_.next_look(clock_.monotonic()));
    const Nanos left = std::max<Nanos>(0, until - clock_.monotonic());
    const timespec wait{left / kSecond, left % kSecond};
    ::ppoll(fds_.data(), fds_.size(), &wait, nullptr);
    uint64_t drained = 0;
    while (::read(wake_.get(), &drained, sizeof drained) > 0) {
    }

    const std::lock_guard lock(mutex_);
    bool changed =
        clock_.monotonic() >= published_at_ + std::max<Nanos>(config_.poll.interval, 100 * kMillisecond) * 3 / 2;
    for (auto& slot : slots_) {
      if (slot->service()) changed = true;
      if (slot->take_catalog_changed()) {
        trim_at_ = clock_.monotonic() + 5 * kSecond;
        if (slot->catalog() != nullptr) events_.learn(*slot->catalog());
        // The first look at the bus is no change of it.
        if (slot->entry().shows == Shows::presence && std::exchange(bus_known_, true))
          for (auto& other : slots_) other->look_again();
      }
      for (Event& event : slot->take_events()) events_.add(slot->name(), std::move(event), clock_.wall());
    }
    exporters_.look(clock_.monotonic());
    if (changed) publish();
    if (options_.serve && clock_.wall() - book_.evaluated_at() >= config_.poll.slow) look_for_findings();
    // What reading and planning a catalog took, and laying out the first page of it, goes back to the system, once
    // things have settled.
    const uint64_t prepared = pages_.counters().prepared.load(std::memory_order_relaxed);
    if (std::exchange(prepared_, prepared) != prepared) trim_at_ = clock_.monotonic() + 5 * kSecond;
    if (trim_at_ != 0 && clock_.monotonic() >= trim_at_) {
      trim_at_ = clock_.monotonic() + kReleaseMemoryEvery;
      release_unused_memory();
    }
  }

  // Called with mutex_ held (or before any thread exists).
  void publish() {
    SelfInputs inputs;
    const PageCounters& pages = pages_.counters();
    inputs.scrapes_text = pages.scrapes_text.load(std::memory_order_relaxed);
    inputs.scrapes_openmetrics = pages.scrapes_openmetrics.load(std::memory_order_relaxed);
    inputs.scrapes_protobuf = pages.scrapes_protobuf.load(std::memory_order_relaxed);
    inputs.render_time = pages.render_time.load(std::memory_order_relaxed);
    inputs.page_bytes = pages.page_bytes.load(std::memory_order_relaxed);
    if (server_ != nullptr) {
      const HttpCounters http = server_->counters();
      inputs.requests_ok = http.ok;
      inputs.requests_client_error = http.client_error;
      inputs.requests_server_error = http.server_error;
      inputs.connections = http.open;
      inputs.certificate_expires_at = http.certificate_expires_at;
      inputs.handshakes_failed = http.handshakes_failed;
    }
    inputs.store_bytes = store_->bytes();
    inputs.store_limit = store_->limit();
    inputs.store_span = store_->full_rate_span();
    inputs.reloads_ok = reloads_ok_;
    inputs.reloads_failed = reloads_failed_;
    inputs.exporters = exporters_.states();
    if (history_) inputs.history = history_->state();
    if (book_.evaluated_at() != 0)
      inputs.findings = {book_.count(Severity::info), book_.count(Severity::warning), book_.count(Severity::critical)};
    Recycled<Frame> self_frame = self_frames_.take();
    self_.update(slots_, inputs, *self_frame);

    Recycled<Snapshot> fresh = snapshots_.take();
    fresh->sequence = ++sequence_;
    fresh->wall = clock_.wall();
    fresh->monotonic = clock_.monotonic();
    fresh->sources.resize(slots_.size() + 1);
    views_.resize(slots_.size());
    for (size_t i = 0; i < slots_.size(); ++i) {
      ArbiterSource& source = views_[i];
      source.shows = slots_[i]->entry().shows;
      source.live = slots_[i]->state() == SlotState::running;
      source.reported = slots_[i]->reported();
      source.let_go = slots_[i]->state() == SlotState::released;
      slots_[i]->view_into(source.view);
    }
    arbiter_.arbitrate(views_, fresh->monotonic, config_.poll.interval, fresh->monotonic - started_ > kSettled);
    for (size_t i = 0; i < slots_.size(); ++i) {
      SourceView& source = fresh->sources[i];
      source.catalog = views_[i].view.catalog;
      source.frame = views_[i].view.frame;
      if (source.name != slots_[i]->name()) source.name = slots_[i]->name();
    }
    SourceView& own = fresh->sources.back();
    if (own.name != "agent") own.name = "agent";
    own.catalog = self_.catalog();
    own.frame = std::move(self_frame);
    published_at_ = fresh->monotonic;
    hand_over_.pass(*fresh, config_.poll.interval, [this, &own](const SourceView& source) {
      // Memory is for what was read; the agent's own numbers are kept on disk alone.
      if (&source != &own) store_->append(source.name, source.catalog, *source.frame);
      if (history_) history_->append(source.name, source.catalog, *source.frame);
      exporters_.append(source.name, source.catalog, source.frame);
    });
    {
      const std::lock_guard lock(snapshot_mutex_);
      snapshot_ = std::move(fresh);
    }
    if (server_ != nullptr) server_->wake();
  }

  // Called with mutex_ held. What was published is judged; unasked too, so that it is known since when a finding holds.
  void look_for_findings() const {
    const Recycled<Snapshot> shown = snapshot();
    if (!shown) return;
    look(book_, {.clock = clock_,
                 .snapshot = *shown,
                 .slots = slots_,
                 .events = events_,
                 .exporters = exporters_.states(),
                 .history = history_ ? std::optional(history_->state()) : std::nullopt,
                 .certificate_expires_at = server_ != nullptr ? server_->counters().certificate_expires_at : 0,
                 .watched = clock_.monotonic() - started_,
                 .window = config_.smoothing.window});
  }

  DiskOptions disk_options() const {
    DiskOptions options;
    options.path = config_.store.path;
    options.limit_bytes = config_.store.disk;
    options.commit = config_.store.commit;
    options.keep = {config_.store.keep, config_.store.keep_10s, config_.store.keep_1m};
    return options;
  }

  bool all_reported(uint64_t frames) const {
    return std::all_of(slots_.begin(), slots_.end(), [&](const auto& slot) {
      // One that is polled seldom has told all that it will tell soon in its first frame.
      return slot->frames() >= (slot->pace() == Tier::fast ? frames : std::min<uint64_t>(frames, 1)) ||
             (slot->reported() && slot->state() != SlotState::running && slot->state() != SlotState::starting);
    });
  }

  bool ready(std::string& why) const {
    const std::lock_guard lock(mutex_);
    for (const auto& slot : slots_) {
      if (slot->state() != SlotState::starting || slot->frames() > 0) continue;
      why = std::string(slot->name()) + " is starting";
      return false;
    }
    return true;
  }

  unsigned control(std::string_view verb, std::string_view vendor, std::string& answer) {
    unsigned status = 404;
    answer.clear();
    const auto say = [&](const std::string& text) { answer += (answer.empty() ? "" : "; ") + text; };
    {
      const std::lock_guard lock(mutex_);
      for (auto& slot : slots_) {
        if (slot->entry().vendor != vendor && slot->name() != vendor) continue;
        if (slot->state() == SlotState::disabled) {
          if (status == 404) status = 409;
          say(std::string(slot->name()) + " is switched off by the configuration");
          continue;
        }
        status = 200;
        if (verb == "release") {
          slot->release();
          say(std::string(slot->name()) + " is let go: its collector is stopping");
        } else {
          slot->resume();
          say(std::string(slot->name()) + " is taken up again");
        }
        log(LogLevel::info, slot->name(), verb == "release" ? "released on request" : "taken up again on request");
      }
    }
    if (status == 404) answer = "no collector of vendor '" + printable(vendor, 40) + "'";
    wake();
    return status;
  }

  std::string landing_page() const {
    const std::lock_guard lock(mutex_);
    std::vector<LandingRow> rows;
    for (const auto& slot : slots_) {
      const SourceView view = slot->view();
      rows.push_back({std::string(slot->name()), std::string(slot->entry().brief),
                      std::string(to_string(slot->state())), slot->message(),
                      view.catalog == nullptr ? 0 : view.catalog->devices.size()});
    }
    return render_landing(ACCELMON_VERSION, hostname_, rows);
  }

  PageOptions page_options() const {
    const auto& exposition = config_.exposition;
    const auto speaks = [&](std::string_view name) {
      return std::find(exposition.vocabularies.begin(), exposition.vocabularies.end(), name) !=
             exposition.vocabularies.end();
    };
    return {.otel = speaks("otel"),
            .dcgm = speaks("dcgm"),
            .only = exposition.only,
            .except = exposition.except,
            .keep_labels = exposition.keep_labels,
            .drop_labels = exposition.drop_labels,
            .hostname = hostname_};
  }

  void reload_configuration() {
    notify_service_manager("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(clock_.monotonic() / kMicrosecond));
    Result<Config> loaded =
        options_.config_path.empty() ? Result<Config>(default_config()) : load_config(options_.config_path);
    const std::lock_guard lock(mutex_);
    if (!loaded) {
      ++reloads_failed_;
      log(LogLevel::error, "", loaded.error().message() + ". Still running with the old configuration");
    } else {
      if (options_.overrides) options_.overrides(*loaded);
      const bool moved = loaded->listen.address != config_.listen.address ||
                         loaded->listen.socket != config_.listen.socket ||
                         loaded->listen.max_connections != config_.listen.max_connections ||
                         loaded->listen.web_config != config_.listen.web_config ||
                         loaded->listen.bearer_tokens_file != config_.listen.bearer_tokens_file ||
                         loaded->listen.hosts != config_.listen.hosts ||
                         loaded->listen.requests_per_second != config_.listen.requests_per_second ||
                         loaded->store.memory != config_.store.memory || loaded->store.path != config_.store.path ||
                         loaded->store.disk != config_.store.disk || loaded->store.commit != config_.store.commit ||
                         loaded->store.keep != config_.store.keep || loaded->store.keep_10s != config_.store.keep_10s ||
                         loaded->store.keep_1m != config_.store.keep_1m;
      config_ = std::move(*loaded);
      set_log_level(config_.log_level);
      pages_.set_gzip(config_.exposition.gzip);
      pages_.set_options(page_options());
      for (auto& slot : slots_) slot->configure(config_, slot_settings());
      if (options_.serve) exporters_.configure(config_, history_.get());
      if (Status status = server_ == nullptr ? Status() : server_->reload_security(); !status.ok()) {
        ++reloads_failed_;
        log(LogLevel::error, "http", status.message() + ". Still serving with the old files");
      } else {
        ++reloads_ok_;
      }
      log(LogLevel::info, "",
          moved ? "configuration read again; changes of [listen] and [store] take effect at the next start"
                : "configuration read again");
    }
    publish();
    notify_service_manager("READY=1");
  }

  // Asks every collector to end, waits for the grace that the slots give, and leaves none behind but one that sits in
  // the kernel.
  void stop_collectors() {
    const Nanos deadline = clock_.monotonic() + 3 * kSecond;
    for (auto& slot : slots_) slot->begin_stop();
    for (;;) {
      bool all = true;
      for (auto& slot : slots_)
        if (!slot->stopped()) all = false;
      if (all || clock_.monotonic() >= deadline) break;
      const timespec pause{0, 2 * kMillisecond};
      ::nanosleep(&pause, nullptr);
    }
    for (auto& slot : slots_)
      if (!slot->stopped()) slot->kill_now();
  }

  AgentOptions options_;
  Config config_;
  const Clock& clock_;
  std::string hostname_;
  std::string socket_path_;
  std::string address_;
  UniqueFd wake_;
  std::atomic<int> wake_fd_{-1};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> reload_{false};

  mutable std::mutex
      mutex_;  // guards what status_json() and control() share with the loop: slots_, config_, events_, self_
  std::vector<std::unique_ptr<CollectorSlot>> slots_;
  EventLog events_;
  mutable FindingBook book_;  // evaluated on request too
  Arbiter arbiter_;
  std::vector<ArbiterSource> views_;  // of the last publication
  SelfMetrics self_;
  uint64_t reloads_ok_ = 0;
  uint64_t reloads_failed_ = 0;

  std::unique_ptr<Store> store_;
  std::unique_ptr<DiskStore> history_;  // nullptr: none is kept on disk
  ExporterSet exporters_;
  HandOver hand_over_;
  std::vector<pollfd> fds_;
  Recycler<Frame> self_frames_;
  Recycler<Snapshot> snapshots_;
  uint64_t sequence_ = 0;
  Nanos published_at_ = 0;
  const Nanos started_ = real_clock().monotonic();
  Nanos trim_at_ = 0;       // 0: nothing has settled yet
  uint64_t prepared_ = 0;   // pages, when it was looked last
  bool bus_known_ = false;  // presence has shown a catalog

  mutable std::mutex snapshot_mutex_;
  Recycled<Snapshot> snapshot_;

  Pages pages_;
  Api api_;
  std::unique_ptr<HttpServer> server_;
  std::atomic<HttpServer*> serving_{nullptr};  // for the API's thread
};

}  // namespace

Result<std::unique_ptr<Agent>> Agent::create(AgentOptions options) {
  // One arena is enough for two threads that hardly allocate, and keeps the address space small.
  ::mallopt(M_ARENA_MAX, 1);
  ::prctl(PR_SET_TIMERSLACK, kMillisecond);
  auto agent = std::make_unique<AgentImpl>(std::move(options));
  if (Status status = agent->start(); !status.ok()) return fail(std::move(status));
  return agent;
}

}  // namespace accelmon

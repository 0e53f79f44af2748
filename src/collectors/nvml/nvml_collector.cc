#include "collectors/nvml/nvml_collector.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <span>

#include "base/log.h"
#include "base/text.h"
#include "collectors/nvml/nvml_advice.h"
#include "collectors/nvml/nvml_discovery.h"
#include "collectors/nvml/nvml_events.h"
#include "collectors/nvml/nvml_pci.h"

namespace accelmon {
namespace {

using namespace nvml;

// A GPU that is not handed out, or was lost while it was asked for what it can, is asked for again at growing
// distances: each attempt may take the driver seconds.
constexpr uint32_t kLongestPause = 32;  // in polls of the rare tier

std::string version_text(Library& library, int (*read)(Library&, char*, U32)) {
  char text[kVersionBytes] = "";
  if (read(library, text, kVersionBytes) != kSuccess) return {};
  text[kVersionBytes - 1] = '\0';
  return printable(text, kVersionBytes);
}

std::string cuda_text(int version) {
  if (version <= 0) return {};
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string joined(const std::vector<std::string_view>& words) {
  constexpr size_t kRoom = 200;
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (text.size() + words[i].size() > kRoom) return text + " and " + std::to_string(words.size() - i) + " more";
    if (i > 0) text += ", ";
    text += words[i];
  }
  return text;
}

class NvmlCollector final : public Collector {
 public:
  explicit NvmlCollector(CollectorContext context)
      : context_(std::move(context)), where_{context_.option("sysfs", "/sys"), context_.option("procfs", "/proc")} {}
  ~NvmlCollector() override { release(); }

  Result<Catalog> discover() override;
  PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) override;
  void release() override;

 private:
  Status open();
  Status enumerate_all();
  void watch_events();
  Catalog build();
  void add_facts(CatalogBuilder& builder);
  bool hear_events(std::vector<Event>& events);
  bool devices_changed();
  bool is_missing_back(size_t reader);
  Status give_up(int code);

  CollectorContext context_;
  Surroundings where_;
  std::unique_ptr<Library> library_;
  std::unique_ptr<Host> host_;
  std::vector<std::unique_ptr<DeviceReader>> readers_;
  std::vector<KnownGpu> known_;
  U32 count_ = 0;
  bool enumerate_due_ = true;
  uint64_t places_ = 0;  // of calls in tiers, when the devices were last probed
  bool first_poll_ = true;
  size_t series_ = 0;

  // What became of a GPU outlives its readers: by hw.id.
  std::map<std::string, EventCounts> event_counts_;
  std::unique_ptr<EventWatch> watch_;
  std::vector<DeviceHandle> watched_;
  std::vector<EventData> heard_;
  size_t reporting_ = 0;
  std::vector<int> watch_codes_;

  uint32_t pause_ = 1;  // between attempts at GPUs that could not be asked
  uint32_t paused_ = 0;
};

Status NvmlCollector::open() {
  auto opened = Library::open(context_.option("library", ""), context_.calls);
  if (!opened) return no_library(opened.error(), where_);
  library_ = std::move(*opened);
  if (const int code = library_->call<Symbol::nvmlInit_v2>(); code != kSuccess) {
    const Status why = no_driver(code, *library_, where_);
    library_.reset();
    return why;
  }
  host_ = std::make_unique<Host>(*library_, context_.clock, where_.sysfs, where_.procfs);
  host_->driver_version = version_text(*library_, [](Library& nvml, char* out, U32 size) {
    return nvml.call<Symbol::nvmlSystemGetDriverVersion>(out, size);
  });
  host_->library_version = version_text(*library_, [](Library& nvml, char* out, U32 size) {
    return nvml.call<Symbol::nvmlSystemGetNVMLVersion>(out, size);
  });
  int cuda = 0;
  if (library_->call<Symbol::nvmlSystemGetCudaDriverVersion>(&cuda) != kSuccess) cuda = 0;
  host_->cuda_version = cuda_text(cuda);
  host_->interface = interface_version(cuda, host_->driver_version);
  host_->interval = context_.interval();
  host_->each_link = context_.option("each_nvlink", "false") == "true";
  enumerate_due_ = true;
  return {};
}

Status NvmlCollector::give_up(int code) {
  Status why = no_driver(code, *library_, where_);
  release();
  return why;
}

Status NvmlCollector::enumerate_all() {
  host_->waiting.clear();
  auto found = enumerate(*host_, known_);
  if (!found) return give_up(found.error());
  if (found->readers.empty()) {
    release();
    return no_device(where_);
  }
  for (auto& reader : found->readers)
    for (auto& earlier : readers_)
      if (earlier->identity().id == reader->identity().id) reader->inherit(*earlier);
  readers_ = std::move(found->readers);
  count_ = found->count;
  known_.clear();
  for (const auto& reader : readers_)
    if (!reader->is_part())
      known_.push_back(KnownGpu{reader->identity(), reader->pci_address(), !reader->identity().index.empty()});
  watch_events();
  enumerate_due_ = false;
  paused_ = 0;
  if (std::all_of(readers_.begin(), readers_.end(), [](const auto& reader) { return reader->probed(); })) pause_ = 1;
  return {};
}

void NvmlCollector::watch_events() {
  std::vector<DeviceHandle> handles;
  for (const auto& reader : readers_)
    if (!reader->is_part() && reader->handle() != nullptr) handles.push_back(reader->handle());
  // Another set of GPUs takes another event set; while it is the same, no event falls between two of them.
  if (watch_ == nullptr || handles != watched_) {
    if (watch_ != nullptr && !watch_->stop())
      log(LogLevel::warn, "nvml", "a thread does not come back from nvmlEventSetWait_v2 and is left behind");
    watch_ = std::make_unique<EventWatch>(*library_);
    watch_codes_.clear();
    for (const DeviceHandle handle : handles) watch_codes_.push_back(watch_->add(handle));
    watch_->start();
    watched_ = std::move(handles);
  }
  reporting_ = 0;
  size_t n = 0;
  for (const auto& reader : readers_) {
    if (reader->is_part() || reader->handle() == nullptr) continue;
    const int code = watch_codes_[n++];
    EventCounts& counts = event_counts_[reader->identity().id];
    if (code == kSuccess) {
      ++reporting_;
      for (const int xid : expected_xids()) {
        const EventMeaning meaning = meaning_of(kEventXid, static_cast<U64>(xid));
        counts.try_emplace(meaning.code, EventCount{meaning.severity, 0});
      }
    }
    reader->set_events(&counts, code);
  }
}

Result<Catalog> NvmlCollector::discover() {
  if (library_ == nullptr) {
    if (Status opened = open(); !opened.ok()) return fail(std::move(opened));
  }
  if (const uint64_t places = library_->calls().places(); places != places_) {
    places_ = places;
    enumerate_due_ = true;
  }
  if (enumerate_due_) {
    if (Status found = enumerate_all(); !found.ok()) return fail(std::move(found));
  }
  return build();
}

Catalog NvmlCollector::build() {
  Catalog catalog;
  CatalogBuilder builder(catalog);
  int whole = -1;
  for (const auto& reader : readers_) {
    const int index = static_cast<int>(catalog.devices.size());
    reader->build(builder, catalog, reader->is_part() ? whole : -1);
    if (!reader->is_part()) whole = index;
  }
  host_->names.keep([this](U32 pid) {
    return std::any_of(readers_.begin(), readers_.end(), [pid](const auto& reader) { return reader->shows(pid); });
  });
  add_facts(builder);
  series_ = catalog.series.size();
  first_poll_ = true;
  return catalog;
}

void NvmlCollector::add_facts(CatalogBuilder& builder) {
  builder.fact("library", printable(library_->path()));
  builder.fact("library version", host_->library_version);
  builder.fact("driver version", host_->driver_version);
  builder.fact("CUDA version", host_->cuda_version);
  builder.fact("missing symbols", joined(library_->missing_symbols()));
  builder.fact("devices",
               std::to_string(count_) + " in NVML; " + printable(describe(nvidia_pci_devices(where_.sysfs))));
  const auto with_gpm =
      std::count_if(readers_.begin(), readers_.end(), [](const auto& reader) { return reader->has_gpm(); });
  builder.fact("performance monitoring (GPM)",
               std::to_string(with_gpm) + " of " + std::to_string(readers_.size()) + " devices and partitions");
  for (const auto& [metric, cost] : host_->waiting) {
    char text[80];
    std::snprintf(text, sizeof text, "the driver takes %.2g ms a reading: read with the slow tier",
                  to_seconds(cost) * 1e3);
    builder.fact("slow: " + metric, text);
  }
  builder.fact("events", std::to_string(reporting_) + " of " + std::to_string(count_) + " devices report");
}

PollResult NvmlCollector::poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) {
  if (library_ == nullptr) return PollResult::lost;
  if (frame.values.size() != series_ || frame.states.size() != series_) return PollResult::rediscover;
  // A new catalog has no earlier readings to repeat.
  const PollRequest due{static_cast<uint8_t>(first_poll_ ? 0xff : request.due)};

  bool rediscover = hear_events(events);
  bool suspect = false;
  for (const auto& reader : readers_) {
    const DeviceReader::Outcome outcome = reader->poll(due, frame, events);
    if (outcome.library_lost) return PollResult::lost;
    rediscover = rediscover || outcome.rediscover;
    suspect = suspect || outcome.suspect;
  }
  if ((suspect || (due.is_due(Tier::rare) && !first_poll_)) && devices_changed()) enumerate_due_ = true;
  first_poll_ = false;
  return rediscover || enumerate_due_ ? PollResult::rediscover : PollResult::ok;
}

// Returns whether an event has a code that has no series yet.
bool NvmlCollector::hear_events(std::vector<Event>& events) {
  if (watch_ == nullptr) return false;
  const uint64_t dropped = watch_->drain(heard_);
  if (dropped > 0)
    events.push_back(Event{context_.clock.wall(), Severity::warning, "", "events_dropped",
                           std::to_string(dropped) + " events of the NVIDIA driver came too fast and were not kept"});
  bool news = false;
  for (const EventData& heard : heard_) {
    EventMeaning meaning = meaning_of(heard.type, heard.data);
    if (heard.type == kEventMigConfiguration) enumerate_due_ = true;
    const auto reader = std::find_if(readers_.begin(), readers_.end(),
                                     [&](const auto& one) { return !one->is_part() && one->handle() == heard.device; });
    std::string id;
    if (reader != readers_.end()) {
      id = (*reader)->identity().id;
      meaning.message = "GPU " + (*reader)->identity().index + ": " + meaning.message;
      if (heard.gpu_instance != kNoValue32)
        meaning.message += " (GPU instance " + std::to_string(heard.gpu_instance) + ")";
      const auto [count, is_new] = event_counts_[id].try_emplace(meaning.code, EventCount{meaning.severity, 0});
      count->second.count += 1;
      news = news || is_new;
    }
    events.push_back(Event{context_.clock.wall(), meaning.severity, std::move(id), std::move(meaning.code),
                           std::move(meaning.message)});
  }
  return news;
}

bool NvmlCollector::devices_changed() {
  U32 count = 0;
  if (library_->call<Symbol::nvmlDeviceGetCount_v2>(&count) == kSuccess && count != count_) return true;

  bool missing = false;
  for (size_t i = 0; i < readers_.size(); ++i) {
    const DeviceReader& gpu = *readers_[i];
    if (gpu.is_part()) continue;
    if (!gpu.probed()) missing = true;
    if (!gpu.probed() || gpu.lost()) continue;
    size_t end = i + 1;
    while (end < readers_.size() && readers_[end]->is_part()) ++end;
    const std::span parts(readers_.data() + i + 1, end - i - 1);
    if (gpu.mig_on() ? !same_partitions(*library_, gpu.handle(), parts) : !parts.empty()) return true;
  }

  if (!missing || ++paused_ < pause_) return false;
  paused_ = 0;
  pause_ = std::min(pause_ * 2, kLongestPause);
  for (size_t i = 0; i < readers_.size(); ++i)
    if (is_missing_back(i)) return true;
  return false;
}

bool NvmlCollector::is_missing_back(size_t reader) {
  const DeviceReader& gpu = *readers_[reader];
  if (gpu.is_part() || gpu.probed()) return false;
  const auto index = parse_u64(gpu.identity().index);
  DeviceHandle handle = nullptr;
  return index && library_->call<Symbol::nvmlDeviceGetHandleByIndex_v2>(static_cast<U32>(*index), &handle) == kSuccess;
}

void NvmlCollector::release() {
  if (library_ == nullptr) return;
  const bool quiet = watch_ == nullptr || watch_->stop();
  watch_.reset();
  watched_.clear();
  readers_.clear();
  host_.reset();
  if (!quiet) {
    log(LogLevel::warn, "nvml",
        "a thread does not come back from nvmlEventSetWait_v2: the driver's library stays loaded until this process "
        "ends");
    Library::abandon(std::move(library_));
    return;
  }
  library_->call<Symbol::nvmlShutdown>();
  library_.reset();
}

}  // namespace

std::unique_ptr<Collector> make_nvml_collector(CollectorContext context) {
  return std::make_unique<NvmlCollector>(std::move(context));
}

}  // namespace accelmon

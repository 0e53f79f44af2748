#include "collectors/kernel_log/kernel_log_collector.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <set>

#include "base/text.h"
#include "collectors/kernel_files.h"
#include "collectors/kernel_log/kernel_log_internal.h"
#include "collectors/kernel_log/kernel_message.h"

namespace accelmon {
namespace kernel_log {
namespace {

constexpr size_t kMostDevices = 256;
constexpr size_t kMostCodes = 64;  // of one device
constexpr size_t kMostIdentities = 256;
constexpr size_t kMostHistory = 200;  // events that are told of the time before the start, the newest
constexpr int kRecordsOfHistory = 500'000;
constexpr int kRecordsOfPoll = 2000;   // what is left waits for the next poll
constexpr size_t kMostTold = 100;      // events of a poll; more are counted and not told each
constexpr Nanos kSlack = 2 * kSecond;  // between the log's clock and ours

Nanos clock_of(clockid_t id) {
  timespec at{};
  ::clock_gettime(id, &at);
  return static_cast<Nanos>(at.tv_sec) * kSecond + at.tv_nsec;
}
Nanos suspended_since_boot() {
  return clock_of(CLOCK_BOOTTIME) - clock_of(CLOCK_MONOTONIC);
}

std::string without_slash(std::string path) {
  while (path.ends_with('/')) path.pop_back();
  return path;
}

class KernelLogCollector : public Collector {
 public:
  KernelLogCollector(CollectorContext context, const KernelLogSystem& system)
      : context_(std::move(context)),
        path_(context_.option("path", "/dev/kmsg")),
        procfs_(without_slash(context_.option("procfs", "/proc"))),
        sysfs_(without_slash(context_.option("sysfs", "/sys"))),
        suspended_(system.suspended != nullptr ? system.suspended : &suspended_since_boot),
        reader_(system.kmsg),
        read_call_(context_.calls.add("read " + path_)),
        identity_call_(context_.calls.add("name a device")) {}

  Result<Catalog> discover() override {
    if (!reader_.valid()) {
      const int error = context_.calls.measure(read_call_, [&] { return reader_.open(path_); });
      if (error != 0) return fail(refusal(error));
      if (const int failed = read_history(); failed != 0) {
        reader_.close();
        return fail(refusal(failed));
      }
    }
    Catalog catalog;
    CatalogBuilder out(catalog);
    out.fact("log", printable(path_, kMaxTextBytes - 3));
    out.fact("history", history_);
    slots_.clear();
    std::set<std::string> ids;
    for (auto& [address, device] : devices_) {
      const Source source = device.source;
      std::string id = id_of(address, source);
      if (!ids.insert(id).second) ids.insert(id = address);  // two functions of one device
      Device shown{.type = source == Source::nvswitch ? DeviceType::network : DeviceType::gpu,
                   .id = std::move(id),
                   .vendor = std::string(vendor_of(source)),
                   .info = {{AttributeId::pci_address, address}}};
      const int index = out.add_device(std::move(shown));
      for (auto& [key, count] : device.counts) {
        const int series = out.add(
            MetricId::events, index, Tier::fast,
            {{AttributeId::event_code, key.first}, {AttributeId::severity, std::string(to_string(key.second))}});
        slots_.push_back({static_cast<size_t>(series), &count});
      }
    }
    return catalog;
  }

  PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) override {
    if (frame.values.size() < slots_.size()) return PollResult::rediscover;
    for (Event& event : told_) events.push_back(std::move(event));
    told_.clear();
    if (!request.is_due(Tier::fast)) return PollResult::ok;
    bool is_new = false;
    const int error = context_.calls.measure(read_call_, [&] {
      return read(kRecordsOfPoll, [&](const Record& record) { is_new = hear(record, events) || is_new; });
    });
    if (error != 0) {
      context_.calls.count_error(errno_name(error));
      return PollResult::lost;
    }
    for (const Slot& slot : slots_) frame.set(slot.series, static_cast<double>(*slot.count));
    return is_new ? PollResult::rediscover : PollResult::ok;
  }

  int wake_descriptor() const override { return reader_.fd_to_wait_for(); }

  void release() override {
    reader_.close();
    devices_.clear();
    slots_.clear();
    told_.clear();
  }

 private:
  using Key = std::pair<std::string, Severity>;  // code, severity
  struct Named {
    Source source = Source::nvidia;
    std::map<Key, uint64_t> counts;
  };
  struct Slot {
    size_t series;
    const uint64_t* count;
  };

  Status refusal(int error) const {
    const std::string path = printable(path_, 100);
    if (error == EACCES || error == EPERM)
      return Status(Code::no_permission, path +
                                             " may not be read (kernel.dmesg_restrict): run the collector as root or "
                                             "with CAP_SYSLOG");
    if (error == ENOENT || error == ENXIO || error == ENODEV)
      return Status(Code::absent, path + " is not there: in a container, give it the host's /dev/kmsg");
    return Status::from_errno(error, path);
  }

  // Calls `use` with each record that is there, at most `most`. 0, or errno.
  template <class Use>
  int read(int most, Use use) {
    std::string_view text;
    const uint64_t dropped = reader_.dropped();
    int error = 0;
    for (int i = 0; i < most && error == 0; ++i) {
      const KmsgReader::Next next = reader_.next(text);
      if (next == KmsgReader::Next::empty) break;
      if (next == KmsgReader::Next::failed) error = reader_.error();
      if (next == KmsgReader::Next::overrun) context_.calls.count_error("EPIPE");
      if (next != KmsgReader::Next::record || text.front() == ' ') continue;
      if (const auto record = parse_record(text))
        use(*record);
      else
        context_.calls.count_error("parse");
    }
    if (reader_.dropped() != dropped) context_.calls.count_error("too long");
    return error;
  }

  int read_history() {
    const Nanos now = context_.clock.monotonic(), wall = context_.clock.wall();
    const bool timed = suspended_() < kSecond;
    size_t told = 0, untimed = 0;
    const int error = context_.calls.measure(read_call_, [&] {
      return read(kRecordsOfHistory, [&](const Record& record) {
        learn(record);
        std::optional<Finding> finding = find_event_in(record);
        if (!finding) return;
        if (!timed || record.since_boot > now + kSlack) {
          ++untimed;
          return;
        }
        ++told;
        count(*finding);
        if (told_.size() >= kMostHistory) told_.erase(told_.begin());
        told_.push_back(event_of(std::move(*finding), wall - std::max<Nanos>(0, now - record.since_boot)));
      });
    });
    history_ = std::to_string(told) + " events since boot are still in the log";
    if (untimed > 0) history_ += "; " + std::to_string(untimed) + " are left out, since their time cannot be known";
    return error;
  }

  // Returns whether a device or a code has no series yet.
  bool hear(const Record& record, std::vector<Event>& events) {
    learn(record);
    std::optional<Finding> finding = find_event_in(record);
    if (!finding) return false;
    const bool is_new = count(*finding);
    if (events.size() < kMostTold)
      events.push_back(event_of(std::move(*finding), context_.clock.wall()));
    else
      context_.calls.count_error("events not told");
    return is_new;
  }

  void learn(const Record& record) {
    std::optional<Identity> identity = find_identity_in(record);
    if (identity && (uuids_.size() < kMostIdentities || uuids_.count(identity->address) != 0))
      uuids_[std::move(identity->address)] = std::move(identity->uuid);
  }

  bool count(const Finding& finding) {
    if (finding.address.empty()) return false;
    auto device = devices_.find(finding.address);
    if (device == devices_.end()) {
      if (devices_.size() >= kMostDevices) return false;
      device = devices_.emplace(finding.address, Named{finding.source, {}}).first;
    }
    auto& counts = device->second.counts;
    auto found = counts.find(Key{finding.code, finding.severity});
    const bool is_new = found == counts.end();
    if (is_new) {
      if (counts.size() >= kMostCodes) return false;
      found = counts.emplace(Key{finding.code, finding.severity}, 0).first;
    }
    ++found->second;
    return is_new;
  }

  Event event_of(Finding finding, Nanos wall) {
    Event event{wall, finding.severity, {}, std::move(finding.code), std::move(finding.message)};
    if (!finding.address.empty()) event.device_id = id_of(finding.address, finding.source);
    return event;
  }

  // hw.id as the other collectors have it; the PCI address where that cannot be told.
  std::string id_of(const std::string& address, Source source) {
    std::string id;
    if (source == Source::nvidia) {
      if (const auto known = uuids_.find(address); known != uuids_.end()) return known->second;
      const Result<std::string> text = read_small(procfs_ + "/driver/nvidia/gpus/" + address + "/information");
      for (std::string_view rest = text ? std::string_view(*text) : std::string_view(); !rest.empty();) {
        std::string_view line = next_line(rest);
        if (!line.starts_with("GPU UUID:")) continue;
        line.remove_prefix(std::string_view("GPU UUID:").size());
        const std::string_view uuid = trim(line);
        // The driver shows question marks until the GPU was used once.
        if (uuid.starts_with("GPU-") && uuid.find('?') == std::string_view::npos) id = printable(uuid, 64);
      }
      if (!id.empty() && uuids_.size() < kMostIdentities) uuids_[address] = id;
    } else if (source == Source::amd) {
      const Result<std::string> text = read_small(sysfs_ + "/bus/pci/devices/" + address + "/unique_id");
      const std::string_view unique = text ? trim(*text) : std::string_view();
      if (const auto number = parse_u64(unique, 16); number && *number != 0) id = "amd-" + std::string(unique);
    }
    return id.empty() ? address : id;
  }

  Result<std::string> read_small(const std::string& path) {
    return context_.calls.measure(identity_call_, [&] { return read_file(path, 4096); });
  }

  CollectorContext context_;
  std::string path_, procfs_, sysfs_, history_;
  Nanos (*suspended_)();
  KmsgReader reader_;
  CallId read_call_, identity_call_;
  std::map<std::string, Named> devices_;      // by PCI address; they stay for as long as the process does
  std::map<std::string, std::string> uuids_;  // PCI address -> UUID
  std::vector<Slot> slots_;
  std::vector<Event> told_;  // history that waits for the first poll
};

}  // namespace

std::unique_ptr<Collector> make_collector(CollectorContext context, const KernelLogSystem& system) {
  return std::make_unique<KernelLogCollector>(std::move(context), system);
}

}  // namespace kernel_log

std::unique_ptr<Collector> make_kernel_log_collector(CollectorContext context) {
  return kernel_log::make_collector(std::move(context), kernel_log::KernelLogSystem{});
}

}  // namespace accelmon

#include "agent/exporter_set.h"

#include <algorithm>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"

namespace accelmon {
namespace {

// Some minutes of eight boards, each poll; frames are held and not copied.
constexpr size_t kFeedBytes = 8u << 20;
// What an exporter that ends may take to send what it holds; and then, to notice that it was interrupted.
constexpr Nanos kLastRequest = kSecond;
constexpr Nanos kLookEvery = 50 * kMillisecond;

}  // namespace

std::string machine_id() {
  const Result<std::string> text = read_file("/etc/machine-id", 256);
  return text ? printable(trim(*text), 64) : std::string();
}

std::unique_ptr<Runner> ExporterSet::make(const std::string& name, const ExporterConfig& config, Nanos poll_interval) {
  const ExporterSettings settings(name, config.options);
  RunnerOptions options;
  options.name = name;
  options.type = settings.type;
  const auto failed = [&](const Status& why) {
    log(LogLevel::error, "exporter " + name, why.message());
    return Runner::failed(options, why.message());
  };
  const DestinationInfo* info = find_destination(settings.type);
  if (info == nullptr)
    return failed(Status(Code::invalid, "its type '" + printable(settings.type, 60) + "' is unknown"));
  options.interval = std::max(settings.duration("interval", info->interval), poll_interval);
  Result<std::unique_ptr<Destination>> destination = info->make(settings, identity_, options.where);
  if (!destination) return failed(destination.error());
  std::unique_ptr<FeedCursor> cursor;
  if (disk_ != nullptr) {
    Result<std::unique_ptr<FeedCursor>> opened = open_disk_cursor(*disk_, name);
    if (!opened) return failed(opened.error());
    cursor = std::move(*opened);
  } else {
    cursor = feed_->open();
  }
  const bool every_poll = settings.flag("every_poll", info->every_poll);
  const Nanos interval = options.interval;
  auto runner = std::make_unique<Runner>(
      std::move(options), std::move(*destination), std::move(cursor),
      Selection(settings.list("only"), settings.list("except"), every_poll ? 0 : interval, behind_the_grid(interval)));
  runner->start();
  return runner;
}

bool ExporterSet::is_ending(std::string_view name) const {
  return std::any_of(ending_.begin(), ending_.end(), [&](const Ending& one) { return one.name == name; });
}

void ExporterSet::end(Running& one) {
  if (!one.runner) return;
  one.runner->begin_stop();
  // One whose far end does not answer has tried long enough.
  const bool waits = one.runner->state().health == ExporterHealth::waiting;
  const Nanos now = real_clock().monotonic();
  ending_.push_back(Ending{one.name, std::move(one.runner), waits ? now : now + kLastRequest});
}

void ExporterSet::configure(const Config& config, DiskStore* disk) {
  disk_ = disk;
  std::vector<Running> kept;
  for (Running& one : running_) {
    const auto found = config.exporters.find(one.name);
    if (found != config.exporters.end() && found->second == one.config && one.poll_interval == config.poll.interval)
      kept.push_back(std::move(one));
    else
      end(one);
  }
  running_ = std::move(kept);
  for (const auto& [name, exporter] : config.exporters) {
    if (std::any_of(running_.begin(), running_.end(), [&, &its = name](const Running& one) { return one.name == its; }))
      continue;
    if (!ExporterSettings(name, exporter.options).flag("enabled", true)) continue;
    if (disk == nullptr && !feed_) feed_ = std::make_unique<MemoryFeed>(kFeedBytes);
    running_.push_back(Running{name, exporter, config.poll.interval, nullptr});
  }
  if (running_.empty()) feed_.reset();
  look(real_clock().monotonic());
}

void ExporterSet::look(Nanos monotonic) {
  for (Ending& one : ending_) {
    if (monotonic < one.interrupt_at) continue;
    one.interrupt_at = INT64_MAX;
    one.runner->interrupt();
  }
  std::erase_if(ending_, [](const Ending& one) { return one.runner->ended_by(0); });
  // Those that waited for one of these, in the order of the configuration.
  for (Running& one : running_)
    if (!one.runner && !is_ending(one.name)) one.runner = make(one.name, one.config, one.poll_interval);
}

Nanos ExporterSet::next_look(Nanos monotonic) const {
  return ending_.empty() ? INT64_MAX : monotonic + kLookEvery;
}

void ExporterSet::append(std::string_view source, const CatalogPtr& catalog, const Recycled<Frame>& frame) {
  if (feed_) feed_->append(source, catalog, frame);
}

void ExporterSet::begin_stop() {
  for (Running& one : running_) end(one);
  running_.clear();
}

void ExporterSet::stop() {
  begin_stop();
  for (Ending& one : ending_)
    if (!one.runner->ended_by(one.interrupt_at == INT64_MAX ? 0 : one.interrupt_at)) one.runner->interrupt();
  const Nanos patience = real_clock().monotonic() + kLastRequest;
  for (Ending& one : ending_) {
    if (one.runner->ended_by(patience)) continue;
    log(LogLevel::warn, "exporter " + one.name, "cannot be interrupted; what it was sending is left behind");
    // Its thread goes with the process; until then it needs what it has.
    static std::vector<std::unique_ptr<Runner>>& left = *new std::vector<std::unique_ptr<Runner>>;
    left.push_back(std::move(one.runner));
  }
  ending_.clear();
  feed_.reset();
}

std::vector<ExporterState> ExporterSet::states() const {
  std::vector<ExporterState> states;
  for (const Running& one : running_) {
    if (one.runner) {
      states.push_back(one.runner->state());
      continue;
    }
    ExporterState state;
    state.name = one.name;
    state.type = ExporterSettings(one.name, one.config.options).type;
    state.message = "waits for what ran under its name before to end";
    states.push_back(std::move(state));
  }
  return states;
}

}  // namespace accelmon

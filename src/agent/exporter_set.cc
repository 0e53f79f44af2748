#include "agent/exporter_set.h"

#include <algorithm>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"

namespace accelmon {
namespace {

// Some minutes of eight boards, each poll; frames are held and not copied.
constexpr size_t kFeedBytes = 8u << 20;

}  // namespace

std::string machine_id() {
  const Result<std::string> text = read_file("/etc/machine-id", 256);
  return text ? printable(trim(*text), 64) : std::string();
}

std::unique_ptr<Runner> ExporterSet::make(const std::string& name, const ExporterConfig& config, Nanos poll_interval,
                                          DiskStore* disk) {
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
  if (disk != nullptr) {
    Result<std::unique_ptr<FeedCursor>> opened = open_disk_cursor(*disk, name);
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

void ExporterSet::configure(const Config& config, DiskStore* disk) {
  std::vector<Running> kept;
  for (Running& one : running_) {
    const auto found = config.exporters.find(one.name);
    if (found != config.exporters.end() && found->second == one.config && one.poll_interval == config.poll.interval)
      kept.push_back(std::move(one));
    else
      one.runner->begin_stop();
  }
  running_ = std::move(kept);  // waits for those that end: their cursors must be closed before others open
  for (const auto& [name, exporter] : config.exporters) {
    if (std::any_of(running_.begin(), running_.end(), [&, &its = name](const Running& one) { return one.name == its; }))
      continue;
    if (!ExporterSettings(name, exporter.options).flag("enabled", true)) continue;
    if (disk == nullptr && !feed_) feed_ = std::make_unique<MemoryFeed>(kFeedBytes);
    running_.push_back(Running{name, exporter, config.poll.interval, make(name, exporter, config.poll.interval, disk)});
  }
  if (running_.empty()) feed_.reset();
}

void ExporterSet::append(std::string_view source, const CatalogPtr& catalog, const Recycled<Frame>& frame) {
  if (feed_) feed_->append(source, catalog, frame);
}

void ExporterSet::stop() {
  for (Running& one : running_) one.runner->begin_stop();
  running_.clear();
  feed_.reset();
}

std::vector<ExporterState> ExporterSet::states() const {
  std::vector<ExporterState> states;
  for (const Running& one : running_) states.push_back(one.runner->state());
  return states;
}

}  // namespace accelmon

// Destinations that take lines of text: Graphite, StatsD, files of JSON.
#include <algorithm>

#include "base/text.h"
#include "encode/graphite.h"
#include "encode/json_lines.h"
#include "encode/statsd.h"
#include "exporters/destinations.h"
#include "exporters/rotating_file.h"
#include "exporters/wire.h"

namespace accelmon {
namespace {

size_t samples_of(std::span<const FrameRun> batch) {
  size_t samples = 0;
  for (const FrameRun& run : batch)
    for (const Frame* frame : run.frames)
      samples += static_cast<size_t>(std::count(frame->states.begin(), frame->states.end(), State::ok));
  return samples;
}

// "accelmon.HOST", with a host's dots out of the way.
std::string prefix_with_host(const ExporterSettings& settings, const Identity& identity) {
  std::string host = identity.hostname;
  std::replace(host.begin(), host.end(), '.', '_');
  return settings.text("prefix", "accelmon." + host);
}

// One text for the whole batch.
class TextDestination : public Destination {
 public:
  void begin(std::span<const FrameRun> batch) override {
    text_.clear();
    encode(batch, text_);
    samples_ = samples_of(batch);
    pending_ = !text_.empty();
  }
  bool next() override { return std::exchange(pending_, false); }
  void commit() override {}

 protected:
  virtual void encode(std::span<const FrameRun> batch, std::string& text) = 0;
  std::string text_;
  uint64_t samples_ = 0;

 private:
  bool pending_ = false;
};

class GraphiteDestination final : public TextDestination {
 public:
  GraphiteDestination(Wire wire, GraphiteOptions options) : wire_(std::move(wire)), encoder_(std::move(options)) {}
  Sent send() override {
    if (!wire_.datagrams()) return Sent::unanswered(wire_.send(text_), samples_, text_.size());
    // Whole lines, as many as a packet carries.
    constexpr size_t kPacket = 1432;
    for (std::string_view rest = text_; !rest.empty();) {
      size_t end = rest.size();
      if (end > kPacket) {
        end = rest.rfind('\n', kPacket - 1);
        end = end == std::string_view::npos ? std::min(rest.find('\n') + 1, rest.size()) : end + 1;
      }
      if (const Status status = wire_.send(rest.substr(0, end)); !status.ok()) return Sent::not_now(status);
      rest.remove_prefix(end);
    }
    return Sent::unanswered({}, samples_, text_.size());
  }
  void interrupt() override { wire_.interrupt(); }

 private:
  void encode(std::span<const FrameRun> batch, std::string& text) override { encoder_.encode(batch, text); }
  Wire wire_;
  GraphiteEncoder encoder_;
};

class FileDestination final : public TextDestination {
 public:
  FileDestination(RotatingFile file, JsonLinesOptions options) : file_(std::move(file)), encoder_(std::move(options)) {}
  Sent send() override { return Sent::unanswered(file_.append(text_), samples_, text_.size()); }
  void interrupt() override { file_.interrupt(); }

 private:
  void encode(std::span<const FrameRun> batch, std::string& text) override { encoder_.encode(batch, text); }
  RotatingFile file_;
  JsonLinesEncoder encoder_;
};

class StatsdDestination final : public Destination {
 public:
  StatsdDestination(Wire wire, StatsdOptions options) : wire_(std::move(wire)), encoder_(std::move(options)) {}
  void begin(std::span<const FrameRun> batch) override {
    encoder_.encode(batch, datagrams_);
    samples_ = samples_of(batch);
    pending_ = datagrams_.size() > 0;
    done_ = 0;
  }
  bool next() override { return std::exchange(pending_, false); }
  Sent send() override {
    size_t bytes = 0;
    // Those that are gone are gone: counters would count twice.
    for (; done_ < datagrams_.size(); ++done_) {
      if (const Status status = wire_.send(datagrams_[done_]); !status.ok()) return Sent::not_now(status);
      bytes += datagrams_[done_].size();
    }
    return Sent::unanswered({}, samples_, bytes);
  }
  void commit() override {}
  void interrupt() override { wire_.interrupt(); }

 private:
  Wire wire_;
  StatsdEncoder encoder_;
  Datagrams datagrams_;
  size_t done_ = 0;
  uint64_t samples_ = 0;
  bool pending_ = false;
};

Result<Wire> wire_of(const ExporterSettings& settings, std::string_view standard, bool datagrams, std::string& where) {
  where = settings.text("address", standard);
  Result<Wire> wire = Wire::parse(where, datagrams, settings.duration("timeout", 10 * kSecond));
  if (!wire) return fail(settings.wrong("address", wire.error().message()));
  return wire;
}

}  // namespace

Result<std::unique_ptr<Destination>> make_graphite(const ExporterSettings& settings, const Identity& identity,
                                                   std::string& where) {
  Result<Wire> wire = wire_of(settings, "127.0.0.1:2003", false, where);
  if (!wire) return fail(wire.error());
  const auto labels = settings.labels({{"host", identity.hostname}});
  if (!labels) return fail(labels.error());
  GraphiteOptions options;
  options.tags = settings.flag("tags", false);
  options.prefix = prefix_with_host(settings, identity);
  options.by_index = settings.flag("by_index", false);
  options.labels = *labels;
  return std::make_unique<GraphiteDestination>(std::move(*wire), std::move(options));
}

Result<std::unique_ptr<Destination>> make_statsd(const ExporterSettings& settings, const Identity& identity,
                                                 std::string& where) {
  Result<Wire> wire = wire_of(settings, "127.0.0.1:8125", true, where);
  if (!wire) return fail(wire.error());
  if (!wire->datagrams()) return fail(settings.wrong("address", "is for TCP; StatsD is spoken over UDP or unix:"));
  const auto labels = settings.labels({{"host", identity.hostname}});
  if (!labels) return fail(labels.error());
  StatsdOptions options;
  options.tags = settings.flag("tags", false);
  options.prefix = prefix_with_host(settings, identity);
  options.by_index = settings.flag("by_index", false);
  options.labels = *labels;
  if (where.starts_with("unix:")) options.max_bytes = 8192;
  return std::make_unique<StatsdDestination>(std::move(*wire), std::move(options));
}

Result<std::unique_ptr<Destination>> make_json_lines(const ExporterSettings& settings, const Identity& identity,
                                                     std::string& where) {
  Result<std::string> path = settings.needed("path", "/var/log/accelmon/metrics.jsonl");
  if (!path) return fail(path.error());
  const auto labels = settings.labels({{"host", identity.hostname}});
  if (!labels) return fail(labels.error());
  where = *path;
  return std::make_unique<FileDestination>(
      RotatingFile(*path, settings.number("max_bytes", 64u << 20), static_cast<unsigned>(settings.number("keep", 4))),
      JsonLinesOptions{*labels});
}

}  // namespace accelmon

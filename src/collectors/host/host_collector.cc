#include "collectors/host/host_collector.h"

#include <unistd.h>

#include "base/text.h"
#include "collectors/host/host_parse.h"
#include "collectors/host/host_section.h"

namespace accelmon::host {
namespace {

// accelmon.host.info. Name and kernel are read again in the rare tier, since a host may be renamed while it runs.
class InfoSection : public Section {
 public:
  explicit InfoSection(HostFiles& files)
      : Section(files, Tier::rare, {MetricId::host_info}),
        hostname_(files.proc("sys/kernel/hostname")),
        osrelease_(files.proc("sys/kernel/osrelease")),
        cpuinfo_(files.proc("cpuinfo")) {}

  void release() override {
    hostname_.kept = KeptFile();
    osrelease_.kept = KeptFile();
  }

 private:
  Status build(CatalogBuilder& out) override {
    name_ = read_line(hostname_);
    if (name_.empty() && files_.procfs() == "/proc") {
      char buffer[256] = {};
      if (::gethostname(buffer, sizeof buffer - 1) == 0) name_ = printable(buffer, kMaxTextBytes - 3);
    }
    release_ = read_line(osrelease_);
    // Long, and dear where the kernel measures each processor's frequency for it: the first processor is enough.
    const Result<std::string> cpuinfo = files_.read_start(cpuinfo_, 4096);
    const std::string model = cpuinfo ? parse_cpu_model(*cpuinfo) : std::string();

    std::vector<Attribute> attributes;
    if (!name_.empty()) attributes.push_back({AttributeId::host_name, name_});
    if (!release_.empty()) attributes.push_back({AttributeId::os_version, release_});
    if (!model.empty()) attributes.push_back({AttributeId::cpu_model, model});
    if (attributes.empty())
      return Status(Code::absent, "name, kernel and processor of the host cannot be read below " + files_.procfs());
    series_ = add(out, MetricId::host_info, std::move(attributes));
    return {};
  }

  std::string read_line(HostFiles::File& file) {
    const Result<std::string_view> text = files_.read(file);
    return text ? printable(trim(*text), kMaxTextBytes - 3) : std::string();
  }

  Status fill(Frame& frame, bool& changed) override {
    frame.set(static_cast<size_t>(series_), 1);
    for (auto [file, known] : {std::pair{&hostname_, &name_}, std::pair{&osrelease_, &release_}}) {
      if (!file->kept.valid()) continue;
      const Result<std::string_view> text = files_.read(*file);
      if (text && trim(*text) != *known && printable(trim(*text), kMaxTextBytes - 3) != *known) changed = true;
    }
    return {};
  }

  std::string explain(const Status& status) override { return status.message(); }

  HostFiles::File hostname_, osrelease_, cpuinfo_;
  std::string name_, release_;
  int series_ = -1;
};

class HostCollector : public Collector {
 public:
  HostCollector(CollectorContext context, const HostSystem& system) : files_(context, system) {
    sections_.push_back(make_info_section(files_));
    sections_.push_back(make_cpu_section(files_));
    sections_.push_back(make_load_section(files_));
    sections_.push_back(make_uptime_section(files_));
    sections_.push_back(make_memory_section(files_));
    sections_.push_back(make_paging_section(files_));
    for (const char* resource : {"cpu", "memory", "io"}) sections_.push_back(make_pressure_section(files_, resource));
    sections_.push_back(make_disk_section(files_));
    sections_.push_back(make_network_section(files_));
    sections_.push_back(make_filesystem_section(files_));
  }

  Result<Catalog> discover() override {
    Catalog catalog;
    CatalogBuilder out(catalog);
    out.fact("procfs", printable(files_.procfs(), kMaxTextBytes - 3));
    out.fact("sysfs", printable(files_.sysfs(), kMaxTextBytes - 3));
    out.fact("rootfs", files_.rootfs().empty() ? "/" : printable(files_.rootfs(), kMaxTextBytes - 3));
    for (const std::unique_ptr<Section>& section : sections_) section->discover(catalog);
    series_ = catalog.series.size();
    if (series_ > 0) return catalog;
    return fail(Code::absent, "nothing of the host can be read below " + printable(files_.procfs(), 100) + " (" +
                                  catalog.absences.front().reason +
                                  "); set the host collector's option procfs to "
                                  "where the host's /proc is mounted");
  }

  PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>&) override {
    // A frame that the last catalog did not lay out cannot be filled.
    if (frame.values.size() < series_ || frame.states.size() < series_) return PollResult::rediscover;
    bool changed = false;
    for (const std::unique_ptr<Section>& section : sections_)
      if (request.is_due(section->tier())) changed = section->poll(frame) || changed;
    return changed ? PollResult::rediscover : PollResult::ok;
  }

  void release() override {
    for (const std::unique_ptr<Section>& section : sections_) section->release();
  }

 private:
  HostFiles files_;
  std::vector<std::unique_ptr<Section>> sections_;
  size_t series_ = 0;
};

}  // namespace

std::unique_ptr<Section> make_info_section(HostFiles& files) {
  return std::make_unique<InfoSection>(files);
}

std::unique_ptr<Collector> make_host_collector(CollectorContext context, const HostSystem& system) {
  return std::make_unique<HostCollector>(std::move(context), system);
}

}  // namespace accelmon::host

namespace accelmon {

std::unique_ptr<Collector> make_host_collector(CollectorContext context) {
  return host::make_host_collector(std::move(context), host::real_host_system());
}

}  // namespace accelmon

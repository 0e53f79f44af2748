// `accelmon cloudwatch-cost`: what an exporter to CloudWatch would cost for a month, before anybody pays.
#include "app/command.h"
#include "app/layout.h"
#include "app/source.h"
#include "base/text.h"
#include "encode/cloudwatch.h"
#include "exporters/cloudwatch.h"

namespace accelmon {
namespace {

constexpr Nanos kSampleTimeout = 5 * kSecond;

std::string rule_text(const CloudWatchRule& rule) {
  std::string text(info(rule.metric).name);
  std::string attributes;
  for (const Attribute& one : rule.attributes)
    attributes += (attributes.empty() ? "" : ", ") + std::string(info(one.id).key) + "=" + one.value;
  if (!attributes.empty()) text += "{" + attributes + "}";
  return text + (rule.per_device ? "" : " by host");
}

// A line of the bill: how many, of what, for how much.
std::string line(double count, const std::string& what, double cost) {
  return " " + right(fixed(count, 0), 7) + "  " + left(what, 44) + right("$" + fixed(cost, 2), 10) + "\n";
}

std::string told(const ExporterSettings& settings, const CloudWatchOptions& options, std::span<const FrameRun> batch,
                 Nanos interval) {
  const CloudWatchPrices prices;
  const CloudWatchEstimate estimate = estimate_cloudwatch(batch, options, interval, prices);
  std::string out =
      settings.name + " (" + settings.type + "), a value for each " + format_duration(options.period) + "\n\n";
  for (const CloudWatchRule& rule : options.rules) {
    CloudWatchOptions alone = options;
    alone.rules = {rule};
    const size_t metrics = estimate_cloudwatch(batch, alone, interval, prices).metrics;
    out += " " + right(std::to_string(metrics), 7) + "  " + rule_text(rule) + "\n";
  }
  out += "\n" + line(static_cast<double>(estimate.metrics),
                     "metrics, $" + fixed(prices.metric_month, 2) + " each a month", estimate.metrics_cost);
  double cost = estimate.metrics_cost;
  if (settings.type == "cloudwatch") {
    out += line(estimate.requests_a_month, "requests a month, $" + fixed(prices.thousand_requests, 2) + " a thousand",
                estimate.requests_cost);
    cost = estimate.cost();
  }
  out += line(1, "host, a month", cost);
  if (settings.type == "emf") out += "          and the log events, by their bytes\n";
  return out;
}

}  // namespace

int run_cloudwatch_cost(const Arguments& arguments) {
  int code = kFine;
  const Result<Settings> settings = read_settings(arguments, code);
  if (!settings) return complain(settings.error().message(), code);
  std::vector<std::pair<ExporterSettings, CloudWatchOptions>> exporters;
  const auto add = [&](const ExporterSettings& one) {
    const Result<CloudWatchOptions> options = cloudwatch_options(one, Identity{"this-host", "", ACCELMON_VERSION});
    if (!options) return options.error();
    exporters.emplace_back(one, *options);
    return Status();
  };
  for (const auto& [name, config] : settings->config.exporters) {
    const ExporterSettings one(name, config.options);
    if (one.type != "cloudwatch" && one.type != "emf") continue;
    if (Status status = add(one); !status.ok()) return complain(status.message(), kFailure);
  }
  const bool none = exporters.empty();
  if (none) {
    if (Status status = add(ExporterSettings("cloudwatch", {})); !status.ok())
      return complain(status.message(), kFailure);
  }
  // What there is to be billed for is what this host's collectors find.
  Result<std::unique_ptr<Agent>> agent = Agent::create(agent_options(*settings, /*serve=*/false));
  if (!agent) return complain(agent.error().message(), kFailure);
  (*agent)->wait_for_frames(2, kSampleTimeout);
  const Recycled<Snapshot> snapshot = (*agent)->snapshot();
  if (!snapshot) return complain("no collector has shown anything", kFailure);
  std::vector<const Frame*> frames;
  frames.reserve(snapshot->sources.size());
  std::vector<FrameRun> batch;
  for (const SourceView& source : snapshot->sources) {
    if (source.catalog == nullptr || !source.frame) continue;
    frames.push_back(source.frame.get());
    batch.push_back(FrameRun{source.name, source.catalog, std::span<const Frame* const>(&frames.back(), 1)});
  }
  std::string out =
      none ? "No exporter of type cloudwatch or emf is configured; this is what one with the defaults would "
             "cost.\n\n"
           : "";
  for (const auto& [one, options] : exporters) out += told(one, options, batch, settings->config.poll.interval) + "\n";
  out += "List prices of the first 10,000 metrics; they differ by region and change. Nothing was sent.\n";
  return print(out, kFine);
}

}  // namespace accelmon

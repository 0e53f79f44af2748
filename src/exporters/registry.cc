// The table of destinations. A new one is a file here and a line below.
#include <algorithm>
#include <iterator>

#include "exporters/destinations.h"
#include "exporters/http.h"

namespace accelmon {
namespace {

constexpr Nanos kQuarter = 15 * kSecond;
constexpr Nanos kMinute = 60 * kSecond;

constexpr DestinationInfo kDestinations[] = {
    {"otlp", "OpenTelemetry: a collector, or whatever takes OTLP", kQuarter, false,
     ACCELMON_HTTP_KEYS " protocol temporality gzip aws region profile", make_otlp},
    {"remote_write", "Prometheus remote write: Prometheus, VictoriaMetrics, Mimir, Thanos", kQuarter, false,
     ACCELMON_HTTP_KEYS " version max_samples", make_remote_write},
    {"cloudwatch", "Amazon CloudWatch, by PutMetricData", kMinute, true,
     "url timeout ca_file region profile namespace period rules by_index", make_cloudwatch},
    {"emf", "Amazon CloudWatch, as embedded metrics through the CloudWatch agent", kMinute, true,
     "address path timeout namespace period rules by_index log_group max_bytes keep", make_emf},
    {"influx", "InfluxDB's line protocol: InfluxDB, Telegraf, VictoriaMetrics", kQuarter, false,
     ACCELMON_HTTP_KEYS " gzip measurement", make_influx},
    {"graphite", "Graphite's plaintext protocol", kQuarter, false, "address timeout tags prefix by_index",
     make_graphite},
    {"statsd", "StatsD, and DogStatsD with tags", kQuarter, false, "address timeout tags prefix by_index", make_statsd},
    {"json_lines", "A file with one JSON object for each device and poll", kQuarter, false, "path max_bytes keep",
     make_json_lines},
};

}  // namespace

std::span<const DestinationInfo> destination_table() {
  return kDestinations;
}

const DestinationInfo* find_destination(std::string_view type) {
  const auto* const found = std::find_if(std::begin(kDestinations), std::end(kDestinations),
                                         [&](const DestinationInfo& one) { return one.type == type; });
  return found == std::end(kDestinations) ? nullptr : found;
}

}  // namespace accelmon

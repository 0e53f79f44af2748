// Writes what the line encoders make of one snapshot: every metric of the table, and texts that hurt. For e2e_lines.py.
//
//   encode_lines graphite|graphite-tagged|influx|json|statsd|dogstatsd SECONDS
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "encode/graphite.h"
#include "encode/influx.h"
#include "encode/json_lines.h"
#include "encode/runs_for_test.h"
#include "encode/statsd.h"

using namespace accelmon;

namespace {

Snapshot snapshot_of_all() {
  Snapshot snapshot = for_test::whole_table();
  std::vector<double>& values = snapshot.sources[0].frame->values;
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i) * 1.25 + (i % 3 == 0 ? 1e9 : 0.125);
  for_test::SnapshotMaker make;
  make.source("hostile");
  const int gpu = make.device({.id = "a,b c=d\\", .index = "~0;x", .vendor = "\xc3\xa9\xe2\x80\x83=", .model = "x\ny"});
  make.add(MetricId::temperature, gpu, {{AttributeId::sensor_location, "\" | # '"}}, -12.5)
      .add(MetricId::device_info, gpu, {}, 1)
      .add(MetricId::gpu_memory_usage, gpu, {}, 9007199254740993.0)
      .add(MetricId::power, gpu, {}, 0, State::no_permission);
  Snapshot more = make.take();
  more.sources[0].frame->generation = more.sources[0].catalog->generation;
  snapshot.sources.push_back(std::move(more.sources[0]));
  return snapshot;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string format = argv[1];
  const Snapshot snapshot = snapshot_of_all();
  const for_test::Runs runs(snapshot, std::atoll(argv[2]) * kSecond);
  const ConstantLabels labels{{"cluster", "a b"}, {"host", "h1"}};
  std::string out;
  Datagrams datagrams;
  if (format == "graphite") {
    GraphiteEncoder({.prefix = "test.h1"}).encode(runs, out);
  } else if (format == "graphite-tagged") {
    GraphiteEncoder({.tags = true, .labels = labels}).encode(runs, out);
  } else if (format == "influx") {
    InfluxEncoder({.labels = labels}).encode(runs, out);
  } else if (format == "json") {
    JsonLinesEncoder({.labels = labels}).encode(runs, out);
  } else if (format == "statsd" || format == "dogstatsd") {
    StatsdEncoder({.tags = format == "dogstatsd", .labels = labels}).encode(runs, datagrams);
    for (size_t i = 0; i < datagrams.size(); ++i) out.append(datagrams[i]).append("\n\n");
  } else {
    return 2;
  }
  std::cout << out;
  return std::cout.flush() ? 0 : 1;
}

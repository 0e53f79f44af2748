#include <gtest/gtest.h>

#include <set>

#include "model/catalog.h"
#include "model/metric.h"

namespace accelmon {
namespace {

TEST(MetricTable, PrometheusNamesFollowTheTranslation) {
  EXPECT_EQ(prometheus_name(MetricId::gpu_utilization), "hw_gpu_utilization_ratio");
  EXPECT_EQ(prometheus_name(MetricId::energy), "hw_energy_joules_total");
  EXPECT_EQ(prometheus_name(MetricId::errors), "hw_errors_total");
  EXPECT_EQ(prometheus_name(MetricId::temperature), "hw_temperature_celsius");
  EXPECT_EQ(prometheus_name(MetricId::power), "hw_power_watts");
  EXPECT_EQ(prometheus_name(MetricId::gpu_memory_usage), "hw_gpu_memory_usage_bytes");
  EXPECT_EQ(prometheus_name(MetricId::fan_speed), "hw_fan_speed_rpm");
  EXPECT_EQ(prometheus_name(MetricId::fan_speed_ratio), "hw_fan_speed_ratio");
  EXPECT_EQ(prometheus_name(MetricId::hw_status), "hw_status");
  EXPECT_EQ(prometheus_name(MetricId::pcie_width), "accelmon_gpu_pcie_width");
  EXPECT_EQ(prometheus_name(MetricId::device_info), "accelmon_device_info");
  EXPECT_EQ(prometheus_name(MetricId::gpu_io_rate), "accelmon_gpu_io_rate_bytes_per_second");
  EXPECT_EQ(prometheus_name(MetricId::cpu_count), "system_cpu_logical_count_cpus");
  EXPECT_EQ(prometheus_name(MetricId::process_running), "system_process_count_processes");
  EXPECT_EQ(prometheus_label(AttributeId::hw_id), "hw_id");
}

TEST(MetricTable, NoNameOnThePageHasAReservedSuffix) {
  for (const MetricInfo& metric : all_metrics())
    for (std::string_view reserved : {"_count", "_sum", "_bucket", "_created", "_gcount", "_gsum"})
      EXPECT_FALSE(prometheus_name(metric.id).ends_with(reserved)) << metric.name;
}

TEST(MetricTable, LookUpByName) {
  EXPECT_EQ(find_metric("hw.power"), MetricId::power);
  EXPECT_FALSE(find_metric("hw.powder"));
  EXPECT_EQ(find_attribute("hw.gpu.task"), AttributeId::gpu_task);
  for (const MetricInfo& metric : all_metrics()) EXPECT_EQ(info(metric.id).name, metric.name);
}

Catalog small() {
  Catalog catalog;
  catalog.generation = 1;
  CatalogBuilder build(catalog);
  const int gpu = build.add_device({.id = "GPU-1", .index = "0", .vendor = "nvidia", .model = "X"});
  build.add(MetricId::gpu_memory_usage, gpu);
  build.add(MetricId::temperature, gpu, Tier::fast, {{AttributeId::sensor_location, "gpu"}});
  build.add(MetricId::temperature, gpu, Tier::fast, {{AttributeId::sensor_location, "memory"}});
  return catalog;
}

TEST(Catalog, FindsSeriesByAttributes) {
  const Catalog catalog = small();
  EXPECT_EQ(find_series(catalog, MetricId::temperature, 0, {{AttributeId::sensor_location, "memory"}}), 2);
  EXPECT_EQ(find_series(catalog, MetricId::temperature, 0), 1);
  EXPECT_EQ(find_series(catalog, MetricId::power, 0), -1);
}

TEST(Catalog, ValidateRefusesWhatWouldBreakAReader) {
  EXPECT_TRUE(validate(small()).ok());
  const auto refused = [](auto change) {
    Catalog catalog = small();
    change(catalog);
    return !validate(catalog).ok();
  };
  EXPECT_TRUE(refused([](Catalog& c) { c.series[0].device = 1; }));
  EXPECT_TRUE(refused([](Catalog& c) { c.series[0].device = -2; }));
  EXPECT_TRUE(refused([](Catalog& c) { c.series[1].attributes = c.series[2].attributes; }));
  EXPECT_TRUE(refused([](Catalog& c) { c.series[0].metric = static_cast<MetricId>(60000); }));
  EXPECT_TRUE(refused([](Catalog& c) { c.devices.push_back(c.devices[0]); }));
  EXPECT_TRUE(refused([](Catalog& c) { c.devices[0].parent = 0; }));
  EXPECT_TRUE(refused([](Catalog& c) { c.devices[0].id.clear(); }));
  EXPECT_TRUE(refused([](Catalog& c) { c.devices[0].model.assign(1000, 'x'); }));
  EXPECT_TRUE(refused([](Catalog& c) { c.series[1].attributes[0].value.assign(1000, 'x'); }));
}

TEST(Catalog, KeysTellSeriesApartAndStayTheSame) {
  const Catalog catalog = small();
  std::set<std::string> keys;
  for (const Series& series : catalog.series) keys.insert(series_key(catalog, series));
  EXPECT_EQ(keys.size(), catalog.series.size());
  EXPECT_EQ(series_key(catalog, catalog.series[1]), series_key(small(), small().series[1]));
}

}  // namespace
}  // namespace accelmon

// Boards of which only XML was captured, by drivers from 515 to 570: what the collector makes of them, against what
// their XML says.
//
// The collector asks for CSV, which tells of these metrics what the XML does. So a script answers its query with the
// numbers of the XML, knows no field that the XML lacks, and calls the clock reasons as its driver did. What each
// metric must be is worked out here from the XML's own text, by a table that is not the collector's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/text.h"
#include "collectors/collector_rig_for_test.h"
#include "collectors/nvidia_smi/nvidia_smi_collector.h"

namespace accelmon::nvidia_smi {
namespace {

namespace fs = std::filesystem;
using A = AttributeId;
using M = MetricId;

// The texts of the document's leaves by their path; the first of several on one path.
std::map<std::string, std::string> leaves_of(const std::string& xml) {
  std::map<std::string, std::string> leaves;
  std::string path, text;
  for (size_t at = 0; at < xml.size();) {
    const size_t open = std::min(xml.find('<', at), xml.size());
    text = xml.substr(at, open - at);
    const size_t close = std::min(xml.find('>', open), xml.size());
    const std::string tag = xml.substr(std::min(open + 1, xml.size()), close > open ? close - open - 1 : 0);
    at = close + 1;
    if (tag.empty() || tag[0] == '?' || tag[0] == '!' || tag.back() == '/') continue;
    if (tag[0] == '/') {
      leaves.emplace(path, std::string(trim(text)));
      path.erase(path.rfind('/'));
    } else {
      path += "/" + tag.substr(0, tag.find(' '));
    }
  }
  return leaves;
}

struct Expected {
  const char* xml;    // below /nvidia_smi_log/gpu
  const char* field;  // of --query-gpu
  M metric;
  A attribute = A::hw_id;  // hw_id: none
  const char* value = "";
};
constexpr Expected kExpected[] = {
    {"utilization/gpu_util", "utilization.gpu", M::gpu_utilization, A::gpu_task, "general"},
    {"utilization/encoder_util", "utilization.encoder", M::gpu_utilization, A::gpu_task, "encoder"},
    {"utilization/decoder_util", "utilization.decoder", M::gpu_utilization, A::gpu_task, "decoder"},
    {"utilization/jpeg_util", "utilization.jpeg", M::gpu_engine_utilization, A::engine, "jpeg"},
    {"utilization/memory_util", "utilization.memory", M::gpu_memory_controller_utilization},
    {"fb_memory_usage/total", "memory.total", M::gpu_memory_limit},
    {"fb_memory_usage/used", "memory.used", M::gpu_memory_usage},
    {"fb_memory_usage/free", "memory.free", M::gpu_memory_free},
    {"fb_memory_usage/reserved", "memory.reserved", M::gpu_memory_reserved},
    {"temperature/gpu_temp", "temperature.gpu", M::temperature, A::sensor_location, "gpu"},
    {"temperature/memory_temp", "temperature.memory", M::temperature, A::sensor_location, "memory"},
    {"fan_speed", "fan.speed", M::fan_speed_ratio},
    {"gpu_power_readings/instant_power_draw", "power.draw.instant", M::power, A::power_reading, "instant"},
    {"gpu_power_readings/average_power_draw", "power.draw.average", M::power, A::power_reading, "average"},
    // One reading: of these chips the A100's is of the moment, and so is the T4's.
    {"gpu_power_readings/power_draw", "power.draw", M::power, A::power_reading, "instant"},
    {"power_readings/power_draw", "power.draw", M::power, A::power_reading, "instant"},
    {"power_readings/enforced_power_limit", "enforced.power.limit", M::power_limit, A::limit, "enforced"},
    {"gpu_power_readings/current_power_limit", "enforced.power.limit", M::power_limit, A::limit, "enforced"},
    {"gpu_power_readings/default_power_limit", "power.default_limit", M::power_limit, A::limit, "default"},
    {"power_readings/default_power_limit", "power.default_limit", M::power_limit, A::limit, "default"},
    {"gpu_power_readings/min_power_limit", "power.min_limit", M::power_limit, A::limit, "minimum"},
    {"power_readings/min_power_limit", "power.min_limit", M::power_limit, A::limit, "minimum"},
    {"gpu_power_readings/max_power_limit", "power.max_limit", M::power_limit, A::limit, "maximum"},
    {"power_readings/max_power_limit", "power.max_limit", M::power_limit, A::limit, "maximum"},
    {"clocks/graphics_clock", "clocks.current.graphics", M::clock_frequency, A::clock_domain, "graphics"},
    {"clocks/sm_clock", "clocks.current.sm", M::clock_frequency, A::clock_domain, "sm"},
    {"clocks/mem_clock", "clocks.current.memory", M::clock_frequency, A::clock_domain, "memory"},
    {"clocks/video_clock", "clocks.current.video", M::clock_frequency, A::clock_domain, "video"},
    {"max_clocks/graphics_clock", "clocks.max.graphics", M::clock_limit, A::clock_domain, "graphics"},
    {"max_clocks/mem_clock", "clocks.max.memory", M::clock_limit, A::clock_domain, "memory"},
    {"performance_state", "pstate", M::performance_state},
    {"clocks_event_reasons/clocks_event_reason_gpu_idle", "clocks_event_reasons.gpu_idle", M::throttle_active,
     A::reason, "idle"},
    {"clocks_event_reasons/clocks_event_reason_sw_power_cap", "clocks_event_reasons.sw_power_cap", M::throttle_active,
     A::reason, "power_cap"},
    {"clocks_throttle_reasons/clocks_throttle_reason_gpu_idle", "clocks_throttle_reasons.gpu_idle", M::throttle_active,
     A::reason, "idle"},
    {"clocks_throttle_reasons/clocks_throttle_reason_hw_thermal_slowdown",
     "clocks_throttle_reasons.hw_thermal_slowdown", M::throttle_active, A::reason, "thermal_hardware"},
    {"pci/pci_gpu_link_info/pcie_gen/current_link_gen", "pcie.link.gen.current", M::pcie_generation, A::which,
     "current"},
    {"pci/pci_gpu_link_info/pcie_gen/max_link_gen", "pcie.link.gen.max", M::pcie_generation, A::which, "maximum"},
    {"pci/pci_gpu_link_info/link_widths/current_link_width", "pcie.link.width.current", M::pcie_width, A::which,
     "current"},
    {"pci/pci_gpu_link_info/link_widths/max_link_width", "pcie.link.width.max", M::pcie_width, A::which, "maximum"},
    {"ecc_mode/current_ecc", "ecc.mode.current", M::ecc_enabled, A::which, "current"},
    {"retired_pages/double_bit_retirement/retired_count", "retired_pages.double_bit.count", M::memory_pages,
     A::row_state, "retired_uncorrected"},
    {"retired_pages/pending_retirement", "retired_pages.pending", M::memory_pages, A::row_state, "pending"},
    {"mig_mode/current_mig", "mig.mode.current", M::mig_enabled, A::which, "current"},
    {"gpu_recovery_action", "gpu_recovery_action", M::recovery_action, A::row_state, "none"},
};

// What a text of the XML means in our units; nothing where it says that there is nothing.
std::optional<double> meaning_of(const std::string& text) {
  if (text.empty() || text == "N/A" || text.find("deprecated") != std::string::npos) return std::nullopt;
  for (const char* yes : {"Enabled", "Active", "Yes", "None"})
    if (text == yes) return 1;
  for (const char* no : {"Disabled", "Not Active", "No"})
    if (text == no) return 0;
  const bool state = text[0] == 'P';
  char* unit = nullptr;
  const double number = std::strtod(text.c_str() + (state ? 1 : 0), &unit);
  const std::string_view word = trim(unit);
  const double factor = word == "MiB" ? 1048576 : word == "MHz" ? 1e6 : word == "%" ? 0.01 : 1;
  EXPECT_TRUE(word.empty() || word == "x" || word == "C" || word == "W" || factor != 1) << text;
  return number * factor;
}

// The unit that nvidia-smi writes into the header, whatever the cells say.
std::string unit_of(const std::string& field) {
  constexpr std::pair<const char*, const char*> kUnits[] = {{"utilization.", "%"}, {"fan.speed", "%"},
                                                            {"memory.", "MiB"},    {"clocks.", "MHz"},
                                                            {"power.", "W"},       {"enforced.power.limit", "W"}};
  for (const auto& [prefix, unit] : kUnits)
    if (field.starts_with(prefix)) return unit;
  return "";
}

class OfXml : public testing::TestWithParam<std::pair<const char*, const char*>>,
              protected for_test::TemporaryTree,
              protected for_test::CollectorRig {
 protected:
  OfXml() : TemporaryTree("smi-xml") {}
  ~OfXml() override { collector.reset(); }

  // As nvidia-smi would have answered: units in the header, and none for temperatures and lanes.
  void answer(const std::vector<std::pair<std::string, std::string>>& columns) {
    std::string header, row, known = ",";
    for (const auto& [field, text] : columns) {
      const std::string unit = unit_of(field);
      std::string cell = text == "N/A" ? "[N/A]" : text;
      if (unit.empty() && cell.ends_with(" C")) cell.resize(cell.size() - 2);
      if (field.starts_with("pcie.link.width")) cell = cell.substr(0, cell.find('x'));
      header += (header.empty() ? "" : ", ") + field + (unit.empty() ? "" : " [" + unit + "]");
      row += (row.empty() ? "" : ", ") + cell;
      known += field + ",";
    }
    write("answer", header + "\n" + row + "\n");
    write("smi", "#!/bin/sh\nknown='" + known +
                     "'\nIFS=,\nfor f in ${1#--query-gpu=}; do\n  case $known in *,$f,*) ;; *)\n" +
                     "    echo \"Field \\\"$f\\\" is not a valid field to query.\"; exit 2;; esac\ndone\ncat '" +
                     (root / "answer").string() + "'\n");
    fs::permissions(root / "smi", fs::perms::owner_all);
  }
};

TEST_P(OfXml, EveryNumberIsWhatTheXmlSays) {
  const auto& [capture, compute_capability] = GetParam();
  std::ifstream in(std::string(ACCELMON_SOURCE_DIR "/src/collectors/nvidia_smi/testdata/") + capture + ".xml");
  const std::map<std::string, std::string> leaves = leaves_of(std::string(std::istreambuf_iterator<char>(in), {}));
  const auto leaf = [&](const std::string& path) -> const std::string* {
    const auto found = leaves.find("/nvidia_smi_log/gpu/" + path);
    return found == leaves.end() ? nullptr : &found->second;
  };
  ASSERT_NE(leaf("uuid"), nullptr) << capture;
  std::vector<std::pair<std::string, std::string>> columns{
      {"uuid", *leaf("uuid")},
      {"index", "0"},
      {"name", *leaf("product_name")},
      {"pci.bus_id", *leaf("pci/pci_bus_id")},
      {"driver_version", leaves.at("/nvidia_smi_log/driver_version")},
      {"vbios_version", *leaf("vbios_version")},
      {"serial", *leaf("serial")},
      {"compute_cap", compute_capability}};
  for (const Expected& one : kExpected)
    if (const std::string* text = leaf(one.xml)) columns.emplace_back(one.field, *text);
  answer(columns);

  std::map<std::string, std::string, std::less<>> options{{"library", (root / "no-nvml.so").string()},
                                                          {"program", (root / "smi").string()}};
  collector = make_nvidia_smi_collector(CollectorContext{calls, clock, options});
  ASSERT_TRUE(discover()) << error.message();
  ASSERT_EQ(poll(), PollResult::ok);
  ASSERT_EQ(catalog.devices.size(), 1u);
  EXPECT_EQ(catalog.devices[0].id, *leaf("uuid"));
  EXPECT_EQ(catalog.devices[0].model, *leaf("product_name"));
  std::string address = leaf("pci/pci_bus_id")->substr(4);
  for (char& c : address) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  EXPECT_THAT(catalog.devices[0].info, testing::Contains(Attribute{A::pci_address, address}));

  size_t numbers = 0, absences = 0;
  for (const Expected& one : kExpected) {
    const std::string* text = leaf(one.xml);
    if (text == nullptr) continue;
    SCOPED_TRACE(std::string(one.xml) + ": " + *text);
    std::vector<Attribute> attributes;
    if (one.attribute != A::hw_id) attributes.push_back({one.attribute, one.value});
    const int series = find_series(catalog, one.metric, 0, attributes);
    const std::optional<double> meaning = meaning_of(*text);
    if (!meaning) {
      ++absences;
      EXPECT_EQ(series, -1);
      const auto tells = [&](const Absence& absence) {
        return absence.metric == one.metric &&
               absence.reason.find("[N/A] for " + std::string(one.field)) != std::string::npos;
      };
      EXPECT_TRUE(std::any_of(catalog.absences.begin(), catalog.absences.end(), tells));
      continue;
    }
    ++numbers;
    ASSERT_GE(series, 0);
    EXPECT_EQ(frame.states[static_cast<size_t>(series)], State::ok);
    EXPECT_DOUBLE_EQ(frame.values[static_cast<size_t>(series)], *meaning);
  }
  EXPECT_GE(numbers, 25u) << "the captures say as much";
  EXPECT_GE(absences, 3u);
}

INSTANTIATE_TEST_SUITE_P(Captures, OfXml,
                         testing::Values(std::pair{"a100-sxm4-v12", "8.0"}, std::pair{"rtx-3060-v12", "8.6"},
                                         std::pair{"tesla-t4", "7.5"}),
                         [](const auto& test) {
                           std::string name = test.param.first;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace accelmon::nvidia_smi

// What people see, against texts that were read and found right: testdata/NAME.json -> testdata/NAME.WHAT.txt.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "app/banner.h"
#include "app/diagnosis.h"
#include "app/status_table.h"
#include "app/verdict.h"
#include "base/fd.h"

namespace accelmon {
namespace {

std::string file(const std::string& name) {
  const Result<std::string> text = read_file(std::string(ACCELMON_SOURCE_DIR) + "/src/app/testdata/" + name);
  EXPECT_TRUE(text) << text.error().message();
  return text ? *text : std::string();
}

Report report(const std::string& name) {
  Result<Report> parsed = parse_report(file(name + ".json"));
  EXPECT_TRUE(parsed) << parsed.error().message();
  return parsed ? *parsed : Report();
}

class Rendering : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};

TEST_F(Rendering, TableWithoutLimit) {
  for (const char* name : {"healthy", "sick", "none", "mig", "hostile", "stuck"})
    EXPECT_EQ(render_status(report(name), {}), file(std::string(name) + ".table.txt")) << name;
}

TEST_F(Rendering, TableOnTerminals) {
  for (const size_t width : {80u, 100u, 120u, 160u}) {
    const std::string text = render_status(report("sick"), {width, false});
    if (width == 80 || width == 120) {
      EXPECT_EQ(text, file("sick.table" + std::to_string(width) + ".txt"));
    }
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
      EXPECT_LE(columns_of(line), width) << line;
    }
    // Nothing of a state is lost, wherever it is broken.
    std::string flat;
    for (const std::string& line : wrap(text, 0)) flat += line;
    EXPECT_NE(flat.find("thermal throttle, 38 % of the last minute"), std::string::npos) << width;
  }
}

TEST_F(Rendering, Doctor) {
  for (const char* name : {"healthy", "sick", "none", "mig", "hostile", "stuck"}) {
    const Report one = report(name);
    EXPECT_EQ(render_doctor(one, diagnose(one), {}), file(std::string(name) + ".doctor.txt")) << name;
  }
}

TEST_F(Rendering, Banner) {
  for (const char* name : {"healthy", "none", "mig", "hostile", "stuck"})
    EXPECT_EQ(render_banner(report(name), "", "accelmon serve"), file(std::string(name) + ".banner.txt")) << name;
}

// Two sources of a vendor, and sources that have nothing to say on this machine.
TEST_F(Rendering, SeveralCollectorsOfOneVendor) {
  const auto also = [](Report& report, const char* name, const char* vendor, const char* state, const char* message) {
    ReportCollector one;
    one.name = name;
    one.vendor = vendor;
    one.state = state;
    one.message = message;
    report.collectors.push_back(one);
  };
  Report one = report("healthy");
  const std::string alone = render_banner(one, "", "accelmon serve");
  also(one, "sensors", "host", "absent", "no sensor");
  also(one, "nvidia_smi", "nvidia", "absent", "NVML is there");
  also(one, "kernel_log", "host", "running", "");
  EXPECT_EQ(render_banner(one, "", "accelmon serve"), alone) << "they add nothing to what is read";
  also(one, "level_zero", "intel", "absent", "no loader");
  also(one, "intel_kernel", "intel", "absent", "no Intel GPU");
  const std::string more = render_banner(one, "", "accelmon serve");
  EXPECT_NE(more.find("intel      none"), std::string::npos) << more;
  EXPECT_NE(more.find("no loader"), std::string::npos) << more;
  EXPECT_EQ(more.find("no Intel GPU"), std::string::npos) << more;
  one.collectors.back().state = "stuck";
  EXPECT_NE(render_banner(one, "", "accelmon serve").find("no Intel GPU"), std::string::npos) << "an illness is told";

  const std::string doctor = render_doctor(one, diagnose(one), {});
  for (const char* name : {"\nnvidia_smi ", "\nlevel_zero ", "\nintel_kernel ", "\nsensors "})
    EXPECT_NE(doctor.find(name), std::string::npos) << name << " in\n" << doctor;
  size_t counts = 0;
  for (size_t at = doctor.find("  read  "); at != std::string::npos; at = doctor.find("  read  ", at + 1)) ++counts;
  EXPECT_EQ(counts, 2u) << "what the host collector reads is counted once\n" << doctor;
}

// Makers' numbers begin at 0 each; partitions are not MIG everywhere; some boards show the hottest spot alone.
TEST_F(Rendering, BoardsOfSeveralMakers) {
  Report one = report("healthy");
  EXPECT_EQ(render_status(one, {}).find("nvidia 0"), std::string::npos) << "one maker needs no name";
  ReportDevice board;
  board.id = "0000:65:00.0";
  board.type = "gpu";
  board.index = "0";
  board.vendor = "amd";
  board.model = "AMD Instinct MI300X OAM";
  board.collector = "amdgpu";
  board.values.push_back({"hw.temperature", {{"hw.sensor_location", "hotspot"}}, 84, "Cel", "ok", 0.1});
  board.values.push_back({"hw.status", {{"hw.state", "ok"}}, 1, "1", "ok", 0.1});
  ReportDevice part = board;
  part.id = "0000:65:00.0/1";
  part.type = "gpu_partition";
  part.index = "0:1";
  part.parent = board.id;
  part.attributes = {{"accelmon.gpu.partition.profile", "CPX/NPS4"}};
  part.values.clear();
  one.devices.push_back(board);
  one.devices.push_back(part);
  const std::string text = render_status(one, {});
  for (const char* words :
       {"nvidia 0  ", "amd 0  ", "amd 0:1    partition CPX/NPS4", "hotspot 84 C", "  1 partition\n"})
    EXPECT_NE(text.find(words), std::string::npos) << words << " in\n" << text;
  EXPECT_EQ(text.find("MIG"), std::string::npos) << text;
  // What befalls the board is told once.
  one.collectors.push_back({.name = "amdgpu", .vendor = "amd", .brief = "", .state = "silent", .message = ""});
  EXPECT_EQ(judge(one, board).text.find("no data: amdgpu is silent"), 0u);
  EXPECT_EQ(judge(one, part).text, "as its board");
  one.collectors.pop_back();
  for (ReportDevice& device : one.devices) device.vendor = "intel";
  EXPECT_NE(render_status(one, {}).find("  1 tile\n"), std::string::npos);
}

// What a collector knew when it last ran is not told as if it were so now, and what is to be done is.
TEST_F(Rendering, ACollectorThatDoesNotRun) {
  Report one = report("healthy");
  ReportCollector& nvml = one.collectors[1];
  ASSERT_EQ(nvml.name, "nvml");
  nvml.absences = {{"hw.fan.speed", "", "unsupported", "this board has no fan"}};
  nvml.calls = {{"nvmlInit_v2", 1, 0.2, 0.2}, {"nvmlDeviceGetTemperature", 100, 2, 0.03}};
  nvml.errors = {{"NVML_ERROR_DRIVER_NOT_LOADED", 3}};
  const auto doctor = [&] { return render_doctor(one, diagnose(one), {}); };
  const auto says = [](const std::string& text, std::string_view words) { return text.find(words) != text.npos; };
  std::string text = doctor();
  EXPECT_TRUE(says(text, "this board has no fan") && says(text, "nvmlDeviceGetTemperature") &&
              says(text, "CUDA version"));
  EXPECT_FALSE(says(text, "nvmlInit_v2")) << "what is done once may take its time";
  nvml.calls[0].longest = nvml.calls[0].seconds = 4;
  EXPECT_TRUE(says(doctor(), "nvmlInit_v2")) << "but not any time";

  nvml.state = "silent";
  nvml.message = "no answer for 70 s; in nvmlDeviceGetTemperature for 69 s";
  nvml.current_call = "nvmlDeviceGetTemperature";
  nvml.current_call_seconds = 69;
  nvml.age = 70;
  text = doctor();
  EXPECT_TRUE(says(text, "nvml does not answer: it sits in nvmlDeviceGetTemperature. Its process")) << text;
  EXPECT_FALSE(says(text, "this board has no fan")) << text;
  EXPECT_TRUE(says(text, "CUDA version")) << "which library it is that hangs";
  nvml.state = "starting";
  nvml.message = "no frame yet for 70 s; in nvmlDeviceGetTemperature for 69 s";
  EXPECT_TRUE(says(doctor(), "nvml does not answer: it sits in"));
  EXPECT_TRUE(says(doctor(), "starting: no frame yet for 70 s; in nvmlDevice"));
  EXPECT_EQ(judge(one, one.devices[0]).text, "no data: nvml is starting in nvmlDeviceGetTemperature for 69 s");
  nvml.current_call_seconds = 2;
  EXPECT_FALSE(says(doctor(), "does not answer")) << "a start takes its time";

  nvml.state = "absent";
  nvml.current_call.clear();
  nvml.message =
      "the NVIDIA driver is not loaded (/usr/lib/libnvidia-ml.so.1 is installed); load it with `modprobe nvidia`";
  text = doctor();
  for (const char* of_the_past : {"CUDA version", "this board has no fan", "slow", "errors"})
    EXPECT_FALSE(says(text, of_the_past)) << of_the_past << " in\n" << text;
  EXPECT_TRUE(says(text, "modprobe nvidia")) << text;
  EXPECT_EQ(judge(one, one.devices[0]).text, "no data: nvml is absent (the NVIDIA driver is not loaded)");
}

TEST_F(Rendering, AgesAndProcessesAreOfWhatIsShown) {
  Report one = report("healthy");
  const auto process = [&](ReportDevice& device, const char* pid, std::optional<double> bytes) {
    device.values.push_back({"accelmon.process.gpu.memory.usage",
                             {{"process.pid", pid}, {"process.executable.name", "python3"}},
                             bytes,
                             "By",
                             bytes ? "ok" : "stale",
                             0.1});
  };
  ReportDevice other = one.devices[0];
  other.id = "0000:65:00.0";
  other.vendor = "amd";
  other.collector = "amdgpu";
  one.collectors.push_back(
      {.name = "amdgpu", .vendor = "amd", .brief = "", .state = "running", .message = "", .age = 0.2});
  process(other, "4711", 1e9);
  process(one.devices[0], "4712", std::nullopt);
  one.devices.push_back(other);
  EXPECT_NE(render_status(one, {}).find("4712"), std::string::npos) << "its memory is not told";
  ReportCollector& nvml = one.collectors[1];
  nvml.state = "silent";
  nvml.age = 70;
  const std::string text = render_status(one, {});
  EXPECT_NE(text.find("polled 0.2 s ago"), std::string::npos) << text;
  EXPECT_EQ(text.find("4712"), std::string::npos) << "nobody knows whether it still runs\n" << text;
  EXPECT_NE(text.find("4711"), std::string::npos) << text;
}

TEST_F(Rendering, WithoutADeviceTheAgeIsTheHostsAndReasonsStandInOneColumn) {
  Report one = report("none");
  for (const char* name : {"level_zero", "intel_kernel"})
    one.collectors.push_back({.name = name, .vendor = "intel", .brief = "", .state = "absent", .message = "no board"});
  one.collectors.push_back(
      {.name = "kernel_log", .vendor = "host", .brief = "", .state = "running", .message = "", .age = 9.1});
  const std::string text = render_status(one, {});
  EXPECT_EQ(text.find("polled 9.1 s ago"), std::string::npos) << "it is asked every ten seconds\n" << text;
  EXPECT_NE(text.find(" level_zero    no board\n intel_kernel  no board\n"), std::string::npos) << text;
}

TEST_F(Rendering, BannerOfASimulationAndOfOtherAddresses) {
  Report one = report("none");
  EXPECT_EQ(render_banner(one, "h100x8", "x").find("No accelerator here"), std::string::npos);
  EXPECT_NE(render_banner(one, "h100x8", "x").find("simulated: scenario h100x8."), std::string::npos);
  one.address = "0.0.0.0:80";
  EXPECT_EQ(render_banner(one, "", "x").find("accelmon serves http://web-gpu-07:80/ "), 0u);
  one.address = "[::]:80";
  EXPECT_EQ(render_banner(one, "", "x").find("accelmon serves http://web-gpu-07:80/ "), 0u);
  one.address = "";
  EXPECT_EQ(render_banner(one, "", "x").find("accelmon serves /run/accelmon/accelmon.sock alone"), 0u);
  EXPECT_NE(render_banner(one, "", "./dev run").find("./dev run --simulate h100x8"), std::string::npos);
}

TEST_F(Rendering, HostileNamesStayText) {
  const Report one = report("hostile");
  for (const std::string& text :
       {render_status(one, {}), render_status(one, {80, false}), render_csv(one), render_banner(one, "\x1b[m", "x"),
        render_doctor(one, diagnose(one), {}), doctor_json(one, diagnose(one))})
    for (const char c : text) ASSERT_TRUE(static_cast<unsigned char>(c) >= 0x20 || c == '\n') << text;
}

TEST_F(Rendering, ColourOnlyWhereAskedFor) {
  const std::string plain = render_status(report("sick"), {200, false});
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  std::string coloured = render_status(report("sick"), {200, true});
  EXPECT_NE(coloured.find("\x1b[31mlost: Xid 79"), std::string::npos);
  EXPECT_NE(coloured.find("\x1b[33mthermal throttle"), std::string::npos);
  // The words are the same without it.
  for (const char* code : {"\x1b[31m", "\x1b[33m", "\x1b[0m"})
    for (size_t at; (at = coloured.find(code)) != std::string::npos;) coloured.erase(at, std::strlen(code));
  EXPECT_EQ(coloured, plain);
}

TEST_F(Rendering, SampledReportSaysSo) {
  Report one = report("healthy");
  one.sampled = true;
  EXPECT_EQ(render_status(one, {}).find("web-gpu-07 · 8 accelerators · no agent running: sampled here\n"), 0u);
  EXPECT_EQ(render_doctor(one, diagnose(one), {}).find("no agent running: sampled here\n"), 0u);
  EXPECT_EQ(render_doctor(one, diagnose(one), {}).find("exports"), std::string::npos);
}

TEST_F(Rendering, CsvHasARowForEachValueAndQuotes) {
  const std::string text = render_csv(report("hostile"));
  EXPECT_EQ(text.find("device,hw_id,metric,attributes,value,unit,state,age_seconds\n"), 0u);
  EXPECT_NE(
      text.find("0,GPU-00000000,hw.power,accelmon.power.reading=instant;accelmon.power.scope=gpu,74,W,ok,0.400\n"),
      std::string::npos);
  EXPECT_NE(text.find("python3, \"\"x\"\";process.pid=1\","), std::string::npos);
  EXPECT_NE(text.find("host,,system.paging.usage,system.paging.state=used,,By,no_permission,0.400\n"),
            std::string::npos);
}

TEST_F(Rendering, DoctorJsonHasStableKeys) {
  const Report one = report("sick");
  const std::string text = doctor_json(one, diagnose(one));
  for (const char* key :
       {"\"version\":\"0.1.0\"", "\"sampled\":false", "\"needs_attention\":true", "\"collectors\":[",
        "\"read\":{\"metrics\":13,\"devices\":6}", "\"reason\":\"this board has no fan\"",
        "\"metrics\":[\"hw.fan.speed\",\"hw.fan.speed_ratio\"]", "\"devices\":[\"3\"]", "\"longest_seconds\":0.031",
        "\"code\":\"NVML_ERROR_GPU_IS_LOST\",\"count\":120", "\"advice\":["})
    EXPECT_NE(text.find(key), std::string::npos) << key << " in " << text;
}

TEST(ReportReading, RefusesWhatIsNoDocument) {
  for (const char* text : {"", "{", "[]", "null", "{}", "{\"collectors\":5}", "<html>", "\xff\xfe"})
    EXPECT_FALSE(parse_report(text)) << text;
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "[";
  EXPECT_FALSE(parse_report(deep));
}

TEST(ReportReading, MembersOfWrongTypesAreAbsent) {
  const Result<Report> one = parse_report(
      R"({"version":5,"pid":-1,"now":"x","simulated":"yes","poll":[],"scrapes":7,"events":[5,{"wall":"x"}],"host":{},
          "collectors":[null,{"name":"nvml","pid":"x","facts":[],"absences":[7],"calls":{},"frames":-3,"age_seconds":1e999}],
          "devices":["x",{"values":[{"metric":"hw.power","value":"12","state":"ok"},
                                    {"metric":"hw.energy","value":12,"state":"stale"}]}]})");
  // 1e999 is no JSON number that fits: the whole text may be refused, but nothing may break.
  if (one) {
    EXPECT_EQ(one->devices.size(), 2u);
  }
  const Result<Report> two = parse_report(
      R"({"collectors":[null,{"name":"nvml","pid":"x","frames":-3,"age_seconds":null}],"scrapes":7,
          "devices":["x",{"values":[{"metric":"hw.power","value":"12","state":"ok"},
                                    {"metric":"hw.energy","value":12,"state":"stale"}]}]})");
  ASSERT_TRUE(two);
  ASSERT_EQ(two->collectors.size(), 2u);
  EXPECT_FALSE(two->collectors[1].pid.has_value());
  EXPECT_FALSE(two->collectors[1].age.has_value());
  EXPECT_EQ(two->collectors[1].frames, 0u);
  EXPECT_FALSE(two->devices[1].values[0].value.has_value());
  EXPECT_FALSE(two->devices[1].values[1].value.has_value()) << "a stale number must not be shown as if it were fresh";
  (void)render_status(*two, {});
  (void)render_doctor(*two, diagnose(*two), {});
  (void)render_banner(*two, "", "");
}

TEST(ReportReading, ExitCodeFollowsFailures) {
  EXPECT_FALSE(needs_hands(report("healthy")));
  EXPECT_FALSE(needs_hands(report("none")));
  EXPECT_TRUE(needs_hands(report("sick")));
  EXPECT_TRUE(needs_hands(report("stuck")));
}

TEST(Judging, MostSeriousFirst) {
  Report one = report("healthy");
  ReportDevice& device = one.devices[2];
  EXPECT_EQ(judge(one, device).text, "ok");
  const auto set = [&](std::string metric, std::string key, std::string word, double value) {
    device.values.push_back({std::move(metric), {{std::move(key), std::move(word)}}, value, "1", "ok", 0.1});
  };
  set("accelmon.gpu.throttle.active", "reason", "idle", 1);
  set("accelmon.gpu.throttle.active", "reason", "application_clocks", 1);
  EXPECT_EQ(judge(one, device).text, "ok") << "states of a healthy device are no throttling";
  set("accelmon.gpu.throttle.active", "reason", "power_brake", 1);
  EXPECT_EQ(judge(one, device).text, "power brake now");
  one.events.push_back({one.now - 60, "critical", device.id, "ecc_double_bit", "double-bit memory error"});
  EXPECT_EQ(judge(one, device).text.find("double-bit memory error, "), 0u);
  one.events.back().wall = one.now - 7200;
  EXPECT_EQ(judge(one, device).text, "power brake now") << "an old event is history";
  EXPECT_EQ(judge(one, one.devices[3]).text, "ok") << "another device's event";
  one.collectors[1].state = "silent";
  one.collectors[1].current_call = "nvmlDeviceGetTemperature";
  one.collectors[1].current_call_seconds = 4;
  EXPECT_EQ(judge(one, device).text, "no data: nvml is silent in nvmlDeviceGetTemperature for 4.0 s");
  for (ReportValue& value : device.values)
    if (value.metric == "hw.status") value.value = value.attribute("hw.state") == "failed" ? 1 : 0;
  EXPECT_EQ(judge(one, device).level, Verdict::Level::failed);
  EXPECT_EQ(judge(one, device).text.find("failed: double-bit memory error, "), 0u);
}

// A board that only the bus shows, as it is described while its driver does not answer.
ReportDevice of_the_bus(ReportDevice device, std::string reason, std::string status) {
  for (ReportValue& value : device.values) {
    value.value.reset();
    value.state = "stale";
  }
  std::erase_if(device.values, [](const ReportValue& value) { return value.metric == "hw.status"; });
  const auto add = [&](std::string metric, std::vector<std::pair<std::string, std::string>> attributes) {
    device.values.push_back({std::move(metric), std::move(attributes), 1, "1", "ok", 0.1, "presence"});
  };
  add("accelmon.device.unread", {{"reason", std::move(reason)}});
  add("hw.status", {{"hw.state", std::move(status)}});
  add("accelmon.device.info", {});
  return device;
}

TEST(Judging, ASilentDriverIsNoFailedBoard) {
  Report one = report("healthy");
  one.collectors.push_back({.name = "presence", .vendor = "pci", .brief = "", .state = "running", .message = ""});
  ReportDevice& device = one.devices[2];
  const ReportDevice whole = device;
  ReportCollector& nvml = one.collectors[1];
  ASSERT_EQ(nvml.name, "nvml");
  nvml.state = "silent";
  nvml.current_call = "nvmlDeviceGetTemperature";
  nvml.current_call_seconds = 4;
  for (const char* status : {"degraded", "failed"}) {
    device = of_the_bus(whole, "driver_silent", status);
    EXPECT_EQ(judge(one, device).text, "no data: nvml is silent in nvmlDeviceGetTemperature for 4.0 s") << status;
  }
  EXPECT_EQ(judge(one, device).level, Verdict::Level::failed) << "as its status and the exit code";
  nvml.state = "stuck";
  EXPECT_EQ(judge(one, device).text, "no data: nvml is stuck in nvmlDeviceGetTemperature for 4.0 s");
  nvml.state = "backing_off";
  nvml.message = "was killed";
  EXPECT_EQ(judge(one, device).text, "no data: nvml is being started again (was killed)");
  nvml.state = "absent";
  nvml.message = "the driver is not loaded";
  device = of_the_bus(whole, "no_driver", "failed");
  EXPECT_EQ(judge(one, device).text, "no data: nvml is absent (the driver is not loaded)");
  // After a restart of the agent nobody but the bus knows it.
  device.collector = "presence";
  EXPECT_EQ(judge(one, device).text, "no data: no driver is bound to it");
  device = of_the_bus(whole, "driver_silent", "failed");
  device.collector = "presence";
  EXPECT_EQ(judge(one, device).text, "no data: nvml is absent (the driver is not loaded)");
  device = of_the_bus(whole, "passed_through", "ok");
  EXPECT_EQ(judge(one, device).text, "kept for a virtual machine");
  // Of these the bus knows that they are gone, whatever their driver does.
  device = of_the_bus(whole, "off_the_bus", "failed");
  EXPECT_EQ(judge(one, device).text, "lost: it does not answer on the PCI bus");
  device = of_the_bus(whole, "gone", "failed");
  EXPECT_EQ(judge(one, device).text, "lost: it has left the PCI bus");
  nvml.state = "running";
  device = of_the_bus(whole, "driver_silent", "failed");
  EXPECT_EQ(judge(one, device).text, "lost: its driver does not show it");
}

TEST(Judging, AnotherSourceThatReadsIsData) {
  Report one = report("healthy");
  one.collectors[1].state = "silent";
  one.collectors.push_back({.name = "nvidia_smi", .vendor = "nvidia", .brief = "", .state = "running", .message = ""});
  ReportDevice& device = one.devices[2];
  for (ReportValue& value : device.values) value.source = "nvidia_smi";
  EXPECT_EQ(judge(one, device).text, "ok");
  one.collectors.back().state = "silent";
  EXPECT_EQ(judge(one, device).text.find("no data: nvml is silent"), 0u);
}

TEST_F(Rendering, DoctorSaysWhyABoardIsLostAndWhatToDo) {
  Report one = report("sick");
  const std::string& id = one.devices[3].id;
  const auto doctor = [&] { return render_doctor(one, diagnose(one), {}); };
  EXPECT_EQ(doctor().find("device 3 is lost"), std::string::npos);
  const auto tell = [&](double ago, std::string code, std::string message) {
    one.events.push_back({one.now - ago, "critical", id, std::move(code), std::move(message), "restart the node"});
  };
  tell(90, "device_lost", "GPU 3 was lost before");
  tell(60, "device_lost", "GPU 3 is lost: NVML_ERROR_GPU_IS_LOST");
  one.collectors[1].absences.push_back({"hw.status", id, "error", "GPU is lost"});
  EXPECT_NE(doctor().find("GPU 3 is lost: NVML_ERROR_GPU_IS_LOST (device 3)\n"), std::string::npos) << doctor();
  EXPECT_NE(doctor().find("  - nvidia: device 3 is lost: restart the node\n"), std::string::npos) << doctor();
  for (const char* words : {"the call failed at the last poll", "lost before", "GPU is lost\n"})
    EXPECT_EQ(doctor().find(words), std::string::npos) << words << " in\n" << doctor();
  tell(30, "device_back", "GPU 3 answers again");
  EXPECT_NE(doctor().find("the call failed at the last poll (device 3)\n"), std::string::npos)
      << "what fails now fails for another reason\n"
      << doctor();
  EXPECT_EQ(doctor().find("device 3 is lost"), std::string::npos);
}

// Each reading is credited to whom it is from.
TEST_F(Rendering, DoctorTellsTheSecondSource) {
  Report one = report("healthy");
  ReportCollector second;
  second.name = "nvidia_smi";
  second.vendor = "nvidia";
  second.state = "running";
  second.series = 40;
  one.collectors.push_back(second);
  one.collectors[1].absences.push_back({"hw.voltage", one.devices[0].id, "unsupported", "NVML tells no voltage"});
  const size_t before = diagnose(one).collectors[1].metrics;
  EXPECT_NE(render_doctor(one, diagnose(one), {}).find("NVML tells no voltage"), std::string::npos);
  one.devices[0].values.push_back({"hw.voltage", {}, 0.8, "V", "ok", 0.1, "nvidia_smi"});
  one.devices[1].values.push_back({"hw.voltage", {}, std::nullopt, "V", "no_permission", 0.1, "nvidia_smi"});
  const Diagnosis found = diagnose(one);
  EXPECT_EQ(found.collectors[1].metrics, before);
  EXPECT_EQ(found.collectors[1].stands_by_for, nullptr);
  EXPECT_EQ(found.collectors.back().metrics, 1u);
  EXPECT_EQ(found.collectors.back().devices, 1u);
  ASSERT_EQ(found.collectors.back().stands_by_for, &one.collectors[1]);
  const std::string text = render_doctor(one, found, {});
  for (const char* words :
       {"  read      1 metric on 1 device\n", "  stands by for nvml, from which what both read is taken\n"})
    EXPECT_NE(text.find(words), std::string::npos) << words << " in\n" << text;
  EXPECT_EQ(text.find("NVML tells no voltage"), std::string::npos) << "it is read\n" << text;
  EXPECT_EQ(found.collectors.back().not_read.size(), 1u);
  EXPECT_NE(doctor_json(one, found).find("\"stands_by_for\":\"nvml\""), std::string::npos);
  one.collectors.back().series = 2;
  EXPECT_EQ(diagnose(one).collectors.back().stands_by_for, nullptr) << "all that it reads is shown";
}

// Its number may have gone to another.
TEST_F(Rendering, EventsOfABoardWithoutAnIndex) {
  Report one = report("healthy");
  ReportDevice& device = one.devices[2];
  one.events.push_back({one.now - 60, "critical", device.id, "device_lost", "it is lost"});
  EXPECT_NE(render_status(one, {}).find("  gpu 2   it is lost"), std::string::npos) << render_status(one, {});
  device.index.clear();
  device.attributes.clear();
  device.id = "GPU-8f0e2a3c-1111-2222-3333-0123456789ab";
  one.events.back().device = device.id;
  EXPECT_NE(render_status(one, {}).find("  gpu …0123456789ab  it is lost"), std::string::npos)
      << render_status(one, {});
  device.attributes = {{"accelmon.pci.address", "0000:61:00.0"}};
  EXPECT_NE(render_status(one, {}).find("  gpu 0000:61:00.0  it is lost"), std::string::npos);
  one.devices[0].vendor = "amd";
  one.devices[0].index = "1";
  EXPECT_NE(render_status(one, {}).find("  nvidia 0000:61:00.0  it is lost"), std::string::npos);
}

TEST(Judging, SleepIsNoIllness) {
  Report one = report("healthy");
  ReportDevice& device = one.devices[0];
  device.values.clear();
  device.values.push_back({"accelmon.gpu.asleep", {}, 1, "1", "ok", 0.1});
  EXPECT_EQ(judge(one, device).text, "asleep");
  EXPECT_EQ(judge(one, device).level, Verdict::Level::fine);
}

TEST(Judging, TwoPollsAreNoMinute) {
  Report one = report("healthy");
  ReportDevice& device = one.devices[0];
  const auto add = [&](std::string metric, std::vector<std::pair<std::string, std::string>> attributes) {
    device.values.push_back({std::move(metric), std::move(attributes), 1, "1", "ok", 0.1});
  };
  add("accelmon.gpu.throttle.share.window", {{"reason", "power_cap"}, {"stat", "mean"}, {"window", "60s"}});
  add("accelmon.gpu.throttle.active", {{"reason", "power_cap"}});
  EXPECT_EQ(judge(one, device).text, "power cap, 100 % of the last minute");
  one.sampled = true;
  EXPECT_EQ(judge(one, device).text, "power cap now");
}

TEST(Judging, HealthThatNobodyToldIsNotOk) {
  Report one = report("healthy");
  ReportDevice& device = one.devices[0];
  std::erase_if(device.values, [](const ReportValue& value) { return value.metric == "hw.status"; });
  EXPECT_EQ(judge(one, device).text, "busy");
  std::erase_if(device.values, [](const ReportValue& value) { return value.metric == "hw.gpu.utilization"; });
  EXPECT_EQ(judge(one, device).text, "-");
}

TEST(PlainNames, ReadLikeWords) {
  EXPECT_EQ(plain_name("hw.fan.speed"), "fan speed");
  EXPECT_EQ(plain_name("accelmon.gpu.sm.activity"), "SM activity");
  EXPECT_EQ(plain_name("accelmon.gpu.pcie.replays"), "PCIe replays");
  EXPECT_EQ(plain_name("system.memory.linux.available"), "memory available");
}

TEST(Layout, WidthsCountCharacters) {
  EXPECT_EQ(columns_of("a·b"), 3u);
  EXPECT_EQ(left("é", 3), "é  ");
  EXPECT_EQ(right("é", 3), "  é");
  EXPECT_EQ(cut("abcdef", 4), "abc…");
  EXPECT_EQ(cut("ab", 4), "ab");
  EXPECT_EQ(wrap("one two  three", 7), (std::vector<std::string>{"one two", "three"}));
  EXPECT_TRUE(wrap("", 7).empty());
}

TEST(Layout, NumbersForPeople) {
  EXPECT_EQ(percent(0.38), "38 %");
  EXPECT_EQ(percent(0), "0 %");
  EXPECT_EQ(percent(0.0002), "0.02 %");
  EXPECT_EQ(percent(0.00001), "<0.01 %");
  EXPECT_EQ(span_of_time(0.44), "0.4 s");
  EXPECT_EQ(span_of_time(240), "4 min");
  EXPECT_EQ(span_of_time(7300), "2 h");
  EXPECT_EQ(short_time(0.00004), "0.04 ms");
  EXPECT_EQ(short_time(0.0031), "3.1 ms");
  EXPECT_EQ(short_time(0.02), "20 ms");
  EXPECT_EQ(short_time(1.23), "1.2 s");
}

}  // namespace
}  // namespace accelmon

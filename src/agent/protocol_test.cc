#include "agent/protocol.h"
#include "model/catalog_wire.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace accelmon {
namespace {

Catalog sample_catalog() {
  Catalog catalog;
  catalog.generation = 7;
  CatalogBuilder build(catalog);
  const int gpu = build.add_device({.id = "GPU-1",
                                    .index = "0",
                                    .vendor = "nvidia",
                                    .model = "H100",
                                    .info = {{AttributeId::hw_serial_number, "123"}}});
  build.add_device(
      {.type = DeviceType::gpu_partition, .id = "MIG-1", .index = "0:1", .vendor = "nvidia", .parent = gpu});
  build.add(MetricId::power, gpu, Tier::fast,
            {{AttributeId::power_scope, "gpu"}, {AttributeId::power_reading, "instant"}});
  build.add(MetricId::energy, gpu, Tier::slow);
  build.absent(MetricId::fan_speed, gpu, State::unsupported, "this board has no fan");
  build.fact("library", "libnvidia-ml.so.1");
  return catalog;
}

// Feeds a byte string to a reader in pieces of `piece` bytes and gives the first message.
MessageReader::Next feed(MessageReader& reader, std::string_view bytes, size_t piece, MessageType& type,
                         std::string& body) {
  std::string_view seen;
  while (!bytes.empty()) {
    const size_t n = std::min(piece, bytes.size());
    const auto [out, room] = reader.space(n);
    EXPECT_GE(room, n);
    std::memcpy(out, bytes.data(), n);
    reader.received(n);
    bytes.remove_prefix(n);
    const auto next = reader.next(type, seen);
    if (next == MessageReader::Next::incomplete) continue;
    body = seen;
    return next;
  }
  return MessageReader::Next::incomplete;
}

TEST(Protocol, CatalogSurvivesTheWay) {
  const Catalog catalog = sample_catalog();
  std::string bytes;
  write_catalog(bytes, catalog);
  for (size_t piece : {size_t{1}, size_t{13}, bytes.size()}) {
    MessageReader reader;
    MessageType type{};
    std::string body;
    ASSERT_EQ(feed(reader, bytes, piece, type, body), MessageReader::Next::message);
    EXPECT_EQ(type, MessageType::catalog);
    const auto back = decode_catalog(body);
    ASSERT_TRUE(back.has_value()) << back.error().message();
    EXPECT_EQ(*back, catalog);
  }
}

TEST(Protocol, FrameSurvivesTheWay) {
  Frame frame;
  frame.resize(3);
  frame.set(0, 612.345);
  frame.absent(1, State::no_permission);
  frame.set(2, 1e18);
  frame.generation = 7;
  frame.sequence = 41;
  frame.wall = 5;
  frame.monotonic = 6;
  frame.duration = 3 * kMillisecond;
  frame.fresh = 3;
  frame.read_at = {6, 4, 0};
  std::string bytes;
  write_frame(bytes, frame);
  Frame back;
  ASSERT_TRUE(read_frame(std::string_view(bytes).substr(12), back));
  EXPECT_EQ(back.values, frame.values);
  EXPECT_EQ(back.states, frame.states);
  EXPECT_EQ(back.read_at, frame.read_at);
  EXPECT_EQ(back.sequence, 41u);
  EXPECT_EQ(back.duration, 3 * kMillisecond);
}

TEST(Protocol, StatsNoticeEventAndConfigureSurviveTheWay) {
  CallMeter meter(real_clock());
  meter.measure(meter.add("nvmlInit_v2"), [] {});
  meter.count_error("NVML_ERROR_UNKNOWN");
  std::string bytes;
  write_stats(bytes, 9, meter);
  CollectorStats stats;
  ASSERT_TRUE(read_stats(std::string_view(bytes).substr(12), stats));
  EXPECT_EQ(stats.missed_ticks, 9u);
  EXPECT_EQ(stats.calls.at(0).name, "nvmlInit_v2");
  EXPECT_EQ(stats.errors.at(0), (std::pair<std::string, uint64_t>("NVML_ERROR_UNKNOWN", 1)));

  bytes.clear();
  write_notice(bytes, Status(Code::absent, "no driver"));
  Status status;
  ASSERT_TRUE(read_notice(std::string_view(bytes).substr(12), status));
  EXPECT_EQ(status.code(), Code::absent);
  EXPECT_EQ(status.message(), "no driver");

  bytes.clear();
  write_event(bytes, Event{3, Severity::critical, "GPU-1", "xid:79", std::string(5000, 'x')});
  Event event;
  ASSERT_TRUE(read_event(std::string_view(bytes).substr(12), event));
  EXPECT_EQ(event.code, "xid:79");
  EXPECT_EQ(event.message.size(), 1024u);

  bytes.clear();
  write_configure(bytes, Configure{kSecond, 2 * kSecond, 3 * kSecond, {{"library", "x.so"}}});
  Configure configure;
  ASSERT_TRUE(read_configure(std::string_view(bytes).substr(12), configure));
  EXPECT_EQ(configure.options.at("library"), "x.so");
  EXPECT_EQ(configure.rare, 3 * kSecond);
}

TEST(Protocol, BrokenHeadersAreRefusedForGood) {
  std::string good;
  write_hello(good, "nvml");
  for (size_t byte : {size_t{0}, size_t{5}, size_t{11}}) {
    std::string bad = good;
    bad[byte] = static_cast<char>(0xff);
    MessageReader reader;
    MessageType type{};
    std::string body;
    EXPECT_EQ(feed(reader, bad, bad.size(), type, body), MessageReader::Next::broken) << byte;
    std::string_view seen;
    const auto [out, room] = reader.space(good.size());
    std::memcpy(out, good.data(), good.size());
    ASSERT_GE(room, good.size());
    reader.received(good.size());
    EXPECT_EQ(reader.next(type, seen), MessageReader::Next::broken);
  }
}

// Any truncation is refused; any changed byte is refused or gives a catalog that is still valid.
TEST(Protocol, DamagedBodiesNeverGiveABrokenCatalog) {
  std::string bytes;
  write_catalog(bytes, sample_catalog());
  const std::string body = bytes.substr(12);
  for (size_t n = 0; n < body.size(); ++n)
    EXPECT_FALSE(decode_catalog(std::string_view(body).substr(0, n)).has_value());
  EXPECT_FALSE(decode_catalog(body + "x").has_value());
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = body;
    for (unsigned k = random() % 3 + 1; k > 0; --k) damaged[random() % damaged.size()] = static_cast<char>(random());
    const auto catalog = decode_catalog(damaged);
    if (catalog) {
      ASSERT_TRUE(validate(*catalog).ok());
    }
  }
}

TEST(Protocol, FrameWithAnUnknownStateIsRefused) {
  Frame frame;
  frame.resize(1);
  std::string bytes;
  write_frame(bytes, frame);
  bytes.back() = 99;
  Frame back;
  EXPECT_FALSE(read_frame(std::string_view(bytes).substr(12), back));
}

TEST(Protocol, TwoCallsOfOneNameAreRefused) {
  CallMeter meter(real_clock());
  meter.add("never made");
  meter.measure(meter.add("a1"), [] {});
  meter.measure(meter.add("a2"), [] {});
  std::string bytes;
  write_stats(bytes, 0, meter);
  EXPECT_EQ(bytes.find("never made"), std::string::npos);
  const size_t at = bytes.find("a2");
  bytes[at + 1] = '1';
  CollectorStats stats;
  EXPECT_FALSE(read_stats(std::string_view(bytes).substr(12), stats));
  bytes[at + 1] = '\n';
  EXPECT_FALSE(read_stats(std::string_view(bytes).substr(12), stats)) << "a control character";
  bytes[at + 1] = '2';
  EXPECT_TRUE(read_stats(std::string_view(bytes).substr(12), stats));
  EXPECT_TRUE(read_stats(std::string_view(bytes).substr(12), stats)) << "the same again";
  bytes[at + 1] = '1';
  EXPECT_FALSE(read_stats(std::string_view(bytes).substr(12), stats)) << "known names, then twice the same";
}

}  // namespace
}  // namespace accelmon

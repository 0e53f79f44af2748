// What the history on disk costs: bytes a sample, beside a Gorilla coder on the same samples; appending, reading back.
//
// The samples are those of boards that serve models: load that comes and goes, noise as wide as real boards have it,
// most series flat. They pass the pipeline first, so that derived rates and integrals are among them as on a real host,
// and are counted where the history keeps them. ACCELMON_BENCH_HOURS (2) says how many hours of one poll a second;
// ACCELMON_BENCH_TABLE=1 prints the bytes of each metric.
#include <benchmark/benchmark.h>

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "collectors/call_meter.h"
#include "collectors/host/host_collector.h"
#include "gpu_catalog.h"
#include "pipeline/pipeline.h"
#include "store/column.h"
#include "store/disk_store.h"
#include "store/disk_tail.h"

namespace accelmon {
namespace {

double hours() {
  const char* text = std::getenv("ACCELMON_BENCH_HOURS");
  return text != nullptr ? std::atof(text) : 2;
}

// Boards at work. Readings are what a driver gives: whole percents, milliwatts, degrees, steps of 15 MHz.
class Boards {
 public:
  explicit Boards(int gpus, size_t series_each = 0) : load_(static_cast<size_t>(gpus)), pipeline_(PipelineOptions{}) {
    Catalog catalog = catalog_of(gpus);
    if (series_each != 0) {
      // The first so many of each board.
      std::vector<size_t> taken(catalog.devices.size(), 0);
      std::erase_if(catalog.series, [&](const Series& one) {
        return one.metric == MetricId::process_memory || ++taken[static_cast<size_t>(one.device)] > series_each;
      });
    }
    raw_ = std::make_shared<const Catalog>(std::move(catalog));
    catalog_ = pipeline_.set_catalog(raw_);
    in_.resize(raw_->series.size());
    in_.wall = 1'700'000'000 * kSecond;
    in_.monotonic = 1000 * kSecond;
    totals_.assign(raw_->series.size(), 0.0);
    for (double& total : totals_) total = static_cast<double>(random_() % 1'000'000);
  }

  const CatalogPtr& catalog() const { return catalog_; }
  Nanos wall() const { return in_.wall; }

  const Frame& next() {
    const auto jitter = static_cast<Nanos>(random_() % 200'000);
    in_.monotonic += kSecond + jitter - last_jitter_;
    in_.wall += kSecond + jitter - last_jitter_;
    last_jitter_ = jitter;
    in_.duration = 280'000 + static_cast<Nanos>(random_() % 40'000);
    in_.fresh = polls_ == 0 ? 7 : static_cast<uint8_t>(1 | (polls_ % 10 == 0 ? 2 : 0) | (polls_ % 60 == 0 ? 4 : 0));
    ++in_.sequence;
    ++polls_;
    for (size_t t = 0; t < kTiers; ++t)
      if ((in_.fresh >> t & 1u) != 0) in_.read_at[t] = in_.monotonic;
    for (Load& load : load_) {
      // Requests come in waves of minutes; between them the board rests.
      if (--load.left <= 0) {
        load.busy = random_() % 4 != 0;
        load.left = 20 + static_cast<int>(random_() % 300);
        load.level = load.busy ? 0.4 + 0.6 * uniform() : 0;
        if (random_() % 8 == 0) load.pages = 20'000 + static_cast<int>(random_() % 18'000);
      }
      load.now = load.busy ? std::clamp(load.level + 0.03 * normal_(random_), 0.02, 1.0) : 0;
      load.watts = load.busy ? 180 + 480 * load.now + 6 * normal_(random_) : 72 + 0.4 * normal_(random_);
      load.celsius += (30 + load.watts * 0.06 - load.celsius) * 0.02;
      load.throttled = load.watts > 640;
    }
    for (size_t i = 0; i < raw_->series.size(); ++i) {
      const Series& one = raw_->series[i];
      if ((in_.fresh >> static_cast<unsigned>(one.tier) & 1u) == 0) continue;
      in_.set(i, reading(i, one, load_[static_cast<size_t>(one.device)]));
    }
    pipeline_.process(in_, out_);
    return out_;
  }

 private:
  struct Load {
    bool busy = false;
    bool throttled = false;
    int left = 0;
    int pages = 30'000;
    double level = 0, now = 0, watts = 72, celsius = 34;
  };
  double uniform() { return static_cast<double>(random_() >> 8) * 0x1p-24; }
  double normal() { return normal_(random_); }

  double reading(size_t i, const Series& one, const Load& load) {
    const std::string_view word = one.attributes.empty() ? std::string_view() : one.attributes[0].value;
    const auto micro = [](double share) { return std::round(std::clamp(share, 0.0, 1.0) * 1e6) * 1e-6; };
    const auto total = [&](double growth) { return totals_[i] += std::round(growth); };
    switch (one.metric) {
      case MetricId::gpu_utilization:
        return word != "general" ? 0 : std::round((load.busy ? std::min(1.0, load.now + 0.1) : 0) * 100) * 0.01;
      case MetricId::gpu_memory_controller_utilization:
        return std::round(load.now * 60) * 0.01;
      case MetricId::gpu_sm_activity:
      case MetricId::gpu_memory_bandwidth_utilization:
        return micro(load.now * (0.8 + 0.02 * normal()));
      case MetricId::gpu_sm_occupancy:
        return micro(load.now * (0.3 + 0.01 * normal()));
      case MetricId::gpu_pipe_activity:
        return word == "tensor" ? micro(load.now * (0.4 + 0.02 * normal()))
               : word == "fp16" ? micro(load.now * 0.1 + load.now * 0.01 * normal())
                                : 0;
      case MetricId::gpu_memory_usage:
        return load.pages * 2097152.0;
      case MetricId::gpu_memory_free:
        return (40'000 - load.pages) * 2097152.0;
      case MetricId::gpu_memory_utilization:
        return load.pages / 40'000.0;
      case MetricId::gpu_memory_limit:
        return 40'000 * 2097152.0;
      case MetricId::gpu_memory_reserved:
        return 350 * 1048576.0;
      case MetricId::gpu_bar_usage:
        return 3 * 1048576.0;
      case MetricId::energy:
        return total(load.watts * 1000) * 0.001;
      case MetricId::power:
        return std::round((one.attributes[1].value == "instant" ? load.watts + 4 * normal() : load.watts) * 1000) *
               0.001;
      case MetricId::temperature:
        return std::round(load.celsius + (word == "memory" ? 9 : 0));
      case MetricId::clock_frequency: {
        const double top = word == "memory" ? 2619 : word == "video" ? 1545 : 1980;
        const double dip = word == "memory" || !load.throttled ? 0 : 15 * std::round(4 + 4 * uniform());
        return (top - dip) * 1e6;
      }
      case MetricId::throttle_active:
        return word == "power_cap" ? load.throttled : word == "idle" ? !load.busy : 0;
      case MetricId::throttle_time:
        return word == "power_cap" ? total(load.throttled ? 4e8 * uniform() : 0) * 1e-9 : 0;
      case MetricId::gpu_io:
      case MetricId::link_io:
        return total(load.now * (1 + 0.1 * normal()) * 4e8 / 1024) * 1024;
      case MetricId::performance_state:
        return 0;
      case MetricId::process_memory:
        return static_cast<double>(word.back()) * 1048576.0 * 300;
      case MetricId::power_limit:
      case MetricId::clock_limit:
        return 700;
      default:
        return one.attributes.empty() ? 1 : static_cast<double>(word.size() % 4);
    }
  }

  std::vector<Load> load_;
  Pipeline pipeline_;
  CatalogPtr raw_;
  CatalogPtr catalog_;
  Frame in_;
  Frame out_;
  Nanos last_jitter_ = 0;
  uint64_t polls_ = 0;
  std::vector<double> totals_;
  std::mt19937 random_{42};
  std::normal_distribution<double> normal_;
};

// The coder of Facebook's Gorilla (VLDB 2015) for values, and its times in milliseconds, for comparison: counts bits.
class Gorilla {
 public:
  void add(Nanos wall, double value) {
    const int64_t ms = wall / kMillisecond;
    if (count_ == 0) {
      bits_ += 128;
    } else {
      const int64_t delta = ms - last_ms_;
      const int64_t change = delta - last_delta_;
      bits_ += change == 0                         ? 1
               : change >= -63 && change <= 64     ? 9
               : change >= -255 && change <= 256   ? 12
               : change >= -2047 && change <= 2048 ? 16
                                                   : 36;
      last_delta_ = delta;
      const uint64_t difference = std::bit_cast<uint64_t>(value) ^ last_;
      if (difference == 0) {
        bits_ += 1;
      } else {
        const int leading = std::min(31, std::countl_zero(difference));
        const int trailing = std::countr_zero(difference);
        if (leading >= leading_ && trailing >= trailing_) {
          bits_ += 2 + static_cast<uint64_t>(64 - leading_ - trailing_);
        } else {
          leading_ = leading;
          trailing_ = trailing;
          bits_ += 2 + 5 + 6 + static_cast<uint64_t>(64 - leading - trailing);
        }
      }
    }
    last_ = std::bit_cast<uint64_t>(value);
    last_ms_ = ms;
    if (++count_ == 7200) *this = Gorilla(bits_);  // blocks of two hours
  }
  uint64_t bits() const { return bits_; }
  Gorilla() = default;

 private:
  explicit Gorilla(uint64_t bits) : bits_(bits) {}
  uint64_t bits_ = 0;
  uint64_t last_ = 0;
  int64_t last_ms_ = 0;
  int64_t last_delta_ = 0;
  int leading_ = 65;
  int trailing_ = 65;
  uint64_t count_ = 0;
};

// The host as it is now, polled faster than once a second so that the benchmark ends; numbers move less than they
// would.
std::vector<Frame> host_frames(CatalogPtr& catalog, size_t polls) {
  CallMeter meter(real_clock());
  const std::unique_ptr<Collector> host = make_host_collector({meter, real_clock(), {}});
  Result<Catalog> found = host->discover();
  if (!found) return {};
  found->generation = 1;
  const auto raw = std::make_shared<const Catalog>(std::move(*found));
  Pipeline pipeline{PipelineOptions{}};
  catalog = pipeline.set_catalog(raw);
  Frame in;
  in.resize(raw->series.size());
  std::vector<Frame> frames(polls);
  std::vector<Event> events;
  for (size_t i = 0; i < polls; ++i) {
    ::usleep(20'000);
    in.wall = 1'700'000'000 * kSecond + static_cast<Nanos>(i) * kSecond;
    in.monotonic = static_cast<Nanos>(i + 1) * kSecond;
    const PollRequest request{static_cast<uint8_t>(i % 60 == 0 ? 7 : i % 10 == 0 ? 3 : 1)};
    in.fresh = request.due;
    for (size_t t = 0; t < kTiers; ++t)
      if ((in.fresh >> t & 1u) != 0) in.read_at[t] = in.monotonic;
    (void)host->poll(request, in, events);
    in.monotonic = static_cast<Nanos>(i + 1) * kSecond;
    in.wall = 1'700'000'000 * kSecond + static_cast<Nanos>(i) * kSecond;
    pipeline.process(in, frames[i]);
  }
  return frames;
}

// ---- bytes of each metric ----

void table(benchmark::State& state, const CatalogPtr& catalog, const std::vector<Frame>& frames) {
  struct Sum {
    uint64_t samples = 0, bytes = 0, gorilla = 0;
  };
  std::map<std::string, Sum> of;
  Sum all;
  const store::LayoutPtr layout = store::make_layout("bench", catalog);
  store::ColumnEncoder encoder;
  std::vector<double> values;
  std::vector<State> states;
  std::string column;
  for (size_t c = 0; c < layout->from.size(); ++c) {
    Sum& sum = of[std::string(info(layout->catalog->series[c].metric).name)];
    Gorilla gorilla;
    for (size_t begin = 0; begin < frames.size(); begin += 900) {
      values.clear();
      states.clear();
      for (size_t row = begin; row < std::min(frames.size(), begin + 900); ++row) {
        const State one = frames[row].states[layout->from[c]];
        values.push_back(one == State::ok ? frames[row].values[layout->from[c]] : 0);
        states.push_back(one);
        if (one == State::ok) gorilla.add(frames[row].wall, values.back());
      }
      const std::string before = column;
      column.clear();
      encoder.encode(column, values, states, layout->steps[c]);
      sum.bytes += column == before ? 1 : column.size() + 1;
      sum.samples += values.size();
    }
    sum.gorilla += gorilla.bits() / 8;
  }
  for (const auto& [name, sum] : of) {
    all.bytes += sum.bytes;
    all.samples += sum.samples;
    all.gorilla += sum.gorilla;
    if (std::getenv("ACCELMON_BENCH_TABLE") != nullptr)
      std::fprintf(stderr, "%-50s %6llu %9.3f %9.3f\n", name.c_str(),
                   static_cast<unsigned long long>(sum.samples / frames.size()),
                   static_cast<double>(sum.bytes) / static_cast<double>(sum.samples),
                   static_cast<double>(sum.gorilla) / static_cast<double>(sum.samples));
  }
  state.counters["series"] = static_cast<double>(layout->from.size());
  state.counters["B_per_sample"] = static_cast<double>(all.bytes) / static_cast<double>(all.samples);
  state.counters["gorilla_B_per_sample"] = static_cast<double>(all.gorilla) / static_cast<double>(all.samples);
}

void BM_BytesOfBoards(benchmark::State& state) {
  Boards boards(static_cast<int>(state.range(0)));
  std::vector<Frame> frames;
  for (int i = 0; i < 7200; ++i) frames.push_back(boards.next());
  for (auto _ : state) table(state, boards.catalog(), frames);
}
BENCHMARK(BM_BytesOfBoards)->Arg(2)->Iterations(1)->Unit(benchmark::kMillisecond);

void BM_BytesOfThisHost(benchmark::State& state) {
  CatalogPtr catalog;
  const std::vector<Frame> frames = host_frames(catalog, 900);
  for (auto _ : state) table(state, catalog, frames);
}
BENCHMARK(BM_BytesOfThisHost)->Iterations(1)->Unit(benchmark::kMillisecond);

// ---- the whole ----

struct Scratch {
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "accelmon-bench-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path = pattern;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  std::string path;
};

// 16 boards of 60 series, hours of them through a store of its default size: what the file has then, how long its
// thread worked for each hour, and how fast all of it is read back.
void BM_Store(benchmark::State& state) {
  const Scratch scratch;
  Boards boards(16, 60);
  ManualClock clock(kSecond, boards.wall());
  DiskOptions options;
  options.path = scratch.path + "/history.db";
  options.clock = &clock;
  options.own_thread = false;
  auto store = DiskStore::open(options);
  const auto polls = static_cast<uint64_t>(hours() * 3600);
  double append = 0, work = 0, read = 0;
  uint64_t samples = 0;
  const auto seconds = [] { return to_seconds(real_clock().monotonic()); };
  for (auto _ : state) {
    auto cursor = store->open_cursor("bench", CursorStart::oldest).value();
    for (uint64_t i = 0; i < polls; ++i) {
      const Frame& frame = boards.next();
      clock.jump_wall(boards.wall() - clock.wall());
      const double begin = seconds();
      store->append("nvml", boards.catalog(), frame);
      const double end = seconds();
      append += end - begin;
      if (i % 10 == 9) {
        if (!store->flush().ok()) state.SkipWithError("flush");
        work += seconds() - end;
      }
    }
    const double begin = seconds();
    for (;;) {
      const auto batch = cursor.read(256);
      if (!batch || batch->empty()) break;
      for (const FrameRun& run : batch->runs()) samples += run.frames.size() * run.catalog->series.size();
    }
    read = seconds() - begin;
  }
  const DiskState now = store->state();
  const double per_hour = static_cast<double>(now.tier_bytes[0]) / hours();
  state.counters["series"] = static_cast<double>(samples) / static_cast<double>(polls);
  state.counters["B_per_sample"] = static_cast<double>(now.tier_bytes[0]) / static_cast<double>(samples);
  state.counters["MiB_a_day"] = per_hour * 24 / (1 << 20);
  state.counters["file_MiB"] = static_cast<double>(now.bytes) / (1 << 20);
  state.counters["10s_MiB_a_day"] = static_cast<double>(now.tier_bytes[1]) / hours() * 24 / (1 << 20);
  state.counters["1min_MiB_a_day"] = static_cast<double>(now.tier_bytes[2]) / hours() * 24 / (1 << 20);
  state.counters["append_us"] = append / static_cast<double>(polls) * 1e6;
  state.counters["thread_ms_a_minute"] = work / static_cast<double>(polls) * 60e3;
  state.counters["read_Msamples_s"] = static_cast<double>(samples) / read / 1e6;
}
BENCHMARK(BM_Store)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace accelmon

#include "live_scenario.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

namespace accelmon::simulator {

namespace {

constexpr int64_t kSecond = 1000000000;
constexpr int64_t kCheckEvery = kSecond / 10;

std::string environment(const char* name) {
  const char* value = getenv(name);
  return value ? value : "";
}

std::optional<std::string> read_text(const char* path) {
  constexpr size_t kLongest = 2 << 20;  // the parser refuses what is half as long
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while (text.size() < kLongest && (got = read(file, buffer, sizeof(buffer))) > 0)
    text.append(buffer, static_cast<size_t>(got));
  close(file);
  return got < 0 ? std::nullopt : std::optional<std::string>(std::move(text));
}

}  // namespace

int64_t clock_ns(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * kSecond + now.tv_nsec;
}

void sleep_seconds(double seconds) {
  timespec left{static_cast<time_t>(seconds), static_cast<long>(std::fmod(seconds, 1.0) * 1e9)};
  while (nanosleep(&left, &left) != 0) {
  }
}

LiveScenario::LiveScenario(const char* speaker) : speaker_(speaker) {
  snprintf(path_, sizeof(path_), "%s", environment("ACCELMON_SCENARIO").c_str());
  const std::string epoch = environment("ACCELMON_SIM_EPOCH_NS");
  char* end = nullptr;
  epoch_ns_ = strtoll(epoch.c_str(), &end, 10);
  if (epoch.empty() || *end != '\0') epoch_ns_ = clock_ns(CLOCK_MONOTONIC);
}

double LiveScenario::now() const {
  return static_cast<double>(std::max<int64_t>(clock_ns(CLOCK_MONOTONIC) - epoch_ns_, 0)) * 1e-9;
}

std::shared_ptr<const Scenario> LiveScenario::get() {
  const std::lock_guard lock(mutex_);
  reload();
  return scenario_;
}

void LiveScenario::release() {
  const std::lock_guard lock(mutex_);
  scenario_.reset();
  size_ = -1;
  checked_ns_ = 0;
}

void LiveScenario::complain(const std::string& what) {
  uint64_t hash = 1;
  for (const char c : what) hash = mix(hash ^ static_cast<unsigned char>(c));
  if (hash == complaint_) return;
  complaint_ = hash;
  fprintf(stderr, "%s: %s\n", speaker_, what.c_str());
}

void LiveScenario::reload() {
  const int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
  if (checked_ns_ != 0 && now_ns - checked_ns_ < kCheckEvery) return;
  checked_ns_ = now_ns;
  if (path_[0] == '\0') return complain("set ACCELMON_SCENARIO to the path of a scenario");
  struct stat status {};
  if (stat(path_, &status) != 0)
    return complain("cannot read the scenario " + std::string(path_) + ": " + strerror(errno));
  const bool same =
      status.st_mtim.tv_sec == changed_.tv_sec && status.st_mtim.tv_nsec == changed_.tv_nsec && status.st_size == size_;
  if (same) return;
  const std::optional<std::string> text = read_text(path_);
  if (!text) return complain("cannot read the scenario " + std::string(path_) + ": " + strerror(errno));
  changed_ = status.st_mtim;
  size_ = status.st_size;
  ParseOutcome outcome = parse_scenario(*text, now());
  if (outcome.scenario) {
    scenario_ = std::make_shared<const Scenario>(std::move(*outcome.scenario));
    complaint_ = 0;
  } else {
    // What was good stays in force: a person may be in the middle of an edit.
    complain("the scenario " + std::string(path_) + " is broken: " + outcome.error);
  }
  // The memory of the parser goes back, so that a process that is measured shows its own.
  malloc_trim(0);
}

void leak_memory() {
  constexpr size_t kBytes = 16 << 20;
  void* const taken = malloc(kBytes);
  if (taken == nullptr) abort();  // as code that does not check would
  memset(taken, 1, kBytes);
  // Nobody frees it; the address is kept where a leak checker sees it.
  static std::mutex mutex;
  static auto* const all = new std::vector<void*>();
  const std::lock_guard lock(mutex);
  all->push_back(taken);
}

}  // namespace accelmon::simulator

// For tests: a folder of its own, and a collector over it with its catalog, frame and events.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "collectors/collector.h"

namespace accelmon::for_test {

// Removed with all in it.
struct TemporaryTree {
  explicit TemporaryTree(const std::string& name) {
    std::string pattern = (std::filesystem::temp_directory_path() / ("accelmon_" + name + "_XXXXXX")).string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    root = pattern;
  }
  ~TemporaryTree() {
    std::error_code ignored;
    std::filesystem::remove_all(root, ignored);
  }
  TemporaryTree(const TemporaryTree&) = delete;
  TemporaryTree& operator=(const TemporaryTree&) = delete;

  // Into the file that is there, so that a descriptor that is kept open sees it.
  void write(const std::filesystem::path& path, const std::string& text) const {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path, std::ios::trunc) << text;
  }

  std::filesystem::path root;
};

// A test makes `collector` and goes on with what is here.
struct CollectorRig {
  CollectorRig() : calls(clock) {}
  explicit CollectorRig(const Clock& another) : calls(another) {}

  Result<Catalog> discover() {
    Result<Catalog> found = collector->discover();
    if (!found) {
      error = found.error();
      return found;
    }
    EXPECT_TRUE(validate(*found).ok()) << validate(*found).message();
    catalog = *found;
    frame.resize(catalog.series.size());
    return found;
  }
  PollResult poll(uint8_t due = 7) { return collector->poll(PollRequest{due}, frame, events); }

  int device(const std::string& id) const {
    for (size_t i = 0; i < catalog.devices.size(); ++i)
      if (catalog.devices[i].id == id) return static_cast<int>(i);
    ADD_FAILURE() << "no device " << id;
    return -1;
  }
  ManualClock clock;
  CallMeter calls;
  std::unique_ptr<Collector> collector;
  Catalog catalog;
  Frame frame;
  std::vector<Event> events;
  Status error;  // of the last discovery that found nothing
};

}  // namespace accelmon::for_test

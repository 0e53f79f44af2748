// Rendering and compressing allocate nothing once the buffers have grown. This file replaces the program's operator
// new.
#include <gtest/gtest.h>

#include "base/counted_new_for_test.h"
#include "encode/exposition.h"
#include "encode/snapshot_for_test.h"

using accelmon::counted_new::allocations;

namespace accelmon {
namespace {

TEST(Allocation, NoneInSteadyState) {
  const Snapshot snapshot = for_test::whole_table();
  Exposition exposition;
  GzipEncoder gzip;
  std::string text, openmetrics, packed;
  const auto poll = [&](int i) {
    for (const SourceView& source : snapshot.sources)
      for (size_t k = 0; k < source.frame->values.size(); ++k)
        source.frame->values[k] = i * 0.37 + static_cast<double>(k);
    exposition.render(snapshot, ExpositionFormat::text_0_0_4, text);
    exposition.render(snapshot, ExpositionFormat::openmetrics_1_0, openmetrics);
    gzip.compress(text, packed);
  };
  const uint64_t at_start = allocations.load();
  for (int i = 0; i < 3; ++i) poll(i);
  EXPECT_GT(allocations.load(), at_start) << "the counter counts";
  const uint64_t before = allocations.load();
  for (int i = 0; i < 1000; ++i) poll(i);
  EXPECT_EQ(allocations.load() - before, 0u);
  EXPECT_FALSE(packed.empty());
}

}  // namespace
}  // namespace accelmon

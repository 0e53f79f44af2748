// A poll of the host allocates nothing. A file of its own: where the compiler sees both the counting operators and
// their use it inlines them and takes free() for a mistake.
#include <sys/sysmacros.h>

#include <filesystem>
#include <memory>

#include "base/counted_new_for_test.h"
#include "base/valgrind_for_test.h"
#include "collectors/host/host_test_tree.h"

namespace accelmon::host {
namespace {

TEST(HostCollector, PollAllocatesNothing) {
  if (under_valgrind()) GTEST_SKIP() << "it counts no allocations";
  fake_filesystems() = {{"/", {makedev(8, 1), 1000, 500, 400}}};
  for (const char* name : {"gpu_server", "container", "ancient"}) {
    Tree tree(name);
    Host host(tree);
    ASSERT_NO_FATAL_FAILURE(host.discover());
    host.poll();
    if (std::filesystem::exists(tree.path("second"))) tree.second();
    host.poll();
    const uint64_t before = counted_new::allocations;
    for (int i = 0; i < 10; ++i) host.collector->poll(PollRequest{7}, host.frame, host.events);
    EXPECT_EQ(counted_new::allocations - before, 0u) << name;
    const auto counts = std::make_unique<std::string>(100, 'x');
    EXPECT_GT(counted_new::allocations - before, 0u) << "the count counts";
  }
}

}  // namespace
}  // namespace accelmon::host

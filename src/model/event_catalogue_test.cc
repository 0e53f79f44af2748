#include "model/event_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace accelmon {
namespace {

TEST(EventCatalogue, EntriesAreWholeAndOrdered) {
  EXPECT_GE(event_catalogue_version(), 1u);
  ASSERT_GT(event_catalogue().size(), 50u);
  std::string_view before;
  for (const EventEntry& entry : event_catalogue()) {
    EXPECT_LT(before, entry.code);
    EXPECT_FALSE(entry.meaning.empty()) << entry.code;
    EXPECT_FALSE(entry.action.empty()) << entry.code;
    EXPECT_EQ(find_event(entry.code), &entry);
    before = entry.code;
  }
}

TEST(EventCatalogue, KnowsWhatIsSympathetic) {
  std::set<std::string_view> sympathetic;
  for (const EventEntry& entry : event_catalogue())
    if (entry.sympathetic && entry.code.starts_with("xid:")) sympathetic.insert(entry.code);
  EXPECT_THAT(sympathetic, testing::ElementsAre("xid:45", "xid:94", "xid:95"));
}

TEST(EventCatalogue, SaysWhatItDoesNotKnow) {
  EXPECT_EQ(find_event("xid:4711"), nullptr);
  EXPECT_EQ(find_event(""), nullptr);
  const XidMeaning unknown = meaning_of_xid(4711);
  EXPECT_EQ(unknown.code, "xid:4711");
  EXPECT_EQ(unknown.severity, Severity::warning);
  EXPECT_EQ(unknown.message, "Xid 4711");
  const XidMeaning lost = meaning_of_xid(79);
  EXPECT_EQ(lost.severity, Severity::critical);
  EXPECT_THAT(lost.message, testing::StartsWith("Xid 79: the GPU has fallen off the bus; restart the node"));
}

}  // namespace
}  // namespace accelmon

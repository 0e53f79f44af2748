#include "agent/finding_book.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace accelmon {
namespace {

constexpr Nanos kStart = 1'764'000'000 * kSecond;

class Book : public testing::Test {
 protected:
  void look(Nanos at, const char* state = "ok", std::vector<FindingBook::Counter> counters = {}) {
    const analysis::Readings readings{Snapshot()};
    analysis::Facts facts{.readings = readings, .wall = kStart + at * kSecond};
    facts.history = analysis::HistoryFact{state, "", 0, 0};
    book.evaluate(facts, counters);
  }
  Nanos since() const { return book.findings().empty() ? -1 : (book.findings()[0].since - kStart) / kSecond; }

  FindingBook book;
};

TEST_F(Book, KnowsSinceWhen) {
  look(0);
  EXPECT_TRUE(book.findings().empty());
  EXPECT_EQ(book.evaluated_at(), kStart);
  look(10, "error");
  look(500, "error");
  EXPECT_EQ(since(), 10) << "it held at the last look";
  look(510);
  EXPECT_TRUE(book.findings().empty());
  look(540, "error");
  EXPECT_EQ(since(), 10) << "half a minute was no end";
  look(550);
  look(650, "error");
  EXPECT_EQ(since(), 650);
  EXPECT_EQ(book.count(Severity::warning), 1u);
  EXPECT_EQ(book.count(Severity::critical), 0u);
}

TEST_F(Book, AnotherFindingHasATimeOfItsOwn) {
  look(10, "error");
  look(20, "disk_full");
  EXPECT_EQ(since(), 20);
}

TEST_F(Book, CountersThatGrew) {
  const auto count = [](double total) {
    return std::vector<FindingBook::Counter>{{"uncorrected_errors", "GPU-1", "nvidia 1", total}};
  };
  const auto grown = [&] { return book.findings().empty() ? 0 : book.findings()[0].evidence[0].number.value_or(-1); };
  look(0, "ok", count(5));
  EXPECT_TRUE(book.findings().empty()) << "what it had at first sight is no growth";
  look(10, "ok", count(7));
  EXPECT_EQ(grown(), 2);
  look(20, "ok", count(7));
  EXPECT_EQ(since(), 10);
  look(30, "ok", count(1));
  EXPECT_EQ(grown(), 3) << "the counter began anew, and has grown since";
  look(4000, "ok", count(1));
  EXPECT_TRUE(book.findings().empty());
  look(4010, "ok", count(2));
  EXPECT_EQ(grown(), 1) << "after a quiet hour it begins anew";
  EXPECT_EQ(since(), 4010);
}

TEST(FindingsDocument, HasStableKeysAndTakesOneDevice) {
  Finding one;
  one.code = "device_lost";
  one.severity = Severity::critical;
  one.device_id = "GPU-1";
  one.subject = "nvidia 1";
  one.title = "lost \"at once\"";
  one.since = kStart;
  one.advice = "reboot";
  one.evidence = {{"watts", 70.0, "W", ""}, {"hw.status", std::nullopt, "", "failed"}};
  const auto json = nlohmann::json::parse(findings_document({one, one}, kStart + kSecond));
  EXPECT_EQ(json["time"], 1'764'000'001.0);
  ASSERT_EQ(json["findings"].size(), 2u);
  const auto& first = json["findings"][0];
  EXPECT_EQ(first["severity"], "critical");
  EXPECT_EQ(first["title"], "lost \"at once\"");
  EXPECT_EQ(first["since"], 1'764'000'000.0);
  EXPECT_EQ(first["evidence"][0]["value"], 70.0);
  EXPECT_EQ(first["evidence"][0]["unit"], "W");
  EXPECT_EQ(first["evidence"][1]["value"], "failed");
  EXPECT_EQ(nlohmann::json::parse(findings_document({one}, kStart, "GPU-2*"))["findings"].size(), 0u);
  EXPECT_EQ(nlohmann::json::parse(findings_document({one}, kStart, "GPU-*"))["findings"].size(), 1u);
}

}  // namespace
}  // namespace accelmon

// The Runner with a far end and a cursor that do as they are told.
#include "exporters/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "encode/runs_for_test.h"

namespace accelmon {
namespace {

using Verdict = Sent::Verdict;

// What was called, in words, and what send() is to answer. Outlives the runner.
struct Script {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> calls;
  std::deque<Sent> answers;  // then: delivered
  std::deque<size_t> polls;  // of each batch that the cursor has
  size_t requests = 1;       // of a batch
  bool searches = false;     // search() goes on with another request
  bool hangs = false;        // send() waits until it is interrupted
  bool interrupted = false;
  Status read_error, commit_error;
  uint64_t lost = 0;
  uint64_t late = 0;
  std::vector<size_t> most;        // of each read
  Nanos begin = for_test::kBegin;  // of a batch

  void say(std::string call) {
    const std::lock_guard lock(mutex);
    calls.push_back(std::move(call));
    changed.notify_all();
  }
  // Waits until `call` was made `times` times.
  bool wait(const std::string& call, std::ptrdiff_t times = 1) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20),
                            [&] { return std::count(calls.begin(), calls.end(), call) >= times; });
  }
  std::ptrdiff_t count(const std::string& call) {
    const std::lock_guard lock(mutex);
    return std::count(calls.begin(), calls.end(), call);
  }
};

class FakeCursor final : public FeedCursor {
 public:
  explicit FakeCursor(Script& script) : script_(script) {}
  Result<FrameBatch> read(size_t most) override {
    const std::lock_guard lock(script_.mutex);
    script_.most.push_back(most);
    if (!script_.read_error.ok()) return fail(script_.read_error);
    BatchBuilder build;
    build.lose(std::exchange(script_.lost, 0));
    if (!script_.polls.empty()) {
      const CatalogPtr catalog = for_test::five_kinds();
      for (size_t i = 0; i < script_.polls.front(); ++i) {
        auto frame = std::make_unique<Frame>();
        frame->resize(catalog->series.size());
        frame->wall = script_.begin + static_cast<Nanos>(i) * kSecond;
        frame->set(0, 50);
        build.add("nvml", catalog, i, std::move(frame));
      }
      script_.polls.pop_front();
    }
    return build.finish();
  }
  Status commit() override {
    script_.say("cursor commit");
    return script_.commit_error;
  }
  uint64_t behind() const override {
    const std::lock_guard lock(script_.mutex);
    uint64_t sum = 0;
    for (const size_t polls : script_.polls) sum += polls;
    return sum;
  }

 private:
  Script& script_;
};

class FakeDestination final : public Destination {
 public:
  explicit FakeDestination(Script& script) : script_(script) {}
  void may_have(bool may) override {
    if (may) script_.say("may have");
  }
  void begin(std::span<const FrameRun> batch) override {
    script_.say("begin");
    left_ = batch.empty() ? 0 : script_.requests;
  }
  bool next() override { return left_ != 0 && left_-- != 0; }
  Sent send() override {
    Sent answer;
    {
      std::unique_lock lock(script_.mutex);
      if (script_.hangs) {
        script_.calls.emplace_back("hanging");
        script_.changed.notify_all();
        script_.changed.wait_for(lock, std::chrono::seconds(20), [&] { return script_.interrupted; });
        answer.verdict = Verdict::later;
      } else if (!script_.answers.empty()) {
        answer = script_.answers.front();
        script_.answers.pop_front();
        if (answer.verdict == Verdict::pieces) left_ += 2;
      }
    }
    if (answer.samples == 0) answer.samples = 5;
    answer.bytes = 100;
    script_.say("send");
    return answer;
  }
  uint64_t late() const override { return script_.late; }
  bool search() override {
    script_.say("search");
    if (script_.searches) ++left_;
    return script_.searches;
  }
  void commit() override { script_.say("commit"); }
  void interrupt() override {
    const std::lock_guard lock(script_.mutex);
    script_.interrupted = true;
    script_.changed.notify_all();
  }

 private:
  Script& script_;
  size_t left_ = 0;
};

Sent saying(Verdict verdict, std::string message = "no", Nanos retry_after = 0) {
  Sent sent;
  sent.verdict = verdict;
  sent.message = std::move(message);
  sent.retry_after = retry_after;
  return sent;
}

class RunnerTest : public testing::Test {
 protected:
  Runner& start(RunnerOptions options = {}) {
    options.name = "one";
    options.type = "fake";
    options.where = "there";
    if (options.interval == 15 * kSecond) options.interval = 20 * kMillisecond;
    if (options.first_pause == kSecond) options.first_pause = kMillisecond;
    runner = std::make_unique<Runner>(std::move(options), std::make_unique<FakeDestination>(script),
                                      std::make_unique<FakeCursor>(script), Selection({}, {}, 0));
    runner->start();
    return *runner;
  }
  Script script;
  std::unique_ptr<Runner> runner;
};

TEST_F(RunnerTest, DeliversAndCommitsOnce) {
  script.polls = {3, 2};
  script.requests = 2;
  start();
  ASSERT_TRUE(script.wait("cursor commit", 2));
  runner->stop();
  EXPECT_THAT(script.calls, testing::ElementsAre("begin", "send", "send", "commit", "cursor commit", "begin", "send",
                                                 "send", "commit", "cursor commit"));
  const ExporterState state = runner->state();
  EXPECT_EQ(state.health, ExporterHealth::ok);
  EXPECT_EQ(state.samples, 20u);
  EXPECT_EQ(state.bytes, 400u);
  EXPECT_EQ(state.requests_ok, 4u);
  EXPECT_EQ(state.behind, 0u);
  EXPECT_NE(state.last_success, 0);
  EXPECT_EQ(state.message, "");
}

TEST_F(RunnerTest, NothingIsCommittedWhileTheFarEndIsAway) {
  script.polls = {3};
  for (int i = 0; i < 5; ++i) script.answers.push_back(saying(Verdict::later, "refused the connection"));
  start();
  ASSERT_TRUE(script.wait("send", 3));
  EXPECT_EQ(script.count("cursor commit"), 0);
  EXPECT_EQ(runner->state().health, ExporterHealth::waiting);
  EXPECT_EQ(runner->state().message, "refused the connection");
  EXPECT_EQ(runner->state().behind, 3u);
  ASSERT_TRUE(script.wait("cursor commit"));
  runner->stop();
  EXPECT_EQ(script.count("begin"), 1) << "a request is sent again as it is";
  EXPECT_EQ(script.count("send"), 6);
  EXPECT_EQ(runner->state().health, ExporterHealth::ok);
  EXPECT_EQ(runner->state().requests_failed, 5u);
  EXPECT_EQ(runner->state().rejected, 0u);
}

TEST_F(RunnerTest, PausesDoubleAndAreAsLongAsTheFarEndAsks) {
  script.polls = {1};
  script.answers = {saying(Verdict::later), saying(Verdict::later), saying(Verdict::later),
                    saying(Verdict::later, "slow down", 1000 * kSecond)};
  const Nanos began = real_clock().wall();
  RunnerOptions options;
  options.first_pause = 4 * kMillisecond;
  start(std::move(options));
  ASSERT_TRUE(script.wait("send", 4));
  // The state tells of the next try after the answer was noted: a moment later.
  Nanos next = 0;
  for (int i = 0; i < 2000 && next < began + 900 * kSecond; ++i) {
    next = runner->state().next_try;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const Nanos now = real_clock().wall();
  EXPECT_GE(now - began, (4 + 8 + 16) * kMillisecond);
  EXPECT_GE(next, began + 1000 * kSecond);
  EXPECT_LE(next, now + 1250 * kSecond) << "a quarter of chance on top at most";
  runner->stop();
  EXPECT_EQ(script.count("send"), 4) << "the pause that it asked for is kept";
  EXPECT_EQ(script.count("cursor commit"), 0);
}

TEST_F(RunnerTest, NobodyMakesItWaitForDays) {
  script.polls = {1};
  script.answers = {saying(Verdict::later, "come back next year", 365LL * 86400 * kSecond)};
  start();
  ASSERT_TRUE(script.wait("send"));
  Nanos next = 0;
  for (int i = 0; i < 2000 && next == 0; ++i) {
    next = runner->state().next_try;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_LE(next, real_clock().wall() + 4500 * kSecond);
}

TEST_F(RunnerTest, AFailingRequestIsLeftOutInTheEnd) {
  script.polls = {1, 1};
  for (int i = 0; i < 10; ++i) script.answers.push_back(saying(Verdict::failed, "HTTP 500"));
  RunnerOptions options;
  options.first_pause = options.longest_pause = 1;
  options.most_tries = 10;
  start(std::move(options));
  ASSERT_TRUE(script.wait("cursor commit", 2));
  runner->stop();
  EXPECT_EQ(script.count("send"), 11);
  EXPECT_EQ(runner->state().rejected, 5u);
  EXPECT_EQ(runner->state().samples, 5u);
}

TEST_F(RunnerTest, WhatFailsAgainAndAgainIsSearched) {
  script.polls = {1};
  script.searches = true;
  for (int i = 0; i < 9; ++i) script.answers.push_back(saying(Verdict::failed, "HTTP 500"));
  Sent found = saying(Verdict::delivered);
  found.left_out = 2;
  script.answers.push_back(found);
  RunnerOptions options;
  options.first_pause = options.longest_pause = 1;
  start(std::move(options));
  ASSERT_TRUE(script.wait("cursor commit"));
  runner->stop();
  EXPECT_EQ(script.count("search"), 2) << "after four tries, and after eight";
  EXPECT_EQ(runner->state().rejected, 2u);
}

TEST_F(RunnerTest, ARefusedRequestBlocksNothing) {
  script.polls = {1};
  script.requests = 3;
  script.answers = {saying(Verdict::delivered), saying(Verdict::refused, "HTTP 400: bad"), saying(Verdict::delivered)};
  start();
  ASSERT_TRUE(script.wait("cursor commit"));
  EXPECT_EQ(script.count("send"), 3);
  EXPECT_EQ(runner->state().rejected, 5u);
  EXPECT_EQ(runner->state().health, ExporterHealth::ok);
  runner->stop();
}

TEST_F(RunnerTest, ARefusalIsItsStateUntilSomethingIsTaken) {
  script.polls = {1};
  script.answers = {saying(Verdict::refused, std::string("HTTP 400: \x1b[2J bad"))};
  start();
  ASSERT_TRUE(script.wait("cursor commit"));
  EXPECT_EQ(runner->state().health, ExporterHealth::refused);
  EXPECT_EQ(runner->state().message.find('\x1b'), std::string::npos) << "what strangers say reaches terminals";
  {
    const std::lock_guard lock(script.mutex);
    script.polls = {1};
  }
  ASSERT_TRUE(script.wait("cursor commit", 2));
  EXPECT_EQ(runner->state().health, ExporterHealth::ok);
}

Sent had(uint64_t samples) {
  Sent sent = saying(Verdict::pieces, "HTTP 400: out of order sample");
  sent.repeated = samples;
  return sent;
}

// A stop in the middle of a batch: its beginning is sent again, and the far end has it. That one poll goes through says
// nothing of the next: it may be of another source.
TEST_F(RunnerTest, ForTheLengthOfABatchTheFarEndMayHaveIt) {
  script.polls = {1, 1, 1, 1, 1, 1};
  const auto taken = [] { return saying(Verdict::delivered); };
  script.answers = {had(5), taken(), taken(), taken(), had(2), taken(), taken()};
  RunnerOptions options;
  options.most_samples = 10;
  start(std::move(options));
  ASSERT_TRUE(script.wait("cursor commit", 6));
  runner->stop();
  EXPECT_EQ(runner->state().repeated, 7u);
  EXPECT_EQ(runner->state().rejected, 0u);
  EXPECT_EQ(script.count("may have"), 4) << "polls of 5 samples, up to twice a batch";
  EXPECT_THAT(std::vector(script.most.begin(), script.most.begin() + 5), testing::Each(1u));
  EXPECT_GT(script.most[5], 1u);
}

TEST_F(RunnerTest, WhatWasPolledSinceTheStartItCannotHave) {
  script.begin = real_clock().wall() + 3600 * kSecond;
  script.polls = {1};
  start();
  ASSERT_TRUE(script.wait("cursor commit"));
  runner->stop();
  EXPECT_EQ(script.count("may have"), 0);
}

TEST_F(RunnerTest, OfTwoPollsTheFirstIsNotInFront) {
  script.polls = {2};
  start();
  ASSERT_TRUE(script.wait("cursor commit"));
  runner->stop();
  EXPECT_EQ(script.count("may have"), 0);
}

TEST_F(RunnerTest, AgainBeginsTheBatchAnew) {
  script.polls = {1};
  script.requests = 2;
  script.answers = {saying(Verdict::again, "it stored nothing")};
  script.answers.back().note = "1.0 from now on";
  start();
  ASSERT_TRUE(script.wait("cursor commit"));
  runner->stop();
  EXPECT_THAT(script.calls,
              testing::ElementsAre("may have", "begin", "send", "begin", "send", "send", "commit", "cursor commit"));
  EXPECT_EQ(runner->state().health, ExporterHealth::ok);
  EXPECT_EQ(runner->state().message, "");
  EXPECT_EQ(runner->state().note, "1.0 from now on") << "what it had to give way in stays to be seen";
}

TEST_F(RunnerTest, AgainForEverIsARefusal) {
  script.polls = {1};
  for (int i = 0; i < 100; ++i) script.answers.push_back(saying(Verdict::again));
  start();
  ASSERT_TRUE(script.wait("cursor commit"));
  runner->stop();
  EXPECT_EQ(script.count("begin"), 17);
  EXPECT_EQ(runner->state().rejected, 5u);
}

TEST_F(RunnerTest, PiecesGoOnWithNext) {
  script.polls = {1};
  script.answers = {saying(Verdict::pieces)};
  start();
  ASSERT_TRUE(script.wait("cursor commit"));
  runner->stop();
  EXPECT_THAT(script.calls,
              testing::ElementsAre("may have", "begin", "send", "send", "send", "commit", "cursor commit"));
  EXPECT_EQ(runner->state().rejected, 0u);
}

TEST_F(RunnerTest, PartsThatAreRejectedAreCounted) {
  script.polls = {1};
  Sent partly = saying(Verdict::delivered, "2 points were rejected");
  partly.rejected = 2;
  script.answers = {partly};
  start();
  ASSERT_TRUE(script.wait("cursor commit"));
  runner->stop();
  EXPECT_EQ(runner->state().samples, 3u);
  EXPECT_EQ(runner->state().rejected, 2u);
  EXPECT_EQ(runner->state().message, "2 points were rejected");
}

TEST_F(RunnerTest, WhatAClockThatWasSetBackCostsIsTold) {
  script.polls = {1, 1};
  script.late = 3;
  start();
  ASSERT_TRUE(script.wait("cursor commit", 2));
  runner->stop();
  EXPECT_EQ(runner->state().late, 6u);
  EXPECT_EQ(runner->state().message, "3 samples were left out: the clock was set back");
}

TEST_F(RunnerTest, StopDoesNotWaitForAPause) {
  script.polls = {1};
  script.answers = {saying(Verdict::later, "no", 1000 * kSecond)};
  start();
  ASSERT_TRUE(script.wait("send"));
  runner->stop();
  EXPECT_EQ(script.count("cursor commit"), 0) << "what was not delivered stays for the next start";
  EXPECT_EQ(script.count("commit"), 0);
}

TEST_F(RunnerTest, StopInterruptsWhatHangs) {
  script.polls = {1};
  script.hangs = true;
  start();
  ASSERT_TRUE(script.wait("hanging"));
  runner->stop();
  EXPECT_TRUE(script.interrupted);
  EXPECT_EQ(script.count("cursor commit"), 0);
}

TEST_F(RunnerTest, TheLastTurnTakesWhatIsThere) {
  RunnerOptions options;
  options.interval = 3600 * kSecond;
  start(std::move(options));
  {
    const std::lock_guard lock(script.mutex);
    script.polls = {4};
  }
  runner->stop();
  EXPECT_EQ(script.count("cursor commit"), 1);
}

TEST_F(RunnerTest, AHistoryThatCannotBeReadIsToldAndTriedAgain) {
  script.read_error = Status(Code::io, "disk on fire");
  script.polls = {1};
  start();
  for (int i = 0; i < 2000 && runner->state().message.empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(runner->state().health, ExporterHealth::waiting);
  EXPECT_EQ(runner->state().message, "the history cannot be read: disk on fire");
  {
    const std::lock_guard lock(script.mutex);
    script.read_error = {};
    script.lost = 7;
  }
  ASSERT_TRUE(script.wait("cursor commit"));
  EXPECT_EQ(runner->state().lost_polls, 7u);
}

TEST_F(RunnerTest, ACommitThatFailsIsTold) {
  script.polls = {1};
  script.commit_error = Status(Code::io, "read-only");
  start();
  for (int i = 0; i < 2000 && runner->state().message.empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(runner->state().message, "read-only");
}

TEST(RunnerFailed, SaysWhyForEver) {
  RunnerOptions options;
  options.name = "x";
  options.type = "otlp";
  const auto runner = Runner::failed(options, "exporters.x.url is needed");
  runner->start();
  runner->begin_stop();
  runner->stop();
  EXPECT_EQ(runner->state().health, ExporterHealth::failed);
  EXPECT_EQ(runner->state().message, "exporters.x.url is needed");
  EXPECT_EQ(to_string(ExporterHealth::failed), "failed");
}

}  // namespace
}  // namespace accelmon

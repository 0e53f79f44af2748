#include "exporters/pieces.h"

#include <algorithm>

namespace accelmon {

void Pieces::begin(bool may_have) {
  may_have_ = may_have;
  looking_ = false;
  done_ = sent_ = passed_ = 0;
  splits_.clear();
  searching_ = given_up_ = too_large_ = false;
  size_ = most_;
  cut_ = true;
}

bool Pieces::advance() {
  done_ += std::exchange(sent_, 0);
  // Behind the request that was refused its size is tried again.
  size_t size = 0;
  while (!splits_.empty() && done_ >= splits_.back().end) {
    size = splits_.back().size;
    splits_.pop_back();
    if (!splits_.empty()) continue;
    if (!taken_) ++barren_;
    too_large_ = false;
  }
  if (std::exchange(given_up_, false) && splits_.size() > 1) {
    splits_.resize(2);
    size = splits_.back().end - done_;
  }
  if (searching_ && passed_ == 0 && done_ >= search_end_) searching_ = false;
  if (size != 0) {
    size_ = std::min(size, most_);
    cut_ = true;
  }
  return std::exchange(cut_, false);
}

void Pieces::split(size_t size) {
  splits_.push_back({done_ + sent_, size_});
  size_ = std::max<size_t>(size, 1);
  sent_ = 0;
  cut_ = true;
}

void Pieces::judge(Sent& sent, Fault fault) {
  using Verdict = Sent::Verdict;
  if (sent_ == 0) return;
  if (looking_) {
    judge_single(sent, fault);
    return;
  }
  if (sent.verdict == Verdict::delivered) {
    sent.left_out = std::exchange(passed_, 0);
    back_to_ = done_ + sent_;
    taken_ = true;
    barren_ = 0;
    allowed_ = std::min(allowed_ + 1, kMostSearch);
    if (std::exchange(too_large_, false)) most_ = std::min(most_, size_);
    return;
  }
  if (sent.verdict == Verdict::failed && searching_) {
    sent.verdict = Verdict::pieces;
    if (sent_ > 1 || passed_ < kMostPassed)
      narrow();
    else
      go_back();
    return;
  }
  if (sent.verdict != Verdict::refused || fault == Fault::none) return;
  if (fault == Fault::had && may_have_) {
    look_for_new();
    sent.verdict = Verdict::pieces;
    return;
  }
  if (splits_.empty()) {
    allowed_ = barren_ == 0 ? kMostSearch : barren_ < kBarrenRequests ? 1 : 0;
    taken_ = false;
  }
  if (sent_ > 1 && allowed_ > 0) {
    --allowed_;
    // What is refused for a sample in it was not too large.
    if (fault == Fault::size)
      too_large_ = true;
    else if (std::exchange(too_large_, false))
      most_ = std::min(most_, size_);
    split(fault == Fault::size ? (sent_ + 1) / 2 : sent_ / kPieces);
    sent.verdict = Verdict::pieces;
    return;
  }
  if (splits_.empty()) {
    if (sent_ > 1) ++barren_;
    return;
  }
  if (allowed_ > 0) --allowed_;
  given_up_ = allowed_ == 0;
}

void Pieces::look_for_new() {
  looking_ = true;
  low_ = look_begin_ = done_;
  high_ = look_end_ = done_ + sent_;
  look_size_ = size_;
  // If it has not even the first, it has something else against the request.
  aim_at(low_);
  size_ = 1;
}

void Pieces::aim_at(size_t sample) {
  done_ = sample;
  sent_ = 0;
  cut_ = true;
}

void Pieces::judge_single(Sent& sent, Fault fault) {
  using Verdict = Sent::Verdict;
  if (sent.verdict == Verdict::delivered) {
    high_ = done_;
  } else if (sent.verdict == Verdict::refused && fault == Fault::had) {
    low_ = done_ + 1;
  } else if (sent.verdict == Verdict::refused) {
    low_ = high_ = look_begin_;  // that is another story
  } else {
    return;
  }
  sent.verdict = Verdict::pieces;
  if (low_ < high_) {
    // Mostly it has all of the request.
    aim_at(high_ == look_end_ ? high_ - 1 : low_ + (high_ - low_) / 2);
    return;
  }
  sent.repeated = low_ - look_begin_;
  looking_ = false;
  may_have_ = low_ == look_end_;
  size_ = look_size_;
  aim_at(low_);
}

bool Pieces::search() {
  if (sent_ == 0) return false;
  if (looking_) {
    looking_ = may_have_ = false;
    size_ = look_size_;
    aim_at(look_begin_);
    return true;
  }
  searching_ = true;
  passed_ = 0;
  back_to_ = done_;
  back_size_ = size_;
  back_splits_ = splits_;
  search_end_ = done_ + sent_;
  narrow();
  return true;
}

void Pieces::narrow() {
  if (sent_ > 1)
    split(sent_ / kPieces);
  else
    ++passed_;
}

bool Pieces::go_back() {
  if (passed_ == 0) return false;
  passed_ = 0;
  searching_ = false;
  sent_ = 0;
  done_ = back_to_;
  size_ = back_size_;
  splits_ = back_splits_;
  cut_ = true;
  return true;
}

}  // namespace accelmon

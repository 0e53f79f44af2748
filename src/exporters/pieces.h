// Which samples of a batch the next request holds, when far ends refuse requests for a few samples in them.
//
// A refused request is sent again in eighths (one that is too large in halves), down to single samples, so that a bad
// one costs itself alone. That is bounded: of a request refusals may outnumber deliveries by kMostSearch, then the
// rest goes in eighths that are not split. Where nothing at all of a request was taken, the next ones are split once,
// and after a few of them not at all, until something is taken: a far end that refuses everything costs one request
// for each that was to be sent. What is too large for it is not tried again in that size.
//
// A request at which the far end fails (search()) is narrowed down likewise, but a failure may be of the far end and
// not of the samples: they are passed over, and given up only when a request behind them is taken. Otherwise all
// goes back to where it was.
//
// The destination encodes samples in an order of its own that does not depend on the size of requests:
//
//   begin();  for each request: if (advance()) cut from done() on, size() samples each;  took(samples);  judge(sent).
//
// Threads: one. Cost: nothing.
#pragma once

#include <cstddef>
#include <vector>

#include "exporters/destination.h"

namespace accelmon {

class Pieces {
 public:
  static constexpr int kMostSearch = 64;
  explicit Pieces(size_t most) : most_(most) {}

  // `may_have`: the far end may have the first samples of the batch, and no series has two in it. Where it says so
  // (Fault::had) single samples are tried to find the first that it has not, and all goes on there. One that is tried
  // and taken is sent again with the others: the newest sample of a series is welcome twice.
  void begin(bool may_have = false);
  bool advance();
  size_t done() const { return done_; }
  size_t size() const { return size_; }
  void took(size_t samples) { sent_ = samples; }
  // What was answered to the request. Only `fault::none` is never split.
  enum class Fault : uint8_t {
    none,
    sample,  // something that it holds
    size,    // there is too much of it
    had,     // as `sample`: it has something of it, or what is newer
  };
  void judge(Sent& sent, Fault fault);
  // The far end failed at the request several times. False: it is empty.
  bool search();
  // No request is left. True: what was passed over stays undecided, and it goes on there, with another cut.
  bool go_back();

 private:
  static constexpr size_t kPieces = 8;
  static constexpr size_t kMostPassed = 16;
  static constexpr int kBarrenRequests = 4;
  struct Split {
    size_t end;   // of the request that was refused, in samples of the batch
    size_t size;  // what requests had then
  };
  void split(size_t size);
  void narrow();
  void look_for_new();
  void aim_at(size_t sample);
  void judge_single(Sent& sent, Fault fault);

  size_t most_;
  size_t done_ = 0;  // samples of the batch that were taken, or refused for good
  size_t sent_ = 0;  // of the request at hand
  size_t size_ = 0;
  bool cut_ = false;
  std::vector<Split> splits_;
  int allowed_ = 0;         // how often the request at hand may still be split
  bool taken_ = false;      // something of it
  bool too_large_ = false;  // it was
  bool given_up_ = false;   // the search in it
  int barren_ = 0;          // requests in a row of which nothing was taken
  bool searching_ = false;  // for what the far end fails at
  size_t passed_ = 0;       // samples that are passed over
  size_t back_to_ = 0;      // where it goes on when the far end failed at everything
  size_t search_end_ = 0, back_size_ = 0;
  std::vector<Split> back_splits_;
  bool may_have_ = false;
  bool looking_ = false;  // for the first sample that the far end has not: it lies in [low_, high_]
  size_t low_ = 0, high_ = 0, look_begin_ = 0, look_end_ = 0, look_size_ = 0;
};

}  // namespace accelmon

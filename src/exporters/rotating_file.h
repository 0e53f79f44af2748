// Lines to a file that is turned over, or to what has no end: a pipe, a terminal, standard output.
//
// Nothing here waits for a far end longer than its time: what is not a regular file is written to when it takes
// something. Threads: one at a time, but for interrupt(). Errors are a Status that names the path.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"
#include "base/status.h"

namespace accelmon {

// When a regular file would become longer than `limit`, it is renamed to PATH.1, PATH.1 to PATH.2 and so on up to
// `keep`, and a new one begun. It is opened anew when somebody else has moved it away. Links are not turned over: what
// they lead to belongs to somebody else.
class RotatingFile {
 public:
  // "-": the standard output that this process was given.
  static constexpr std::string_view kStandardOutput = "-";

  RotatingFile(std::string path, uint64_t limit, unsigned keep, Nanos timeout = 10 * kSecond)
      : path_(std::move(path)), limit_(limit), keep_(keep), timeout_(timeout) {}
  RotatingFile(RotatingFile&& other) noexcept;

  // Into a regular file all or nothing, as far as it can be cut back after half of it. Elsewhere what was taken cannot
  // be taken back: after an error the same lines must come again, and go on where they stopped.
  Status append(std::string_view lines);
  // From then on nothing is waited for.
  void interrupt() { interrupted_.store(true, std::memory_order_release); }

 private:
  enum class Kind : uint8_t { file, stream, socket };
  bool standard_output() const { return path_ == kStandardOutput; }
  std::string shown() const;
  Status open();
  Status open_standard_output();
  void rotate();
  Status stream(std::string_view lines);
  Status wait(Nanos deadline);

  std::string path_;
  uint64_t limit_;
  unsigned keep_;
  Nanos timeout_;
  UniqueFd fd_;
  Kind kind_ = Kind::file;
  bool turned_over_ = false;  // a regular file by its own name
  bool told_ = false;         // that a link is not
  uint64_t size_ = 0;         // of a file
  size_t taken_ = 0;          // of the lines that a stream has not taken all of
  std::atomic<bool> interrupted_{false};
};

}  // namespace accelmon

// The memory of the history: one reservation, handed out in cells of one cache line.
//
// Everything that the history keeps lies in cells: values, times, and its own bookkeeping. So its bound is a number of
// cells, nothing fragments, and the steady state never calls the allocator. The reservation takes address space only;
// a page costs memory when its first cell is used. Freed cells are used again first, so a history that holds little
// touches little. Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelmon::store {

using Cell = uint32_t;  // number of a cell
inline constexpr Cell kNone = UINT32_MAX;
inline constexpr size_t kCellBytes = 64;

class Arena {
 public:
  explicit Arena(size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  Cell take();  // kNone: all in use. The contents are undefined
  void give(Cell cell);

  template <class T>
  T& at(Cell cell) const {
    static_assert(sizeof(T) <= kCellBytes);
    return *reinterpret_cast<T*>(base_ + size_t{cell} * kCellBytes);
  }

  uint32_t cells() const { return cells_; }
  uint32_t in_use() const { return in_use_; }
  size_t bytes() const { return size_t{touched_} * kCellBytes; }  // of the cells ever used

 private:
  std::byte* base_ = nullptr;
  uint32_t cells_ = 0;
  uint32_t touched_ = 0;
  uint32_t in_use_ = 0;
  Cell free_ = kNone;  // the last one given back; each holds the number of the next
};

}  // namespace accelmon::store

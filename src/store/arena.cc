#include "store/arena.h"

#include <sys/mman.h>

#include <algorithm>

namespace accelmon::store {

Arena::Arena(size_t bytes) {
  cells_ = static_cast<uint32_t>(std::min<size_t>(bytes / kCellBytes, size_t{1} << 30));
  if (cells_ == 0) return;
  void* memory = mmap(nullptr, size_t{cells_} * kCellBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    cells_ = 0;  // a history that holds nothing; bytes() says so
    return;
  }
  // A huge page would make the first sample cost 2 MiB.
  madvise(memory, size_t{cells_} * kCellBytes, MADV_NOHUGEPAGE);
  base_ = static_cast<std::byte*>(memory);
}

Arena::~Arena() {
  if (base_ != nullptr) munmap(base_, size_t{cells_} * kCellBytes);
}

Cell Arena::take() {
  Cell cell = free_;
  if (cell != kNone) {
    free_ = at<Cell>(cell);
  } else if (touched_ < cells_) {
    cell = touched_++;
  } else {
    return kNone;
  }
  ++in_use_;
  return cell;
}

void Arena::give(Cell cell) {
  at<Cell>(cell) = free_;
  free_ = cell;
  --in_use_;
}

}  // namespace accelmon::store

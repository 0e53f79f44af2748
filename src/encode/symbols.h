// Texts of one request, each once, by number: remote write 2.0's table of symbols.
//
// Threads: one at a time. Cost: one hash and one comparison a look-up; no allocation once it has grown. Texts are not
// copied: they must live until clear().
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace accelmon {

class SymbolTable {
 public:
  SymbolTable() { clear(); }

  // Forgets all but the empty text, which is number 0.
  void clear() {
    texts_.clear();
    bytes_ = 0;
    if (++round_ == 0 || slots_.empty()) {
      slots_.assign(slots_.empty() ? 1024 : slots_.size(), {});
      round_ = 1;
    }
    number({});
  }

  uint32_t number(std::string_view text) {
    if (texts_.size() * 2 >= slots_.size()) grow();
    Slot& slot = find(text);
    if (slot.round != round_) {
      slot = {round_, static_cast<uint32_t>(texts_.size())};
      texts_.push_back(text);
      bytes_ += text.size();
    }
    return slot.number;
  }

  const std::vector<std::string_view>& texts() const { return texts_; }
  size_t bytes() const { return bytes_; }  // of all texts

 private:
  struct Slot {
    uint32_t round = 0;  // an older one: free
    uint32_t number = 0;
  };
  Slot& find(std::string_view text) {
    const size_t mask = slots_.size() - 1;
    size_t i = std::hash<std::string_view>()(text) & mask;
    while (slots_[i].round == round_ && texts_[slots_[i].number] != text) i = (i + 1) & mask;
    return slots_[i];
  }
  void grow() {
    slots_.assign(slots_.size() * 2, {});
    for (size_t i = 0; i < texts_.size(); ++i) find(texts_[i]) = {round_, static_cast<uint32_t>(i)};
  }

  std::vector<Slot> slots_;
  std::vector<std::string_view> texts_;
  uint32_t round_ = 0;
  size_t bytes_ = 0;
};

}  // namespace accelmon

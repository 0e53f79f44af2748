#include "store/column.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "store/integers.h"
#include "store/varint.h"

namespace accelmon::store {
namespace {

// The first byte: how states are written, how values are, and which predictor. The second: the transform.
enum : uint8_t { kAllOk = 0, kAllOther = 1, kRuns = 2 };
enum : uint8_t { kConstantValue = 0, kResiduals = 1, kWords = 2 };

bool known_transform(uint8_t transform) {
  return transform < kMultiply + kExponents || transform == kInteger;
}

uint64_t magnitude(int64_t value) {
  return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

// ---- predictors: what the next value will be ----

enum Predictor : uint8_t {
  kBase,     // the middle of the column
  kLast,     // the last one
  kLine,     // as far from the last as that was from the one before
  kSmooth1,  // a moving average of weight 1/2, 1/4, 1/8
  kSmooth2,
  kSmooth3,
  kGrowth2,  // the last and a moving average of what it grew by
  kGrowth3,
  kPredictors,
};

struct Predicting {
  uint64_t last = 0;
  uint64_t memory = 0;
};

// All arithmetic wraps, so that any integers come back whatever was predicted.
inline uint64_t shifted(uint64_t value, unsigned by) {
  return static_cast<uint64_t>(static_cast<int64_t>(value) >> by);
}
inline uint64_t predict(uint8_t predictor, const Predicting& p) {
  switch (predictor) {
    case kLast:
      return p.last;
    case kLine:
      return p.last + p.memory;
    case kSmooth1:
      return shifted(p.memory, 1);
    case kSmooth2:
      return shifted(p.memory, 2);
    case kSmooth3:
      return shifted(p.memory, 3);
    case kGrowth2:
      return p.last + shifted(p.memory, 2);
    case kGrowth3:
      return p.last + shifted(p.memory, 3);
    default:
      return 0;
  }
}
inline void advance(uint8_t predictor, Predicting& p, uint64_t value) {
  switch (predictor) {
    case kLine:
      p.memory = value - p.last;
      break;
    case kSmooth1:
    case kSmooth2:
    case kSmooth3: {
      const unsigned shift = predictor - kSmooth1 + 1u;
      p.memory += value - shifted(p.memory, shift);
      break;
    }
    case kGrowth2:
    case kGrowth3: {
      const unsigned shift = predictor - kGrowth2 + 2u;
      p.memory += value - p.last - shifted(p.memory, shift);
      break;
    }
    default:
      break;
  }
  p.last = value;
}

// ---- the coder of errors: zero or not, sign, number of bits, the bits ----

// Where each kind of decision has its Bits in the model.
constexpr size_t kZero = 0;                 // 4: whether the last two were zero
constexpr size_t kSign = 4;                 // 3: the last sign
constexpr size_t kLength = 8;               // 3 contexts of 64
constexpr size_t kHigh = kLength + 3 * 64;  // the two highest bits after the leading one, by length: 64 of 4
static_assert(kHigh + 64 * 4 <= 512);

struct ErrorContext {
  uint32_t zeros = 0;   // bit i: the one before i others was zero
  uint32_t sign = 0;    // 0 none yet, 1 positive, 2 negative
  uint32_t length = 0;  // of the last that was not zero
  uint32_t packed() const { return zeros | sign << 2 | length << 4; }
  static ErrorContext unpacked(uint32_t bits) { return {bits & 3u, bits >> 2 & 3u, bits >> 4}; }
  size_t length_context() const { return length == 0 ? 0 : length < 5 ? 1 : 2; }
};

template <class Coder>
void put_error(Coder& coder, Bit* model, ErrorContext& context, int64_t error) {
  coder.bit(model[kZero + context.zeros], error == 0);
  context.zeros = (context.zeros << 1 & 3u) | (error == 0 ? 1u : 0u);
  if (error == 0) return;
  coder.bit(model[kSign + context.sign], error < 0);
  context.sign = error < 0 ? 2 : 1;
  const uint64_t size = magnitude(error);
  const auto length = static_cast<unsigned>(std::bit_width(size)) - 1;  // 0 to 63
  Bit* tree = model + kLength + 64 * context.length_context();
  unsigned node = 1;
  for (unsigned i = 6; i-- > 0;) {
    const unsigned one = length >> i & 1u;
    coder.bit(tree[node], one != 0);
    node = node << 1 | one;
  }
  context.length = length + 1;
  unsigned left = length;
  node = 1;
  for (int i = 0; i < 2 && left > 0; ++i) {
    const auto one = static_cast<unsigned>(size >> --left & 1u);
    coder.bit(model[kHigh + 4 * length + node], one != 0);
    node = node << 1 | one;
  }
  coder.direct(size & ((uint64_t{1} << left) - 1), left);
}

int64_t get_error(RangeDecoder& coder, Bit* model, ErrorContext& context) {
  const bool zero = coder.bit(model[kZero + context.zeros]);
  context.zeros = (context.zeros << 1 & 3u) | (zero ? 1u : 0u);
  if (zero) return 0;
  const bool negative = coder.bit(model[kSign + context.sign]);
  context.sign = negative ? 2 : 1;
  Bit* tree = model + kLength + 64 * context.length_context();
  unsigned node = 1;
  for (int i = 0; i < 6; ++i) node = node << 1 | (coder.bit(tree[node]) ? 1u : 0u);
  const unsigned length = node & 63u;
  context.length = length + 1;
  uint64_t size = 1;
  unsigned left = length;
  node = 1;
  for (int i = 0; i < 2 && left > 0; ++i, --left) {
    const unsigned one = coder.bit(model[kHigh + 4 * length + node]) ? 1u : 0u;
    node = node << 1 | one;
    size = size << 1 | one;
  }
  if (left > 0) size = size << left | coder.direct(left);
  return static_cast<int64_t>(negative ? 0 - size : size);
}

// Words: a tree of four decisions for each word that came before.
template <class Coder>
void put_word(Coder& coder, Bit* model, uint32_t before, uint32_t word) {
  unsigned node = 1;
  for (unsigned i = 4; i-- > 0;) {
    const unsigned one = word >> i & 1u;
    coder.bit(model[before * 16 + node], one != 0);
    node = node << 1 | one;
  }
}

uint32_t get_word(RangeDecoder& coder, Bit* model, uint32_t before) {
  unsigned node = 1;
  for (int i = 0; i < 4; ++i) node = node << 1 | (coder.bit(model[before * 16 + node]) ? 1u : 0u);
  return node & 15u;
}

uint8_t best_predictor(const std::vector<int64_t>& values) {
  uint8_t best = kBase;
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (uint8_t predictor = 0; predictor < kPredictors; ++predictor) {
    Predicting state;
    uint64_t cost = 0;
    for (const int64_t value : values) {
      const auto error = static_cast<int64_t>(static_cast<uint64_t>(value) - predict(predictor, state));
      // Nearly log2 in sixteenths of a bit: the length, and how far between two lengths.
      const uint64_t size = magnitude(error) + 1;
      const auto length = static_cast<unsigned>(std::bit_width(size)) - 1;
      // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): a magnitude is at most 2^63
      cost += 16 * length + (length >= 4 ? size >> (length - 4) & 15u : size << (4 - length) & 15u);
      advance(predictor, state, static_cast<uint64_t>(value));
    }
    if (cost < least) {
      least = cost;
      best = predictor;
    }
  }
  return best;
}

}  // namespace

// ---- writing ----

// Finds one transform that every value survives; the bits always do.
bool ColumnEncoder::to_integers(double step, uint8_t& transform) {
  const auto fits = [&](uint8_t candidate) {
    integers_.resize(present_.size());
    for (size_t i = 0; i < present_.size(); ++i)
      if (!to_integer(present_[i], candidate, integers_[i])) return false;
    transform = candidate;
    return true;
  };
  if (fits(kDivide)) return true;
  if (step > 0 && step < 1) {
    const auto exponent = static_cast<int>(std::lround(-std::log10(step)));
    if (exponent > 0 && exponent < kExponents) {
      if (fits(static_cast<uint8_t>(kDivide + exponent))) return true;
      if (fits(static_cast<uint8_t>(kMultiply + exponent))) return true;
    }
  }
  for (int exponent = 1; exponent < kExponents; ++exponent) {
    if (fits(static_cast<uint8_t>(kDivide + exponent))) return true;
    if (fits(static_cast<uint8_t>(kMultiply + exponent))) return true;
  }
  return fits(kBits);
}

void ColumnEncoder::encode(std::string& out, std::span<const double> values, std::span<const State> states,
                           double step) {
  const size_t header_at = out.size();
  out.push_back(0);
  present_.clear();
  bool one_state = true;
  for (size_t i = 0; i < values.size(); ++i) {
    if (states[i] == State::ok) present_.push_back(values[i]);
    one_state = one_state && states[i] == states[0];
  }
  uint8_t how = kAllOk;
  if (!one_state) {
    how = kRuns;
    for (size_t i = 0; i < states.size();) {
      size_t end = i;
      while (end < states.size() && states[end] == states[i]) ++end;
      put_varint(out, (end - i) << 3 | static_cast<uint64_t>(states[i]));
      i = end;
    }
  } else if (!states.empty() && states[0] != State::ok) {
    how = kAllOther;
    out.push_back(static_cast<char>(states[0]));
  }
  out[header_at] = static_cast<char>(how);
  if (present_.empty()) return;
  uint8_t transform = kBits;
  to_integers(step, transform);
  put_values(out, header_at, transform);
}

void ColumnEncoder::encode(std::string& out, std::span<const int64_t> values) {
  const size_t header_at = out.size();
  out.push_back(static_cast<char>(kAllOk));
  integers_.assign(values.begin(), values.end());
  if (!integers_.empty()) put_values(out, header_at, kInteger);
}

void ColumnEncoder::put_values(std::string& out, size_t header_at, uint8_t transform) {
  out.push_back(static_cast<char>(transform));
  sorted_ = integers_;
  const auto middle = sorted_.begin() + static_cast<ptrdiff_t>(sorted_.size() / 2);
  std::nth_element(sorted_.begin(), middle, sorted_.end());
  const int64_t base = *middle;
  put_varint(out, zigzag(base));
  uint64_t divisor = 0;
  for (int64_t& value : integers_) {
    value = static_cast<int64_t>(static_cast<uint64_t>(value) - static_cast<uint64_t>(base));
    if (divisor != 1) divisor = std::gcd(divisor, magnitude(value));
  }
  if (divisor == 0) return;  // a constant: the base says it all
  if (divisor > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) divisor = 1;
  if (divisor != 1)
    for (int64_t& value : integers_) value /= static_cast<int64_t>(divisor);
  put_varint(out, divisor);

  const uint8_t predictor = best_predictor(integers_);
  const size_t values_at = out.size();
  {
    std::array<Bit, 512> model;
    model.fill(kEven);
    RangeEncoder coder(out);
    Predicting state;
    ErrorContext context;
    for (const int64_t value : integers_) {
      put_error(coder, model.data(), context,
                static_cast<int64_t>(static_cast<uint64_t>(value) - predict(predictor, state)));
      advance(predictor, state, static_cast<uint64_t>(value));
    }
    coder.finish();
  }
  out[header_at] = static_cast<char>(static_cast<uint8_t>(out[header_at]) | kResiduals << 2 | predictor << 4);

  // A few words that follow one another are often shorter still.
  sorted_.clear();
  for (const int64_t value : integers_) {
    const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), value);
    if (at != sorted_.end() && *at == value) continue;
    if (sorted_.size() == 16) return;
    sorted_.insert(at, value);
  }
  other_.clear();
  put_varint(other_, sorted_.size());
  for (const int64_t word : sorted_) put_varint(other_, zigzag(word));
  {
    std::array<Bit, 512> model;
    model.fill(kEven);
    RangeEncoder coder(other_);
    uint32_t before = 0;
    for (const int64_t value : integers_) {
      const auto word =
          static_cast<uint32_t>(std::lower_bound(sorted_.begin(), sorted_.end(), value) - sorted_.begin());
      put_word(coder, model.data(), before, word);
      before = word;
    }
    coder.finish();
  }
  if (other_.size() >= out.size() - values_at) return;
  out.resize(values_at);
  out += other_;
  out[header_at] = static_cast<char>((static_cast<uint8_t>(out[header_at]) & 3u) | kWords << 2);
}

// ---- reading ----

bool ColumnDecoder::start(std::string_view bytes, size_t rows) {
  *this = ColumnDecoder();
  if (rows == 0 || rows > kMaxChunkRows || bytes.empty()) return false;
  const auto header = static_cast<uint8_t>(bytes.front());
  bytes.remove_prefix(1);
  size_t present = rows;
  switch (header & 3u) {
    case kAllOk:
      run_ = rows;
      break;
    case kAllOther:
      if (bytes.size() != 1 || static_cast<uint8_t>(bytes[0]) >= kStates || bytes[0] == 0) return false;
      state_ = static_cast<State>(bytes[0]);
      run_ = left_ = rows;
      return header == kAllOther;
    case kRuns: {
      const std::string_view from = bytes;
      present = 0;
      for (size_t seen = 0; seen < rows;) {
        uint64_t run = 0;
        if (!get_varint(bytes, run) || (run & 7u) >= kStates || run >> 3 == 0 || run >> 3 > rows - seen) return false;
        seen += run >> 3;
        if ((run & 7u) == 0) present += run >> 3;
      }
      runs_ = from.substr(0, from.size() - bytes.size());
      break;
    }
    default:
      return false;
  }
  left_ = rows;
  mode_ = header >> 2 & 3u;
  predictor_ = header >> 4;
  if (present == 0) return bytes.empty() && mode_ == 0 && predictor_ == 0;
  if (bytes.empty()) return false;
  transform_ = static_cast<uint8_t>(bytes.front());
  bytes.remove_prefix(1);
  uint64_t number = 0;
  if (!known_transform(transform_) || !get_varint(bytes, number)) return false;
  base_ = unzigzag(number);
  if (mode_ == kConstantValue) return bytes.empty() && predictor_ == 0;
  if (mode_ > kWords || predictor_ >= kPredictors) return false;
  if (!get_varint(bytes, number) || number == 0 || number > static_cast<uint64_t>(INT64_MAX)) return false;
  divisor_ = static_cast<int64_t>(number);
  if (mode_ == kWords) {
    if (!get_varint(bytes, number) || number == 0 || number > words_.size()) return false;
    word_count_ = static_cast<uint32_t>(number);
    for (uint32_t i = 0; i < word_count_; ++i) {
      if (!get_varint(bytes, number)) return false;
      words_[i] = unzigzag(number);
    }
  }
  model_.fill(kEven);
  range_ = RangeDecoder(bytes);
  return true;
}

bool ColumnDecoder::next_run() {
  uint64_t run = 0;
  if (!get_varint(runs_, run)) return false;
  run_ = run >> 3;
  state_ = static_cast<State>(run & 7u);
  return true;
}

int64_t ColumnDecoder::next_integer() {
  if (mode_ == kConstantValue) return base_;
  uint64_t value = 0;
  if (mode_ == kWords) {
    word_ = std::min(get_word(range_, model_.data(), word_), word_count_ - 1);
    value = static_cast<uint64_t>(words_[word_]);
  } else {
    Predicting state{last_, memory_};
    ErrorContext context = ErrorContext::unpacked(context_);
    value = predict(predictor_, state) + static_cast<uint64_t>(get_error(range_, model_.data(), context));
    advance(predictor_, state, value);
    last_ = state.last;
    memory_ = state.memory;
    context_ = context.packed();
  }
  return static_cast<int64_t>(static_cast<uint64_t>(base_) + value * static_cast<uint64_t>(divisor_));
}

bool ColumnDecoder::next(std::span<double> values, std::span<State> states) {
  if (values.size() > left_ || values.size() != states.size()) return false;
  left_ -= values.size();
  const double constant = mode_ == kConstantValue ? from_integer<double>(base_, transform_) : 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (run_ == 0 && !next_run()) return false;
    --run_;
    states[i] = state_;
    values[i] = state_ != State::ok       ? 0.0
                : mode_ == kConstantValue ? constant
                                          : from_integer<double>(next_integer(), transform_);
  }
  return true;
}

bool ColumnDecoder::next(std::span<int64_t> values) {
  if (values.size() > left_ || transform_ != kInteger) return false;
  left_ -= values.size();
  for (int64_t& value : values) value = next_integer();
  return true;
}

}  // namespace accelmon::store

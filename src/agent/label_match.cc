#include "agent/label_match.h"

#include <re2/re2.h>

#include "base/text.h"

namespace accelmon {

struct LabelMatch::Impl {
  LabelMatcher matcher;
  std::unique_ptr<re2::RE2> expression;
};

LabelMatch::LabelMatch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LabelMatch::LabelMatch(LabelMatch&&) noexcept = default;
LabelMatch& LabelMatch::operator=(LabelMatch&&) noexcept = default;
LabelMatch::~LabelMatch() = default;

Result<LabelMatch> LabelMatch::make(const LabelMatcher& matcher) {
  auto impl = std::make_unique<Impl>();
  impl->matcher = matcher;
  if (matcher.type == MatchType::regex || matcher.type == MatchType::not_regex) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(1 << 20);
    impl->expression = std::make_unique<re2::RE2>(matcher.value, options);
    if (!impl->expression->ok())
      return fail(Code::invalid, "the expression '" + printable(matcher.value, 80) + "' for the label " +
                                     printable(matcher.name, 40) + ": " + printable(impl->expression->error(), 80));
  }
  return LabelMatch(std::move(impl));
}

std::string_view LabelMatch::name() const {
  return impl_->matcher.name;
}

bool LabelMatch::matches(std::string_view value) const {
  switch (impl_->matcher.type) {
    case MatchType::equal:
      return value == impl_->matcher.value;
    case MatchType::not_equal:
      return value != impl_->matcher.value;
    case MatchType::regex:
      return re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *impl_->expression);
    case MatchType::not_regex:
      return !re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *impl_->expression);
  }
  return false;
}

}  // namespace accelmon

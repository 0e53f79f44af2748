// The document of /api/v1/findings as people see it. Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "app/layout.h"
#include "base/status.h"

namespace accelmon {

struct ShownFindings {
  std::string text;
  bool attention = false;  // there is a warning or worse
};

// Every text in it is made printable. Errors: invalid where `document` is none of accelmon.
Result<ShownFindings> render_findings(std::string_view document, const View& view);

}  // namespace accelmon

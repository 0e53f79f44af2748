#include "base/status.h"

#include <cerrno>
#include <cstring>

namespace accelmon {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::ok:
      return "ok";
    case Code::absent:
      return "absent";
    case Code::unsupported:
      return "unsupported";
    case Code::no_permission:
      return "no_permission";
    case Code::not_ready:
      return "not_ready";
    case Code::invalid:
      return "invalid";
    case Code::lost:
      return "lost";
    case Code::timeout:
      return "timeout";
    case Code::io:
      return "io";
    case Code::exhausted:
      return "exhausted";
    case Code::internal:
      return "internal";
  }
  return "unknown";
}

Status Status::from_errno(int error, std::string_view what) {
  Code code = Code::io;
  if (error == EACCES || error == EPERM) code = Code::no_permission;
  if (error == ENOENT || error == ENODEV || error == ENXIO) code = Code::absent;
  if (error == ETIMEDOUT) code = Code::timeout;
  char buffer[128];
  const char* text = strerror_r(error, buffer, sizeof buffer);  // the GNU form: returns the text
  return Status(code, std::string(what) + ": " + text);
}

}  // namespace accelmon

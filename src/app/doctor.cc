#include "app/command.h"
#include "app/diagnosis.h"
#include "app/source.h"

namespace accelmon {

int run_doctor(const Arguments& arguments) {
  int code = kFine;
  const Result<Source> source = get_source(arguments, /*frames=*/3, code);
  if (!source) return complain(source.error().message(), code);
  const Diagnosis diagnosis = diagnose(source->report);
  code = needs_hands(source->report) ? kFailure : kFine;
  if (arguments.value("--format", "text") == "json") return print(doctor_json(source->report, diagnosis), code);
  return print(render_doctor(source->report, diagnosis, terminal_view()), code);
}

}  // namespace accelmon

// What the answers of the API have in common. Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "encode/json.h"
#include "model/catalog.h"
#include "net/http_server.h"
#include "store/store.h"

namespace accelmon {

// {"error": ..., "hint": ...}. The hint of a Status is what stands behind its first "; ".
HttpResponse api_error(unsigned status, std::string_view error, std::string_view hint);
HttpResponse api_error(const Status& status);

HttpResponse api_json(std::string body);

// Writes "source", "metric", "device" (hw.id or null), "attributes" and "unit" into the open object.
void write_series(JsonWriter& json, std::string_view source, const Catalog& catalog, const Series& series);

// Writes "step_seconds" and "points": [time, value], and in coarse steps [time, mean, minimum, maximum].
void write_points(JsonWriter& json, const StoreRange& range);

// Seconds since the epoch, to the millisecond.
double api_time(Nanos wall);

}  // namespace accelmon

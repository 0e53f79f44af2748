// What is derived from a catalog: the catalog that leaves, and the steps that fill its derived series.
//
// A pure function of the raw catalog, the tables in metrics.def and the options. Derived series have the tier of their
// source and those of its attributes that their metric's row lists, in the row's order, with `window` and `stat` last.
// A series that the collector gives itself is never derived, whatever the tables say. Made at a change of the catalog
// only.
#pragma once

#include <vector>

#include "model/fingerprint.h"
#include "pipeline/derive.h"
#include "pipeline/ema.h"
#include "pipeline/health.h"
#include "pipeline/pipeline.h"
#include "pipeline/samples.h"
#include "pipeline/window.h"

namespace accelmon::pipeline {

struct Plan {
  CatalogPtr catalog;
  std::vector<Fingerprint> keys;  // of each of its series
  PerTier<IntegralStep> integrals;
  PerTier<RateStep> rates;
  PerTier<EmaStep> emas;
  PerTier<WindowStep> windows;
  std::vector<HealthStep> healths;
};

Plan make_plan(const Catalog& raw, const PipelineOptions& options);

}  // namespace accelmon::pipeline

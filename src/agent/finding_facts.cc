#include "agent/finding_facts.h"

namespace accelmon {

void look(FindingBook& book, const FindingInputs& in) {
  std::vector<analysis::CollectorFact> collectors;
  std::vector<FindingBook::Counter> counters;
  for (const auto& slot : in.slots) {
    Nanos in_call = 0;
    std::string call = slot->current_call(in_call);
    collectors.push_back({std::string(slot->name()), std::string(to_string(slot->state())), slot->message(),
                          std::move(call), in_call, slot->restarts()});
    double implausible = 0;
    for (const auto& [metric, count] : slot->pipeline().implausible()) implausible += static_cast<double>(count);
    counters.push_back({"implausible", "", std::string(slot->name()), implausible});
  }
  std::vector<analysis::ExporterFact> exporters;
  for (const ExporterState& one : in.exporters)
    exporters.push_back({one.name, one.where, std::string(to_string(one.health)), one.message, one.behind,
                         one.lost_polls, one.last_success});
  // Of a burst only the root says what happened.
  std::vector<Event> events;
  for (const EventLog::Entry& entry : in.events.entries())
    if (entry.burst == 0 || entry.root) events.push_back(entry.event);
  const analysis::Readings readings(in.snapshot);
  analysis::Facts facts{.readings = readings,
                        .wall = in.clock.wall(),
                        .watched = in.watched,
                        .window = in.window,
                        .events = events,
                        .collectors = collectors,
                        .exporters = exporters};
  if (in.history)
    facts.history =
        analysis::HistoryFact{std::string(to_string(in.history->health)), in.history->text, in.history->rows_dropped,
                              in.history->chunks_damaged + in.history->files_damaged};
  if (in.certificate_expires_at != 0) facts.certificate_expires = in.certificate_expires_at * kSecond;
  book.evaluate(facts, counters);
}

}  // namespace accelmon

#include "app/exports.h"

#include <algorithm>

#include "base/text.h"

namespace accelmon {
namespace {

constexpr size_t kShown = 8;  // exporters in trouble that `status` names

std::string waiting_of(const Report& report, const ReportExporter& one) {
  std::string out;
  if (one.behind != 0) out += "; " + plural(one.behind, "poll waits", "polls wait");
  if (one.next_try && *one.next_try > report.now) out += ", next try in " + span_of_time(*one.next_try - report.now);
  return out;
}

std::string trouble_of(const Report& report, const ReportExporter& one) {
  std::string out = one.state;
  if (!one.where.empty()) out += " at " + one.where;
  if (!one.message.empty()) out += ": " + one.message;
  return out + waiting_of(report, one);
}

std::string told_of(const Report& report, const ReportExporter& one) {
  std::string out;
  if (one.ok()) {
    out = one.state + ", " + one.type + " to " + one.where;
    if (!one.note.empty()) out += " (" + one.note + ")";
    if (!one.message.empty()) out += ": " + one.message;
    out += "; " + plural(one.samples, "sample", "samples") + " in " + format_size(static_cast<double>(one.bytes));
    if (one.last_success && report.now >= *one.last_success)
      out += ", last " + span_of_time(report.now - *one.last_success) + " ago";
    if (one.behind != 0) out += "; " + plural(one.behind, "poll waits", "polls wait");
  } else {
    out = trouble_of(report, one);
    out += one.last_success ? "; last success " + span_of_time(std::max(report.now - *one.last_success, 0.0)) + " ago"
                            : std::string("; never yet with success");
  }
  if (one.rejected != 0) out += "; " + plural(one.rejected, "sample", "samples") + " refused";
  if (one.lost_polls != 0) out += "; " + plural(one.lost_polls, "poll", "polls") + " lost";
  return out;
}

std::string told_of(const ReportHistory& history) {
  std::string out = history.state;
  if (!history.message.empty()) out += ": " + history.message;
  out += ", " + format_size(static_cast<double>(history.bytes)) + ", " + plural(history.written, "poll", "polls") +
         " written";
  if (history.dropped != 0) out += ", " + std::to_string(history.dropped) + " dropped";
  if (history.damaged != 0) out += ", " + plural(history.damaged, "piece", "pieces") + " damaged";
  return out;
}

}  // namespace

std::string exports_in_trouble(const Report& report, const View& view) {
  size_t name = 7, bad = 0;
  for (const ReportExporter& one : report.exporters) {
    if (one.ok()) continue;
    ++bad;
    name = std::max(name, columns_of(one.name));
  }
  const bool history = report.history && !report.history->ok();
  if (bad == 0 && !history) return "";
  std::string out = "\n exports\n";
  size_t shown = 0;
  for (const ReportExporter& one : report.exporters)
    if (!one.ok() && shown < kShown) {
      hanging(out, "  " + left(one.name, name) + "  ", trouble_of(report, one), view.width);
      ++shown;
    }
  if (shown < bad) out += "  and " + std::to_string(bad - shown) + " more: accelmon doctor\n";
  if (history) hanging(out, "  " + left("history", name) + "  ", told_of(*report.history), view.width);
  return out;
}

std::string exports_of(const Report& report, size_t width) {
  std::string out;
  std::string page = plural(report.scrapes, "scrape", "scrapes");
  if (report.last_scrape_ago) page += ", last " + span_of_time(*report.last_scrape_ago) + " ago";
  if (report.page_bytes != 0) page += ", page " + fixed(static_cast<double>(report.page_bytes) / 1024, 0) + " KiB";
  size_t name = 10;
  for (const ReportExporter& one : report.exporters) name = std::max(name, columns_of(one.name));
  out += "exports  " + left("prometheus", name) + "  " + page + "\n";
  for (const ReportExporter& one : report.exporters)
    hanging(out, "         " + left(one.name, name) + "  ", told_of(report, one), width);
  if (report.history) hanging(out, "history  ", told_of(*report.history), width);
  return out;
}

void advise_exports(const Report& report, std::vector<std::string>& advice) {
  for (const ReportExporter& one : report.exporters) {
    if (one.state == "failed")
      advice.push_back("exporter " + one.name + " cannot work: mend its settings, then systemctl reload accelmon");
    else if (one.state == "refused")
      advice.push_back("exporter " + one.name +
                       ": the far end refuses what it is sent for good; its answer above says what it wants");
    else if (one.state == "waiting")
      advice.push_back("exporter " + one.name + " waits for its far end; " +
                       (report.history ? "what was polled meanwhile is sent afterwards"
                                       : "without store.path only the last minutes are kept for it"));
    if (one.lost_polls != 0)
      advice.push_back("exporter " + one.name + " lost " + plural(one.lost_polls, "poll", "polls") +
                       " that were gone before they could be sent: " +
                       (report.history ? "raise store.disk or store.keep" : "give the agent a history, store.path"));
  }
  if (!report.history || report.history->ok()) return;
  const std::string& state = report.history->state;
  advice.push_back(state == "disk_full" ? "the history's disk is full: make room, or lower store.disk"
                   : state == "behind"  ? "the history's disk is slower than the polls come: a faster one, or a longer "
                                          "poll.interval"
                                        : "the history cannot be written: mend what is told above");
}

}  // namespace accelmon

#include "agent/landing.h"

namespace accelmon {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

constexpr std::string_view kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>accelmon</title><style>
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}p.sub{opacity:.7;margin-top:0}
table{border-collapse:collapse;width:100%;margin:1.5rem 0}
th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent);vertical-align:top}
th{font-weight:600}code{font-size:.95em}li{margin:.2rem 0}.state{white-space:nowrap}
</style></head><body>
)";

constexpr std::string_view kLinks = R"(<h2>What is here</h2><ul>
<li><a href="/metrics">/metrics</a>: for Prometheus; text and OpenMetrics, by the Accept header</li>
<li><a href="/api/v1/status">/api/v1/status</a>: devices, collectors, ages and states as JSON</li>
<li><a href="/-/healthy">/-/healthy</a> and <a href="/-/ready">/-/ready</a>: for probes</li>
</ul><p>In a terminal on this host: <code>accelmon status</code> and <code>accelmon doctor</code>.</p>
</body></html>
)";

}  // namespace

std::string render_landing(std::string_view version, std::string_view hostname, const std::vector<LandingRow>& rows) {
  std::string out(kHead);
  out += "<h1>accelmon on " + escaped(hostname) + "</h1><p class=\"sub\">version " + escaped(version) + "</p>\n";
  out += "<table><thead><tr><th>collector</th><th>state</th><th>devices</th><th>reads</th></tr></thead><tbody>\n";
  for (const LandingRow& row : rows) {
    out += "<tr><td>" + escaped(row.collector) + "</td><td class=\"state\">" + escaped(row.state) + "</td><td>";
    out += row.devices == 0 ? std::string("-") : std::to_string(row.devices);
    out += "</td><td>" + escaped(row.brief);
    if (!row.message.empty()) out += "<br><small>" + escaped(row.message) + "</small>";
    out += "</td></tr>\n";
  }
  out += "</tbody></table>\n";
  out += kLinks;
  return out;
}

}  // namespace accelmon

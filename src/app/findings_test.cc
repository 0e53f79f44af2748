#include "app/findings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "app/report.h"
#include "app/status_table.h"

namespace accelmon {
namespace {

TEST(FindingsText, SaysWhatSinceWhenAndWhatToDo) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  const Result<ShownFindings> shown = render_findings(
      R"({"time":1764000240,"findings":[
        {"code":"device_lost","severity":"critical","device":"GPU-3","subject":"nvidia 3","title":"lost: Xid 79","since":1764000000,"evidence":[],"advice":"restart the node"},
        {"code":"idle_memory","severity":"info","device":"","subject":"x\u001b[2J","title":"idle","since":0,"advice":""}]})",
      {});
  ASSERT_TRUE(shown);
  EXPECT_TRUE(shown->attention);
  EXPECT_EQ(shown->text,
            "critical  nvidia 3  lost: Xid 79 (4 min, since 16:00:00)\n"
            "                    -> restart the node\n"
            "info      x?[2J     idle\n");
}

TEST(FindingsText, InfoAloneAsksForNothing) {
  const Result<ShownFindings> info =
      render_findings(R"({"time":1,"findings":[{"severity":"info","subject":"a","title":"b"}]})", {});
  ASSERT_TRUE(info);
  EXPECT_FALSE(info->attention);
  const Result<ShownFindings> none = render_findings(R"({"time":1,"findings":[]})", {});
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->attention);
  EXPECT_EQ(none->text, "nothing needs attention\n");
}

TEST(FindingsText, RefusesWhatIsNoDocument) {
  for (const char* text : {"", "{", "[]", "{}", "{\"findings\":5}", "<html>"})
    EXPECT_FALSE(render_findings(text, {})) << text;
  EXPECT_TRUE(render_findings(R"({"findings":[5,null,{"title":7}]})", {}));
}

TEST(StatusTable, EndsInWhatTheAgentFound) {
  const auto end = [](const std::string& findings) {
    const Result<Report> report = parse_report(R"({"collectors":[],"devices":[])" + findings + "}");
    return report ? render_status(*report, {}) : std::string("no report");
  };
  EXPECT_EQ(end("").find("attention"), std::string::npos);
  EXPECT_EQ(end(R"(,"findings":{"critical":0,"warning":0,"info":4})").find("attention"), std::string::npos);
  EXPECT_TRUE(end(R"(,"findings":{"critical":1,"warning":2,"info":4})")
                  .ends_with("\n 3 things need attention: accelmon findings\n"));
  EXPECT_TRUE(end(R"(,"findings":{"critical":0,"warning":1,"info":0})")
                  .ends_with("1 thing needs attention: accelmon findings\n"));
}

}  // namespace
}  // namespace accelmon

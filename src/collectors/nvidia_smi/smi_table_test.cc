#include "collectors/nvidia_smi/smi_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "collectors/nvidia_smi/smi_fields.h"

namespace accelmon::nvidia_smi {
namespace {

const std::vector<std::string> kAsked{"uuid", "memory.total", "temperature.gpu"};

TEST(SmiTable, HeaderRowsAndMessages) {
  SmiTable table;
  table.parse(
      "WARNING: something, else\n"
      "uuid, memory.total [MiB], temperature.gpu\n"
      "GPU-1, 81559 MiB, 41\n"
      "GPU-2, [N/A],\n"
      "one cell\n"
      "a, b, c, d\n\n",
      kAsked);
  ASSERT_TRUE(table.has_header());
  ASSERT_EQ(table.rows(), 2u);
  EXPECT_EQ(table.malformed(), 2u);
  EXPECT_EQ(table.message(), "WARNING: something, else");
  const int total = table.column("memory.total");
  ASSERT_EQ(total, 1);
  EXPECT_EQ(table.at(total).unit, "MiB");
  EXPECT_EQ(table.cell(0, total), "81559 MiB");
  EXPECT_EQ(table.cell(1, 2), "");
  EXPECT_EQ(table.column("memory.used"), -1);
}

TEST(SmiTable, FailuresAreMessages) {
  SmiTable table;
  table.parse("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", kAsked);
  EXPECT_FALSE(table.has_header());
  EXPECT_EQ(table.rows(), 0u);
  EXPECT_THAT(table.message(), testing::StartsWith("NVIDIA-SMI has failed"));
  table.parse("Field \"memory.total\" is not a valid field to query.\n\n", kAsked);
  EXPECT_EQ(table.invalid_field(), "memory.total");
  table.parse("", kAsked);
  EXPECT_TRUE(table.message().empty() && table.invalid_field().empty());
}

TEST(SmiTable, IsBounded) {
  SmiTable table;
  std::string text = "uuid, memory.total [MiB], temperature.gpu\n";
  for (int i = 0; i < 1000; ++i) text += "GPU-1, 1 MiB, 1\n";
  table.parse(text, kAsked);
  EXPECT_EQ(table.rows(), SmiTable::kMostRows);
  EXPECT_EQ(table.malformed(), 1000 - SmiTable::kMostRows);
  std::string wide = "uuid";
  for (int i = 0; i < 1000; ++i) wide += ", uuid";
  table.parse(wide + "\n", kAsked);
  EXPECT_FALSE(table.has_header());
}

TEST(SmiValue, UnitsAreTheHeaders) {
  EXPECT_DOUBLE_EQ(read_value("81559 MiB", "MiB", Dimension::bytes).number, 81559.0 * 1048576);
  EXPECT_DOUBLE_EQ(read_value("81559", "MiB", Dimension::bytes).number, 81559.0 * 1048576);
  EXPECT_DOUBLE_EQ(read_value("631.95 W", "W", Dimension::watts).number, 631.95);
  EXPECT_DOUBLE_EQ(read_value("1980 MHz", "MHz", Dimension::hertz).number, 1.98e9);
  EXPECT_DOUBLE_EQ(read_value("100 %", "%", Dimension::ratio).number, 1.0);
  EXPECT_DOUBLE_EQ(read_value("2500 us", "us", Dimension::seconds).number, 2.5e-3);
  EXPECT_DOUBLE_EQ(read_value("41", "", Dimension::celsius).number, 41);
  EXPECT_DOUBLE_EQ(read_value("P8", "", Dimension::pstate).number, 8);
  // A unit that is not of the dimension, another one than the header's, none where one belongs.
  EXPECT_EQ(read_value("81559 W", "W", Dimension::bytes).state, State::error);
  EXPECT_EQ(read_value("81559 GiB", "MiB", Dimension::bytes).state, State::error);
  EXPECT_EQ(read_value("81559", "", Dimension::bytes).state, State::error);
  EXPECT_EQ(read_value("105", "F", Dimension::celsius).state, State::error);
  for (const char* bad : {"nan", "inf", "-", "12 12", "0x10", "P", "8"})
    EXPECT_EQ(read_value(bad, "", Dimension::pstate).state, State::error) << bad;
}

TEST(SmiValue, WordsForYesAndNo) {
  for (const char* yes : {"Yes", "Active", "Enabled"})
    EXPECT_EQ(read_value(yes, "", Dimension::yes_no).number, 1) << yes;
  for (const char* no : {"No", "Not Active", "Disabled"}) {
    EXPECT_EQ(read_value(no, "", Dimension::yes_no).state, State::ok) << no;
    EXPECT_EQ(read_value(no, "", Dimension::yes_no).number, 0) << no;
  }
  EXPECT_EQ(read_value("Maybe", "", Dimension::yes_no).state, State::error);
}

TEST(SmiValue, AbsencesAreStates) {
  for (const char* cell :
       {"N/A", "[N/A]", "[Not Supported]", "", "[Not Found]", "[Requested functionality has been deprecated]"})
    EXPECT_EQ(read_value(cell, "W", Dimension::watts).state, State::unsupported) << cell;
  for (const char* cell : {"[Unknown Error]", "[GPU is lost]", "[GPU requires reset]", "[what is to come]"})
    EXPECT_EQ(read_value(cell, "W", Dimension::watts).state, State::error) << cell;
  EXPECT_EQ(read_value("[Insufficient Permissions]", "W", Dimension::watts).state, State::no_permission);
  EXPECT_FALSE(absence_of("0 W"));
}

TEST(SmiValue, PciAddresses) {
  EXPECT_EQ(pci_address_of("00000000:4D:00.0"), "0000:4d:00.0");
  EXPECT_EQ(pci_address_of("0000:4d:00.0"), "0000:4d:00.0");
  EXPECT_EQ(pci_address_of("00010000:01:00.0"), "00010000:01:00.0");
  for (const char* bad : {"", "4d:00.0", "0000:4d:00", "0000:4g:00.0", "[N/A]", "0000:4d:00.0 ", "00000000:4d:00:0"})
    EXPECT_EQ(pci_address_of(bad), "") << bad;
}

// Every field of the table, in every capture: where it is there its unit is of the dimension that we think it has.
TEST(SmiFields, AgreeWithTheCaptures) {
  std::vector<std::string> names;
  for (const Field& field : metric_fields()) names.emplace_back(field.name);
  for (const char* capture : {"h100.csv", "h100_mig.csv", "rtx4080super.csv"}) {
    std::ifstream in(ACCELMON_SOURCE_DIR "/src/collectors/nvidia_smi/testdata/" + std::string(capture));
    const std::string text(std::istreambuf_iterator<char>(in), {});
    SmiTable table;
    table.parse(text, names);
    ASSERT_EQ(table.rows(), 1u) << capture;
    EXPECT_EQ(table.malformed(), 0u) << capture;
    for (const Field& field : metric_fields()) {
      const int column = table.column(field.name);
      ASSERT_GE(column, 0) << field.name << " of " << capture;
      EXPECT_TRUE(factor_of(field.dimension, table.at(column).unit)) << field.name << " [" << table.at(column).unit;
      const Value value = read_value(table.cell(0, column), table.at(column).unit, field.dimension);
      EXPECT_TRUE(value.state == State::ok || value.state == State::unsupported)
          << field.name << ": " << table.cell(0, column);
    }
  }
}

}  // namespace
}  // namespace accelmon::nvidia_smi

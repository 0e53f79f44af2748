#include <gtest/gtest.h>

#include <string>

#include "encode/exposition.h"

namespace accelmon {
namespace {

constexpr auto kText = ExpositionFormat::text_0_0_4;
constexpr auto kOpenMetrics = ExpositionFormat::openmetrics_1_0;
constexpr auto kProtobuf = ExpositionFormat::protobuf;

TEST(Negotiation, WhatScrapersReallySend) {
  constexpr const char* kFamilies =
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
  // Prometheus 2.42 with native histograms.
  EXPECT_EQ(
      negotiate_format(std::string(kFamilies) +
                       ",application/openmetrics-text;version=1.0.0;q=0.8,"
                       "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
      kProtobuf);
  // Prometheus 2.42 as it comes.
  EXPECT_EQ(
      negotiate_format("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                       "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
      kOpenMetrics);
  // Prometheus 2.53.
  EXPECT_EQ(
      negotiate_format(std::string(kFamilies) +
                       ";q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,"
                       "application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"),
      kProtobuf);
  // Prometheus 3.5 with created timestamps.
  EXPECT_EQ(negotiate_format(
                std::string(kFamilies) +
                ";q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
                "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
                "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"),
            kProtobuf);
  // Prometheus 3 as it comes.
  EXPECT_EQ(
      negotiate_format("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
                       "application/openmetrics-text;version=0.0.1;q=0.4,"
                       "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"),
      kOpenMetrics);
  // Prometheus 3 with scrape_protocols: [PrometheusText1.0.0, PrometheusText0.0.4].
  EXPECT_EQ(
      negotiate_format("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"),
      kText);
  // VictoriaMetrics and vmagent.
  EXPECT_EQ(negotiate_format("text/plain;version=0.0.4;q=1,*/*;q=0.1"), kText);
  // KEDA sends none; curl anything; a browser.
  EXPECT_EQ(negotiate_format(""), kText);
  EXPECT_EQ(negotiate_format("*/*"), kText);
  EXPECT_EQ(negotiate_format("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
            kText);
}

TEST(Negotiation, QualityDecides) {
  EXPECT_EQ(negotiate_format("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.4"), kText);
  EXPECT_EQ(negotiate_format("application/openmetrics-text;version=1.0.0;q=0.401,text/plain;version=0.0.4;q=0.4"),
            kOpenMetrics);
  EXPECT_EQ(negotiate_format("application/openmetrics-text;q=0.5,text/plain;q=0.5"), kText) << "a tie";
  EXPECT_EQ(negotiate_format("application/openmetrics-text;q=0"), kText) << "refused";
  EXPECT_EQ(negotiate_format("application/openmetrics-text;q=0,*/*;q=1"), kText);
  EXPECT_EQ(negotiate_format("text/plain;q=0,*/*;q=0.1"), kOpenMetrics) << "text is refused, the rest is welcome";
  EXPECT_EQ(negotiate_format("text/plain;q=0,*/*;q=0"), kText) << "nothing matches";
}

TEST(Negotiation, ProtobufIsForThoseWhoNameIt) {
  const std::string named =
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
  EXPECT_EQ(negotiate_format(named), kProtobuf);
  EXPECT_EQ(negotiate_format(named + ";q=0.5,text/plain;q=0.4"), kProtobuf);
  EXPECT_EQ(negotiate_format(named + ";q=0.5,text/plain;q=0.5"), kText) << "a tie";
  EXPECT_EQ(negotiate_format(named + ";q=0.5,application/openmetrics-text;q=0.5"), kOpenMetrics);
  EXPECT_EQ(negotiate_format(named + ";q=0"), kText);
  EXPECT_EQ(negotiate_format("application/vnd.google.protobuf; encoding=\"delimited\" ; "
                             "proto=\"io.prometheus.client.MetricFamily\""),
            kProtobuf);
  for (const char* other :
       {"application/vnd.google.protobuf", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
        "application/vnd.google.protobuf;proto=x;encoding=delimited", "application/x-protobuf"})
    EXPECT_EQ(negotiate_format(other), kText) << other;
  EXPECT_EQ(negotiate_format("application/*"), kOpenMetrics) << "no wildcard means it";
}

TEST(Negotiation, TheMoreSpecificRangeStands) {
  EXPECT_EQ(negotiate_format("application/*;q=0.9,text/plain;q=0.5"), kOpenMetrics);
  EXPECT_EQ(negotiate_format("application/*;q=0.9,application/openmetrics-text;q=0.1,text/*;q=0.5"), kText);
  EXPECT_EQ(negotiate_format("application/openmetrics-text;q=0.9,application/openmetrics-text;version=1.0.0;q=0.1,"
                             "text/plain;q=0.5"),
            kText);
  EXPECT_EQ(negotiate_format("text/plain;version=1.0.0,application/openmetrics-text;q=0.2"), kOpenMetrics)
      << "text 1.0.0 is not what we have";
}

TEST(Negotiation, OpenMetricsWithoutAVersionIsOurs) {
  EXPECT_EQ(negotiate_format("application/openmetrics-text"), kOpenMetrics);
  EXPECT_EQ(negotiate_format("application/openmetrics-text; charset=utf-8"), kOpenMetrics);
  EXPECT_EQ(negotiate_format("APPLICATION/OpenMetrics-Text; Version=\"1.0.0\"; Q=1.000"), kOpenMetrics);
  EXPECT_EQ(negotiate_format("application/openmetrics-text;version=2.0.0"), kText);
}

TEST(Negotiation, AnOlderOpenMetricsOnlyWhereNothingElseWillDo) {
  EXPECT_EQ(negotiate_format("application/openmetrics-text;version=0.0.1"), kOpenMetrics);
  EXPECT_EQ(negotiate_format("application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            kText);
  EXPECT_EQ(negotiate_format("application/openmetrics-text;version=0.0.1;q=0"), kText);
}

TEST(Negotiation, NonsenseIsText) {
  for (const char* nonsense :
       {",", ";", "=", "\"", "\"application/openmetrics-text\"", "application/openmetrics-text;q=2",
        "application/openmetrics-text;q=", "application/openmetrics-text;q=-1", "application/openmetrics-text;q=0,5",
        "application/openmetrics-text;q=1.5", "application/openmetrics-text;q=nan", "application", "/", "\\", "\"\\",
        "\xff\xfe", "text/plain;version=\"0.0.4"})
    EXPECT_EQ(negotiate_format(nonsense), kText) << nonsense;
  // A broken element spoils itself alone.
  EXPECT_EQ(negotiate_format("text/plain;q=9,application/openmetrics-text;q=0.1"), kOpenMetrics);
  EXPECT_EQ(negotiate_format(",,;q=1,, application/openmetrics-text ; q=0.1 ,"), kOpenMetrics);
  EXPECT_EQ(negotiate_format("x;a=\"application/openmetrics-text,\""), kText) << "what is quoted is no element";
}

TEST(Negotiation, LongHeaders) {
  EXPECT_EQ(negotiate_format(std::string(8192, ',')), kText);
  EXPECT_EQ(negotiate_format(std::string(8000, ',') + "application/openmetrics-text"), kOpenMetrics);
  EXPECT_EQ(negotiate_format(std::string(8192, '"')), kText);
  EXPECT_EQ(negotiate_format(std::string(8192, ';')), kText);
  EXPECT_EQ(negotiate_format("application/openmetrics-text;q=0." + std::string(8000, '1')), kOpenMetrics);
  EXPECT_FALSE(accepts_gzip(std::string(8192, ',')));
}

TEST(Negotiation, TheContentTypeNamesVersionAndCharset) {
  EXPECT_EQ(content_type(kText), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(content_type(kOpenMetrics),
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores");
}

TEST(Negotiation, Gzip) {
  for (const char* yes : {"gzip", "GZIP", "gzip;q=0.001", "deflate, gzip;q=1.0, *;q=0.5", "*", "br, x-gzip",
                          "gzip ; q=1", "*;q=0, gzip", "identity;q=0, *"})
    EXPECT_TRUE(accepts_gzip(yes)) << yes;
  for (const char* no : {"", "identity", "gzip;q=0", "gzip;q=0.000", "gzip; q=0", "*;q=0", "gzip;q=0, *", "deflate",
                         "notgzip", "gzipper", "x=gzip", "br;gzip", "gzip;q=x"})
    EXPECT_FALSE(accepts_gzip(no)) << no;
}

}  // namespace
}  // namespace accelmon

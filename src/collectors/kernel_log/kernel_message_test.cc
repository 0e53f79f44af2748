#include "collectors/kernel_log/kernel_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/event_catalogue.h"

namespace accelmon::kernel_log {
namespace {

using testing::HasSubstr;

std::optional<Finding> find(const std::string& text) {
  const std::string line = "3,100,5000000,-;" + text + "\n";
  const auto record = parse_record(line);
  EXPECT_TRUE(record) << text;
  return record ? find_event_in(*record) : std::nullopt;
}

TEST(KernelRecord, IsTakenApart) {
  const auto record =
      parse_record("4,339,5140900,-;amdgpu 0000:83:00.0: x; y\n SUBSYSTEM=pci\n DEVICE=+pci:0000:83:00.0\n");
  ASSERT_TRUE(record);
  EXPECT_TRUE(record->kernel);
  EXPECT_EQ(record->sequence, 339u);
  EXPECT_EQ(record->since_boot, 5140900 * kMicrosecond);
  EXPECT_EQ(record->text, "amdgpu 0000:83:00.0: x; y");
  EXPECT_EQ(record->address, "0000:83:00.0");
  EXPECT_TRUE(parse_record("6,1,2,c,caller=T1;text\n")) << "more fields may come";
  for (const char* bad :
       {"", "\n", "text\n", "6,1;text\n", "6,1,;text\n", "a,1,2,-;t\n", "6,-1,2,-;t\n",
        "6,1,99999999999999999999,-;t\n", "6,1,9223372036854775807,-;t\n", " DEVICE=+pci:0000:83:00.0\n"})
    EXPECT_FALSE(parse_record(bad)) << bad;
}

TEST(KernelRecord, OnlyTheKernelIsBelieved) {
  const auto forged = parse_record("12,5,1,-;NVRM: Xid (PCI:0000:18:00): 79, pid=1, GPU has fallen off the bus.\n");
  ASSERT_TRUE(forged);
  EXPECT_FALSE(forged->kernel) << "facility 1: a program wrote it";
  EXPECT_FALSE(find_event_in(*forged));
}

TEST(KernelMessage, Xids) {
  const auto lost =
      find("NVRM: Xid (PCI:0000:18:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.");
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->code, "xid:79");
  EXPECT_EQ(lost->severity, Severity::critical);
  EXPECT_EQ(lost->address, "0000:18:00.0");
  EXPECT_THAT(lost->message, testing::StartsWith("Xid 79: the GPU has fallen off the bus; restart the node"));
  EXPECT_THAT(lost->message, HasSubstr("(pid='<unknown>'"));
  EXPECT_EQ(find("NVRM: Xid (0000:03:00): 31, Ch 0000001")->severity, Severity::info) << "the old form";
  EXPECT_EQ(find("NVRM: Xid (PCI:00010000:4D:00): 31")->address, "00010000:4d:00.0");
  EXPECT_EQ(find("NVRM: Xid (PCI:0000:4d:00): 4711, what is to come")->severity, Severity::warning);
  EXPECT_THAT(
      find("NVRM: Xid (PCI:0000:4d:00): 154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)")
          ->message,
      HasSubstr("Node Reboot Required"));
  EXPECT_EQ(find("NVRM: Xid (PCI:0000:4d:00): 149, NETIR_LINK_EVT  Nonfatal XC0 i0 Link 08")->severity,
            Severity::warning);
  EXPECT_EQ(find("NVRM: Xid (PCI:0000:4d:00): 149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 08")->severity,
            Severity::critical);
  for (const char* bad : {"NVRM: Xid (PCI:0000:18:00): ", "NVRM: Xid (PCI:0000:18): 79", "NVRM: Xid 79",
                          "NVRM: Xid (PCI:0000:18:00) 79", "NVRM: Xid (PCI:0000:18:00): 1234567", "NVRM: loading",
                          "xNVRM: Xid (PCI:0000:18:00): 79", "NVRM: Xid (PCI:000g:18:00): 79"})
    EXPECT_FALSE(find(bad)) << bad;
}

TEST(KernelMessage, Sxids) {
  const auto one =
      find("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 28006, Non-fatal, Link 46 MC TS crumbstore MCTO (First)");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->code, "sxid:28006");
  EXPECT_EQ(one->severity, Severity::warning);
  EXPECT_EQ(one->source, Source::nvswitch);
  EXPECT_EQ(find("nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 24007, Fatal, Link 4 sourcetrack timeout")->severity,
            Severity::critical);
}

struct Line {
  const char* text;
  const char* code;  // nullptr: tells of nothing
};

TEST(KernelMessage, Drivers) {
  const Line lines[] = {
      {"amdgpu 0000:83:00.0: amdgpu: GPU reset begin!", "amdgpu:reset_begin"},
      {"amdgpu 0000:83:00.0: amdgpu: GPU reset(2) succeeded!", "amdgpu:reset_succeeded"},
      {"amdgpu 0000:83:00.0: amdgpu: GPU reset(1) failed", "amdgpu:reset_failed"},
      {"amdgpu 0000:83:00.0: amdgpu: GPU Recovery Failed: -110", "amdgpu:reset_failed"},
      {"amdgpu 0000:83:00.0: amdgpu: VRAM is lost due to GPU reset!", "amdgpu:vram_lost"},
      {"amdgpu 0000:83:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=10, emitted seq=12", "amdgpu:ring_timeout"},
      {"amdgpu 0000:83:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block",
       "amdgpu:ras_uncorrectable"},
      {"amdgpu 0000:83:00.0: amdgpu: socket: 0, die: 0, 10 new correctable hardware errors detected in total in umc "
       "block",
       "amdgpu:ras_correctable"},
      {"amdgpu 0000:83:00.0: amdgpu: socket: 0, die: 0 10 correctable hardware errors detected in umc block",
       "amdgpu:ras_correctable"},
      {"amdgpu 0000:83:00.0: amdgpu: 0 uncorrectable hardware errors detected in umc block", nullptr},
      {"amdgpu 0000:83:00.0: amdgpu: uncorrectable hardware error (ERREVENT_ATHUB_INTERRUPT) detected!",
       "amdgpu:ras_fatal"},
      {"amdgpu 0000:83:00.0: amdgpu: [gfxhub0] no-retry page fault (src_id:0 ring:24 vmid:3 pasid:32771)",
       "amdgpu:page_fault"},
      {"amdgpu 0000:83:00.0: amdgpu: SMU: I'm not done with your previous command: SMN_C2PMSG_66:0x00000006",
       "amdgpu:smu_error"},
      {"amdgpu 0000:83:00.0: amdgpu: RAS: bad page count 300 reaches threshold 256", "amdgpu:bad_page_threshold"},
      {"amdgpu 0000:83:00.0: amdgpu: SMU is initialized successfully!", nullptr},
      {"amdgpu: ring gfx timeout", nullptr},
      {"xe 0000:03:00.0: [drm] GT0: Timedout job: seqno=4294967169, lrc_seqno=4294967169, guc_id=0", "xe:job_timeout"},
      {"xe 0000:03:00.0: [drm] GT0: Engine reset: engine_class=ccs, logical_mask: 0x1, guc_id=3", "xe:engine_reset"},
      {"xe 0000:03:00.0: [drm] GT0: reset started", "xe:gt_reset"},
      {"xe 0000:03:00.0: [drm] GT0: reset done", "xe:reset_done"},
      {"xe 0000:03:00.0: [drm] *ERROR* GT0: reset failed (-ETIMEDOUT)", "xe:reset_failed"},
      {"xe 0000:03:00.0: [drm] *ERROR* CRITICAL: Xe has declared device 0000:03:00.0 as wedged.", "xe:wedged"},
      {"xe 0000:03:00.0: [drm] *ERROR* [Hardware Error]: Tile0 reported DEVICE_ERR_NONFATAL error, bit[0] is set",
       "xe:hw_error_nonfatal"},
      {"xe 0000:03:00.0: [drm] *ERROR* [Hardware Error]: Tile0 reported FATAL error", "xe:hw_error_fatal"},
      {"xe 0000:03:00.0: [drm] Using GuC firmware", nullptr},
      {"i915 0000:4d:00.0: [drm] GPU HANG: ecode 12:1:85dffffb, in python [1234]", "i915:gpu_hang"},
      {"i915 0000:4d:00.0: [drm] Resetting chip for stopped heartbeat on rcs0", "i915:gpu_reset"},
      {"i915 0000:4d:00.0: [drm] Resetting rcs0 for preemption time out", "i915:engine_reset"},
      {"i915 0000:4d:00.0: [drm] *ERROR* Failed to reset chip", "i915:reset_failed"},
      {"i915 0000:4d:00.0: [drm] VT-d active for gfx access", nullptr},
      {"usb 1-1: GPU reset begin!", nullptr},
  };
  for (const Line& line : lines) {
    const auto found = find(line.text);
    if (line.code == nullptr) {
      EXPECT_FALSE(found) << line.text << " is taken for " << found->code;
      continue;
    }
    ASSERT_TRUE(found) << line.text;
    EXPECT_EQ(found->code, line.code) << line.text;
    EXPECT_EQ(found->address.size(), 12u) << line.text;
    EXPECT_THAT(found->message, testing::StartsWith(std::string(find_event(line.code)->meaning))) << line.text;
  }
}

TEST(KernelMessage, AnOldLineWithoutADeviceTakesThatOfTheRecord) {
  const auto record = parse_record(
      "3,1,1,-;[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx timeout, signaled seq=1\n "
      "DEVICE=+pci:0000:83:00.0\n");
  ASSERT_TRUE(record);
  EXPECT_EQ(find_event_in(*record)->address, "0000:83:00.0");
  EXPECT_EQ(find("[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx timeout")->address, "");
}

TEST(KernelMessage, Identities) {
  const auto record = parse_record("5,1,1,-;NVRM: GPU at PCI:0000:18:00: GPU-1c6b5ab4-0000-1111-2222-333344445555\n");
  ASSERT_TRUE(record);
  const auto identity = find_identity_in(*record);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->address, "0000:18:00.0");
  EXPECT_EQ(identity->uuid, "GPU-1c6b5ab4-0000-1111-2222-333344445555");
  for (const char* bad : {"5,1,1,-;NVRM: GPU at PCI:0000:18:00: \n", "5,1,1,-;NVRM: GPU at PCI:0000:18:00: abc\n",
                          "13,1,1,-;NVRM: GPU at PCI:0000:18:00: GPU-1c6b5ab4-0000-1111\n"})
    EXPECT_FALSE(find_identity_in(*parse_record(bad))) << bad;
}

TEST(KernelMessage, HostileLinesAreBoundedAndPrintable) {
  const auto found = find("NVRM: Xid (PCI:0000:18:00): 31, \x1b[31m" + std::string(5000, 'x'));
  ASSERT_TRUE(found);
  EXPECT_LE(found->message.size(), 512u);
  EXPECT_EQ(found->message.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace accelmon::kernel_log

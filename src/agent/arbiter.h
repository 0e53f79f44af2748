// One device, several sources: which of them is believed.
//
// Two collectors may read the same GPU (Sysman and the kernel's files; NVML and nvidia-smi), the kernel's log names
// devices by their PCI address alone, and the presence check shows every accelerator on the bus whether it is read or
// not. The page must show each fact once, under one hw.id. The rules:
//
//   1. Sources come in the registry's order; an earlier one is believed before a later one, metric by metric and
//      device by device. A later one steps in where the earlier has no such metric, has been silent, or has had nothing
//      but refusals for three intervals; the earlier is believed again after it has answered for ten. While both answer
//      the change waits for an instant that both have read, three intervals at most: who is handed every poll once
//      (hand_over.h) then has each instant of the series once and in order. A counter goes on from where it was: the
//      difference between the two sources' counts is added to the successor's, so that a rate over the change is true.
//   2. Devices with the same PCI address are the same. They carry the identity that the first source gives them, and
//      keep it while that source is silent. The index alone they may lose: it belongs to one device of a vendor, first
//      to one that is read. A board that is gone has none once the driver has given its number to another.
//   3. A device of the presence check is shown only while no other source reads it or was let go on request, and not
//      before every source has had its first say: it is then a device with hw.status failed and a reason instead of a
//      missing row. What its silent readers last said of the same metrics steps aside. A driver that is bound and was
//      well until a moment ago is not known to have failed: for thirty intervals its device is degraded, then failed.
//
// Threads: used by the agent's loop. Cost: with nothing contested, a comparison of pointers; otherwise a look at the
// contested readings and a copy of the frames that lose some. It allocates when a catalog or a decision changes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/recycler.h"
#include "model/snapshot.h"

namespace accelmon {

// What a collector's devices are to the others'.
enum class Shows : uint8_t {
  devices,   // what it reads of them
  events,    // what somebody said of them: never a device's first source
  presence,  // that they are there
};

struct ArbiterSource {
  Shows shows = Shows::devices;
  bool live = false;      // its last frame is younger than three intervals
  bool let_go = false;    // on request: its devices are nobody's loss
  bool reported = false;  // it has had its first say: a frame, or why there is none
  SourceView view;        // replaced by what is to be shown of it
};

class Arbiter {
 public:
  Arbiter();
  ~Arbiter();
  Arbiter(const Arbiter&) = delete;
  Arbiter& operator=(const Arbiter&) = delete;

  // `sources`: always the same ones, in order of precedence. `interval`: of the polls. `settled`: do not wait any
  // longer for sources that have not reported (rule 3).
  void arbitrate(std::span<ArbiterSource> sources, Nanos now, Nanos interval, bool settled);

 private:
  struct Seat;   // one source
  struct Claim;  // one metric of one device that several sources have
  struct Guest;  // one device of the presence check

  void learn(std::span<ArbiterSource> sources, Nanos now);
  void decide(std::span<ArbiterSource> sources, Nanos now, Nanos interval, bool settled);
  void refilter(Seat& seat, size_t source);
  void apply(Seat& seat, size_t number, ArbiterSource& source);
  void settle_indices(std::span<ArbiterSource> sources);
  void find_places(Claim& claim, const Claim* before) const;
  static bool keep_counters_level(Claim& claim, std::span<const ArbiterSource> sources);
  static void go_on_counting(Claim& claim, std::span<const ArbiterSource> sources);
  static bool had_before(const Seat& seat, uint32_t series);
  static bool may_follow(const ArbiterSource& held, const Seat& held_seat, const ArbiterSource& next,
                         const Seat& next_seat, Nanos interval);
  static void describe(Guest& guest, const Catalog& catalog);
  void give_the_benefit_of_the_doubt(size_t source, Frame& frame, const std::vector<uint32_t>& kept) const;

  struct Identity {
    Device device;  // without parent
    size_t source = 0;
  };
  std::vector<Seat> seats_;
  std::map<std::pair<std::string, MetricId>, Claim> claims_;  // by hw.id as it is shown, and metric
  std::vector<Guest> guests_;
  std::map<std::string, Identity, std::less<>> identities_;  // by PCI address
  uint64_t generations_ = uint64_t{1} << 48;                 // away from those that collectors count
};

}  // namespace accelmon

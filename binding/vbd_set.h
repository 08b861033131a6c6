#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vbd_statistics.h"

namespace xen_block_stats {

// How many of the first vbds hold their files, and how many of the next ones their folder.
struct HoldingPlan {
  size_t files;
  size_t folders;
};

// What so many vbds hold within so many descriptors, with as few look-ups of paths as possible.
HoldingPlan PlanHoldings(size_t vbds, size_t descriptors);

// The statistics of many vbds, a row each, read all at once. They stay within a number of
// descriptors, and those that it does not reach for are read through descriptors of the moment. Not
// for two threads at a time.
class VbdSet {
 public:
  // Which vbd: its domid and its devid.
  using Key = std::pair<uint32_t, uint32_t>;

  // devices: the folder .../bus/xen-backend/devices. descriptors: how many it may hold.
  VbdSet(std::string devices, size_t descriptors);
  ~VbdSet();
  VbdSet(const VbdSet&) = delete;
  VbdSet& operator=(const VbdSet&) = delete;

  // Opens those of these vbds that no open row is about, for the next Assign(). Whoever asks
  // xenstore between the two what they are knows what has been opened: a device is made after its
  // nodes.
  void Prepare(const std::vector<Key>& vbds);

  // Makes these its rows, in rising order: those that have been prepared, and those that it has.
  // Returns how many are not open.
  size_t Assign(const std::vector<Key>& rows);

  size_t size() const { return rows_.size(); }

  // Reads all counters of all vbds into rows of kColumns numbers. One that fails has -1 in every
  // column and its failure, encoded, at its row; it is closed until it is prepared again. Returns
  // how many failed.
  template <typename Number>
  size_t Sample(Number* values, uint32_t* failures);

  // Returns all descriptors, and has no rows then.
  void Close();

 private:
  struct Row {
    Key key;
    std::unique_ptr<VbdStatistics> vbd;
    Failure failure;  // why it is not open
  };

  Row Open(Key key, Holding holding);
  const Row* Find(Key key) const;
  size_t CountDescriptors() const;
  template <typename Number>
  Failure ReadWithReserve(VbdStatistics* vbd, Number* values);
  void FillReserve();
  void ReleaseReserve();

  std::string devices_;
  size_t descriptors_;
  std::vector<Row> rows_;
  std::map<Key, Row> prepared_;
  // For reading through descriptors of the moment when the process has no others left.
  static constexpr size_t kReserve = 2;
  std::array<int, kReserve> reserve_;
};

}  // namespace xen_block_stats

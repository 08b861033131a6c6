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

// The statistics of many vbds, a row each, read all at once. The vbds hold their files within a
// budget of descriptors; beyond it, each read opens and closes them. Not thread-safe.
class VbdSet {
 public:
  // Which vbd: its domid and its devid.
  using Key = std::pair<uint32_t, uint32_t>;

  // devices: the directory .../bus/xen-backend/devices. max_open_files: the budget.
  VbdSet(std::string devices, size_t max_open_files);
  ~VbdSet();
  VbdSet(const VbdSet&) = delete;
  VbdSet& operator=(const VbdSet&) = delete;

  // Opens these vbds, but for those whose row can be read, until the next Assign(). To be called
  // before xenstore is asked what they are: the kernel makes a device after its nodes, so that what
  // is open then is either what xenstore describes afterwards, or removed and unreadable.
  void Prepare(const std::vector<Key>& vbds);

  // Closes these of the prepared vbds.
  void Discard(const std::vector<Key>& vbds);

  // Makes these the rows, in rising order: prepared vbds, and rows that there are. Closes the rest.
  // Returns how many are not open.
  size_t Assign(const std::vector<Key>& rows);

  size_t size() const { return rows_.size(); }

  // Reads all counters of all vbds into rows of kColumns numbers. A vbd that fails has -1 in every
  // column, and its encoded Failure at its row; it is closed until it is prepared again. Returns
  // how many failed.
  template <typename Number>
  size_t Sample(Number* values, uint32_t* failures);

  // Closes all descriptors and removes all rows.
  void Close();

 private:
  struct Row {
    Key key;
    std::unique_ptr<VbdStatistics> vbd;
    Failure failure;  // why it is not open
  };

  void GrowDescriptorTable(size_t vbds);
  Row Open(Key key);
  bool HasRoom() const;
  const Row* Find(Key key) const;
  template <typename Number>
  Failure Read(VbdStatistics* vbd, Number* values);
  void FillReserve();
  void ReleaseReserve();

  std::string devices_;
  size_t max_open_files_;
  size_t held_ = 0;              // vbds that hold their files
  size_t descriptor_table_ = 0;  // entries that it was grown to
  std::vector<Row> rows_;
  std::map<Key, Row> prepared_;
  // What it takes to read a vbd when the process has no descriptors left.
  static constexpr size_t kReserve = 2;
  std::array<int, kReserve> reserve_;
};

}  // namespace xen_block_stats

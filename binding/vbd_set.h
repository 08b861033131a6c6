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

// The statistics of many vbds, a row each, which one call reads. The vbds hold their files within a
// descriptor budget; beyond it, each read opens and closes them. Not thread-safe.
class VbdSet {
 public:
  // Identifies a vbd: its domid and its devid.
  using Key = std::pair<uint32_t, uint32_t>;

  // devices: the path of the directory .../bus/xen-backend/devices. max_open_files: the descriptor
  // budget.
  VbdSet(std::string devices, size_t max_open_files);
  ~VbdSet();
  VbdSet(const VbdSet&) = delete;
  VbdSet& operator=(const VbdSet&) = delete;

  // Opens vbds as candidates for the next Assign(), except those whose row can be read. The caller
  // reads their xenstore nodes afterwards. The kernel makes a device after its nodes exist. So an
  // open vbd is either the one that xenstore describes afterwards, or removed and unreadable.
  void Prepare(const std::vector<Key>& vbds);

  // Closes prepared vbds. Ignores those that are not prepared.
  void Discard(const std::vector<Key>& vbds);

  // Replaces the rows, and closes the vbds that have none afterwards. rows: vbds in ascending
  // order. Takes a prepared vbd, or the row that the vbd has already; otherwise the row is not open
  // (ENOENT). Returns how many rows are not open.
  size_t Assign(const std::vector<Key>& rows);

  // The number of rows.
  size_t size() const { return rows_.size(); }

  // Reads all counters of all vbds. values: size() rows of kColumns numbers. failures: an encoded
  // Failure for each row. A vbd that fails has -1 in every column. It is closed until it is
  // prepared again, unless the process had no free descriptor. Returns how many failed.
  template <typename Number>
  size_t Sample(Number* values, uint32_t* failures);

  // Closes all descriptors and removes all rows.
  void Close();

 private:
  struct Row {
    Key key;
    std::unique_ptr<VbdStatistics> vbd;
    Failure failure;  // why the vbd is not open
  };

  // Has a thread grow the process's descriptor table for this many more vbds.
  void GrowDescriptorTable(size_t vbds);
  // Opens a vbd, and holds its files if the budget has room.
  Row Open(Key key);
  // Returns whether the budget has room for the files of one more vbd.
  bool HasRoom() const;
  // Returns the row of a vbd, or null.
  Row* Find(Key key);
  // Reads the vbd of a row into kColumns numbers. After a failure the vbd is closed and the row has
  // the failure, unless the process had no free descriptor.
  template <typename Number>
  Failure Read(Row* row, Number* values);
  // Opens the reserve's descriptors, as far as the process has free ones.
  void FillReserve();
  void ReleaseReserve();

  std::string devices_;
  size_t max_open_files_;
  size_t held_ = 0;              // the number of vbds that hold their files
  size_t descriptor_table_ = 0;  // the entries that the descriptor table was grown to
  std::vector<Row> rows_;
  std::map<Key, Row> prepared_;
  // Descriptors that are released to read a vbd when the process has no other free one: reading
  // takes two, the directory and a file.
  static constexpr size_t kReserve = 2;
  std::array<int, kReserve> reserve_;
};

}  // namespace xen_block_stats

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "recorder.h"
#include "vbd_pool.h"
#include "vbd_statistics.h"

namespace xen_block_stats {

// The statistics of many vbds, a row each, which one call reads. Not thread-safe.
class VbdSet {
 public:
  using Key = VbdPool::Key;

  // columns: what is read. The other columns are -1.
  VbdSet(std::shared_ptr<VbdPool> pool, ColumnSet columns)
      : pool_(std::move(pool)), columns_(columns), counters_(CountersOf(columns)) {}

  // Opens vbds as candidates for the next Assign(). The caller reads their xenstore nodes
  // afterwards. The kernel makes a device after its nodes exist. So an open vbd is either the one
  // that xenstore describes afterwards, or removed and unreadable.
  void Prepare(const std::vector<Key>& vbds);

  // Closes prepared vbds. Ignores those that are not prepared.
  void Discard(const std::vector<Key>& vbds);

  // Replaces the rows, and closes the vbds that have none afterwards. rows: vbds in ascending
  // order. Takes a prepared vbd, or the row that the vbd has already; otherwise the row is not open
  // (ENOENT). reopened: receives 1 for each row whose vbd was opened anew, else 0. Returns the
  // generation of the rows: another number if one of them has changed.
  uint32_t Assign(const std::vector<Key>& rows, uint32_t* reopened);

  // The number of rows.
  size_t size() const { return rows_.size(); }

  // Reads all vbds. values: size() rows of kColumns numbers. failures: an
  // encoded Failure for each row. A vbd that fails has -1 in every column. It is closed until it is
  // prepared again, unless the process had no free descriptor. Returns how many failed.
  template <typename Number>
  size_t Sample(Number* values, uint32_t* failures);

  // Starts a recorder of the rows, as Recorder::Start() does.
  std::shared_ptr<Recorder> Record(int64_t interval, size_t capacity);

  // Removes all rows, and stops the recorders.
  void Close();

 private:
  struct Row {
    Key key;
    std::shared_ptr<Vbd> vbd;  // null if it was never open
  };

  // Returns the rows, as a recorder reads them.
  Recorder::Rows RecordedRows() const;

  const std::shared_ptr<VbdPool> pool_;
  const ColumnSet columns_;
  const CounterSet counters_;
  std::vector<Row> rows_;
  uint32_t generation_ = 0;
  std::vector<std::weak_ptr<Recorder>> recorders_;
  std::map<Key, std::shared_ptr<Vbd>> prepared_;
};

}  // namespace xen_block_stats

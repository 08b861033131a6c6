#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace xen_block_stats {

// The counters that blkback has of a disk: the files of its statistics directory, in the order of a
// row's columns. lib/native.ts has the same order, and test/unit/native.test.ts checks it.
enum Counter : unsigned {
  kRdReq,   // rd_req:  read requests
  kRdSect,  // rd_sect: sectors read, of 512 bytes
  kWrReq,   // wr_req:  write requests
  kWrSect,  // wr_sect: sectors written, of 512 bytes
  kFReq,    // f_req:   flush requests
  kDsReq,   // ds_req:  discard requests
  kOoReq,   // oo_req:  requests delayed because the backend was busy
  kCounters
};

// A set of counters: the bit 1 << counter for each Counter.
using CounterSet = unsigned;

// All counters of blkback.
constexpr CounterSet kAllCounters = (1u << kCounters) - 1;

// The columns of a row of numbers, in this order, which lib/native.ts has, too.
enum Column : unsigned {
  kColumnRdReq,
  kColumnRdSectors,
  kColumnRdBytes,  // sectors * 512
  kColumnWrReq,
  kColumnWrSectors,
  kColumnWrBytes,  // sectors * 512
  kColumnFlushReq,
  kColumnDiscardReq,
  kColumnOoReq,
  kColumnRdTimeNs,
  kColumnWrTimeNs,
  kColumnIoErrors,
  kColumns
};

// A set of columns: the bit 1 << column for each Column.
using ColumnSet = unsigned;

// All columns of a row.
constexpr ColumnSet kAllColumns = (1u << kColumns) - 1;

// Sets the columns of a row that are not in the set to -1.
template <typename Number>
void ClearOthers(ColumnSet columns, Number* row) {
  if (columns == kAllColumns) return;
  for (unsigned column = 0; column < kColumns; ++column) {
    if ((columns & (1u << column)) == 0) row[column] = -1;
  }
}

// The names of the columns in lib/native.ts, in the order of Column.
std::array<const char*, kColumns> ColumnNames();

// The result of an operation on a disk's statistics. Some values of error do not come from the
// kernel. EBADMSG: the file does not hold a number; EOVERFLOW: a number is not below 2^63; for
// those of tapdisk see tapdisk_statistics.h.
struct Failure {
  int error = 0;                 // an errno; 0 after success
  unsigned counter = kCounters;  // the counter whose file failed; kCounters: the directory

  // Returns one number for both: the counter in the bits from 16 up, the errno below. 0 after
  // success.
  uint32_t Encoded() const { return error == 0 ? 0 : counter << 16 | static_cast<uint32_t>(error); }
};

// Returns whether an errno means that the process (EMFILE) or the system (ENFILE) has no free
// descriptor.
bool IsOutOfDescriptors(int error);

// A counter of descriptors that are open.
using OpenCount = std::shared_ptr<std::atomic<size_t>>;

// The open files of a disk's statistics. They never change, and can be read on every thread. They
// are closed with the last reference.
class StatisticsFiles {
 public:
  virtual ~StatisticsFiles() = default;

  // Reads the wanted counters into their columns of the row; columns of other counters are left
  // alone. What the backend does not count is -1. After a failure the content of the row is
  // undefined.
  virtual Failure Read(CounterSet wanted, double* row) const = 0;
  virtual Failure Read(CounterSet wanted, int64_t* row) const = 0;

  // False if files may be missing because the kernel was still making the directory.
  virtual bool is_complete() const { return true; }
};

// Where the statistics of a disk are. Once they were opened or read, later files of the same name
// are another disk's, and are refused. Not thread-safe.
class StatisticsSource {
 public:
  virtual ~StatisticsSource() = default;
  virtual std::unique_ptr<StatisticsSource> Clone() const = 0;

  // The greatest number of descriptors that the open files have.
  virtual size_t descriptors() const = 0;

  // Returns whether the statistics exist, and are those that were opened before, if any.
  virtual Failure Check() = 0;

  // Opens the files, and adds their descriptors to the count until they are closed.
  virtual Failure OpenFiles(const OpenCount& count,
                            std::shared_ptr<const StatisticsFiles>* files) = 0;

  // Opens, reads and closes the files, with two descriptors at a time.
  virtual Failure Read(CounterSet wanted, double* row) = 0;
  virtual Failure Read(CounterSet wanted, int64_t* row) = 0;
};

}  // namespace xen_block_stats

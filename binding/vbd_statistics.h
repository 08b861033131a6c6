#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace xen_block_stats {

// The counters of a vbd: the files of its statistics directory, in the order of a row's columns.
// lib/native.ts has the same order, and test/unit/native.test.ts checks it.
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

// All counters of a vbd.
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
  kColumns
};

// A set of columns: the bit 1 << column for each Column.
using ColumnSet = unsigned;

// All columns of a row.
constexpr ColumnSet kAllColumns = (1u << kColumns) - 1;

// Returns the counters that are read to fill these columns.
CounterSet CountersOf(ColumnSet columns);

// Sets the columns of a row that are not in the set to -1.
template <typename Number>
void ClearOthers(ColumnSet columns, Number* row) {
  if (columns == kAllColumns) return;
  for (unsigned column = 0; column < kColumns; ++column) {
    if ((columns & (1u << column)) == 0) row[column] = -1;
  }
}

// The names of the counters' files, in the order of Counter.
std::array<const char*, kCounters> CounterFiles();

// The names of the columns in lib/native.ts, in the order of Column.
std::array<const char*, kColumns> ColumnNames();

// The result of an operation on a vbd. Two values of error do not come from the kernel: EBADMSG,
// the file does not hold a number; EOVERFLOW, a number is not below 2^63.
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

// Parses the text of a counter's file: decimal digits up to a newline or the end of the text.
// Returns 0, EBADMSG or EOVERFLOW. 20 digits and more are EOVERFLOW, leading zeros included: the
// kernel writes none.
int ParseCounter(const char* text, size_t length, int64_t* value);

// Returns the path of a vbd's statistics directory. devices: the path of the directory
// .../bus/xen-backend/devices.
std::string StatisticsDirectory(const std::string& devices, uint32_t domid, uint32_t devid);

// A counter of descriptors that are open.
using OpenCount = std::shared_ptr<std::atomic<size_t>>;

// The open files of a vbd, one descriptor a counter. They never change, and can be read on every
// thread. They are closed with the last reference.
class VbdFiles {
 public:
  // Takes the descriptors over, and adds them to the count until they are closed. -1: no such file.
  VbdFiles(const std::array<int, kCounters>& descriptors, OpenCount count);
  ~VbdFiles();
  VbdFiles(const VbdFiles&) = delete;
  VbdFiles& operator=(const VbdFiles&) = delete;

  // Reads the wanted counters into their columns of the row, and leaves the other columns alone.
  // kRdSect and kWrSect also fill the columns of bytes. A counter that the kernel does not
  // have is -1. A counter whose file the kernel was just making is a failure (ENOENT).
  // After a failure the content of the row is undefined. A removed device gives ENODEV.
  template <typename Number>
  Failure Read(CounterSet wanted, Number* row) const;

  // False if files may be missing because the kernel was still making the directory.
  bool is_complete() const;

 private:
  const std::array<int, kCounters> descriptors_;
  const OpenCount count_;
};

// The statistics directory of a vbd. A later directory of the same name, which is another vbd's, is
// refused (ENODEV).
class VbdDirectory {
 public:
  // path: see StatisticsDirectory().
  explicit VbdDirectory(std::string path) : path_(std::move(path)) {}

  // Returns whether the directory exists, and is the one that was opened before, if any.
  Failure Check();

  // Opens the files, and adds them to the count. Fails if every file is missing.
  Failure OpenFiles(const OpenCount& count, std::shared_ptr<const VbdFiles>* files);

  // Reads as VbdFiles::Read() does. Opens, reads and closes one file after the other, with two
  // descriptors at a time. A removed device gives ENODEV or ENOENT from then on.
  template <typename Number>
  Failure Read(CounterSet wanted, Number* row);

 private:
  // Opens the directory as an O_PATH descriptor, which the caller closes.
  Failure Open(int* directory);
  // Reads the files of the open directory. A missing file is -1, unless it has existed or is in
  // every kernel: then the kernel is making or removing the device.
  template <typename Number>
  Failure ReadFiles(int directory, CounterSet wanted, Number* row);

  std::string path_;
  // The file system, the inode and the time of birth of the directory.
  using Identity = std::array<uint64_t, 5>;
  std::optional<Identity> identity_;
  // The counters whose files have existed.
  CounterSet seen_ = 0;
};

}  // namespace xen_block_stats

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
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

// The statistics of one vbd. Open: its directory is known and can be read. Held: its files are
// open, too, one descriptor each. Not thread-safe.
class VbdStatistics {
 public:
  // directory: see StatisticsDirectory().
  explicit VbdStatistics(std::string directory);
  ~VbdStatistics();
  VbdStatistics(const VbdStatistics&) = delete;
  VbdStatistics& operator=(const VbdStatistics&) = delete;

  // Opens the directory and remembers its identity. With hold, also opens the counters' files and
  // holds them, so that a read is one pread a counter; without it, each read opens what it needs.
  // Fails if the directory is missing, with hold also if every file in it is.
  Failure Open(bool hold = true);

  // Opens and holds the files, if the directory is still the one that was opened; ENODEV if it is
  // another. Changes nothing when the descriptors do not suffice (IsOutOfDescriptors), and closes
  // after any other failure.
  Failure Hold();

  // Reads the wanted counters into their columns of the row, and leaves the other columns alone.
  // kRdSect and kWrSect also fill the columns of bytes. A counter that the kernel does not
  // have is -1. A counter whose file the kernel is just making or removing is a failure (ENOENT).
  // After a failure the content of the row is undefined. A removed device gives ENODEV or ENOENT
  // from then on, also when another device has got the same name. A closed one gives EBADF.
  template <typename Number>
  Failure Read(CounterSet wanted, Number* row);

  // Closes all descriptors.
  void Close();

  bool is_open() const { return is_open_; }
  bool is_held() const { return is_held_; }

 private:
  // Opens the directory as an O_PATH descriptor, which the caller closes. Fails with ENODEV if it
  // is not the directory that was opened before.
  Failure OpenDirectory(int* directory);
  // Opens those files of the directory that are not open.
  Failure OpenMissing(int directory);
  // Reads with the descriptors that are held.
  template <typename Number>
  Failure ReadHeld(CounterSet wanted, Number* row);
  // Opens the directory for this read only.
  template <typename Number>
  Failure ReadUnheld(CounterSet wanted, Number* row);
  // Opens, reads and closes one file after the other. A missing file is -1, unless it has existed
  // or is in every kernel: then the kernel is making or removing the device.
  template <typename Number>
  Failure ReadFiles(int directory, CounterSet wanted, Number* row);
  void CloseFiles();

  std::string directory_;
  bool is_open_ = false;
  bool is_held_ = false;
  std::array<int, kCounters> descriptors_;
  // The file system, the inode and the time of birth of the directory. A later directory of the
  // same name is another vbd's.
  using Identity = std::array<uint64_t, 5>;
  std::optional<Identity> identity_;
  // The counters whose files have existed since Open().
  CounterSet seen_ = 0;
  // False while files may be missing because the kernel is still making the directory.
  bool is_complete_ = false;
};

}  // namespace xen_block_stats

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace xen_block_stats {

// The counters of a vbd: the files of its statistics directory, in the order of a row's columns.
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

// A set of counters: bit 1 << Counter.
using CounterSet = unsigned;

constexpr CounterSet kAllCounters = (1u << kCounters) - 1;

// What a row of numbers holds, in this order.
enum Column : unsigned {
  kColumnRdReq,
  kColumnRdSectors,
  kColumnRdBytes,  // sectors * 512
  kColumnWrReq,
  kColumnWrSectors,
  kColumnWrBytes,  // sectors * 512
  kColumnFlushReq,
  kColumnDiscardReq,
  kColumnOutOfRequests,
  kColumns
};

// Why something was not done: an errno and the counter whose file it was about, or kCounters for
// the directory. Two are of this package: EBADMSG, the file does not hold a number; EOVERFLOW, the
// number is not below 2^63. error is 0 if all went well.
struct Failure {
  int error = 0;
  unsigned counter = kCounters;

  // As one number: the counter above the errno.
  uint32_t Encoded() const { return error == 0 ? 0 : counter << 16 | static_cast<uint32_t>(error); }
};

// Whether there was nothing wrong but that too many files are open, here or in all.
bool IsOutOfDescriptors(int error);

// The number in the text of a counter's file: decimal digits, ended by a newline or by the text.
// Returns 0, EBADMSG or EOVERFLOW, which 20 digits and more are whatever they say: the kernel
// writes no zeros in front.
int ParseCounter(const char* text, size_t length, int64_t* value);

// The directory with the statistics of a vbd, below .../bus/xen-backend/devices.
std::string StatisticsDirectory(const std::string& devices, uint32_t domid, uint32_t devid);

// The statistics of one vbd. Not thread-safe.
class VbdStatistics {
 public:
  explicit VbdStatistics(std::string directory);
  ~VbdStatistics();
  VbdStatistics(const VbdStatistics&) = delete;
  VbdStatistics& operator=(const VbdStatistics&) = delete;

  // Opens the counters' files and holds them, one descriptor each, so that a read is one pread a
  // counter. Without hold, only notes which directory it is: each read then opens what it needs.
  // Fails if the directory, or every file in it, is missing.
  Failure Open(bool hold = true);

  // Holds the files from now on, if the directory is still the one that was opened. With too few
  // descriptors it stays as it was; after any other failure it is closed.
  Failure Hold();

  // Reads the wanted counters into their columns of the row; leaves the others alone. A counter
  // that the kernel does not have is -1; one whose file the kernel is just making or removing is a
  // failure (ENOENT). After a failure the content of the row is undefined. A removed device gives
  // ENODEV or ENOENT from then on, even if another device has its name; a closed one gives EBADF.
  template <typename Number>
  Failure Read(CounterSet wanted, Number* row);

  void Close();

  bool is_open() const { return is_open_; }
  bool is_held() const { return is_held_; }

 private:
  Failure OpenDirectory(int* directory);
  Failure OpenMissing(int directory);
  template <typename Number>
  Failure ReadHeld(CounterSet wanted, Number* row);
  template <typename Number>
  Failure ReadUnheld(CounterSet wanted, Number* row);
  template <typename Number>
  Failure ReadFiles(int directory, CounterSet wanted, Number* row);
  void CloseFiles();

  std::string directory_;
  bool is_open_ = false;
  bool is_held_ = false;
  std::array<int, kCounters> descriptors_;
  // Which directory was opened: file system, inode, time of birth. One of the same name may be
  // another vbd's.
  using Identity = std::array<uint64_t, 5>;
  std::optional<Identity> identity_;
  // The counters whose files have been there.
  CounterSet seen_ = 0;
  // False while files may be missing because the kernel is just making the directory.
  bool is_complete_ = false;
};

}  // namespace xen_block_stats

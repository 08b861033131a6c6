#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace xen_block_stats {

// The counters of a vbd: the files of its statistics folder, in the order of a row's columns.
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
// the folder. Two are ours: EBADMSG, the file does not hold a number; EOVERFLOW, the number is
// not below 2^63. error is 0 if all went well.
struct Failure {
  int error = 0;
  unsigned counter = kCounters;
};

// The number in the text of a counter's file: decimal digits, ended by a newline or by the text.
// Returns 0, EBADMSG or EOVERFLOW.
int ParseCounter(const char* text, size_t length, int64_t* value);

// The folder with the statistics of a vbd, below .../bus/xen-backend/devices.
std::string StatisticsFolder(const std::string& devices, uint32_t domid, uint32_t devid);

// The statistics of one vbd, through descriptors that stay open. Not for two threads at a time.
class VbdStatistics {
 public:
  explicit VbdStatistics(std::string folder);
  ~VbdStatistics();
  VbdStatistics(const VbdStatistics&) = delete;
  VbdStatistics& operator=(const VbdStatistics&) = delete;

  // Opens what there is of the counters' files; it fails if there is none.
  Failure Open();

  // Reads the wanted counters, one pread each, into their columns of the row; the others are left
  // alone. A counter that the kernel does not have is -1. After a failure the row means nothing.
  // A device that is gone gives ENODEV, for ever; one that was closed, EBADF.
  template <typename Number>
  Failure Read(CounterSet wanted, Number* row);

  void Close();

 private:
  Failure OpenMissing();

  std::string folder_;
  std::array<int, kCounters> descriptors_;
  bool open_ = false;
  // False while files may be missing because the kernel is just making the folder.
  bool complete_ = false;
};

}  // namespace xen_block_stats

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
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
// the folder. Two are ours: EBADMSG, the file does not hold a number; EOVERFLOW, the number is
// not below 2^63. error is 0 if all went well.
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

// The folder with the statistics of a vbd, below .../bus/xen-backend/devices.
std::string StatisticsFolder(const std::string& devices, uint32_t domid, uint32_t devid);

// What a vbd keeps open from one read to the next. Each costs that many descriptors, and the less
// it keeps the longer a read takes: look-ups of paths are most of it.
enum class Holding : unsigned { kNothing = 0, kFolder = 1, kFiles = kCounters };

// The statistics of one vbd. Not for two threads at a time.
class VbdStatistics {
 public:
  explicit VbdStatistics(std::string folder);
  ~VbdStatistics();
  VbdStatistics(const VbdStatistics&) = delete;
  VbdStatistics& operator=(const VbdStatistics&) = delete;

  // Opens what there is of the counters' files; it fails if there is none. If they are not to be
  // held, whether there are any turns out when they are read.
  Failure Open(Holding holding = Holding::kFiles);

  // Has it, while it is open, keep more or less open; never does it become another vbd by that.
  // When there are too few descriptors it stays as it was, after any other failure it is closed.
  Failure Hold(Holding holding);

  // Reads the wanted counters into their columns of the row; the others are left alone. With files
  // that are held that is one pread each. A counter that the kernel does not have is -1; one whose
  // file the kernel is just making or removing is a failure (ENOENT). After a failure the row means
  // nothing. A device that is gone gives ENODEV or ENOENT, for ever, also
  // when another one has come in its place; one that was closed, EBADF.
  template <typename Number>
  Failure Read(CounterSet wanted, Number* row);

  void Close();

  bool is_open() const { return open_; }
  Holding holding() const { return holding_; }

 private:
  Failure OpenFolder(int* folder);
  Failure OpenMissing(int folder);
  template <typename Number>
  Failure ReadHeld(CounterSet wanted, Number* row);
  template <typename Number>
  Failure ReadBriefly(CounterSet wanted, Number* row);
  template <typename Visitor>
  Failure VisitFiles(int folder, CounterSet wanted, Visitor visit);
  void CloseFiles();

  std::string folder_;
  Holding holding_ = Holding::kNothing;
  bool open_ = false;
  int folder_descriptor_;
  std::array<int, kCounters> descriptors_;
  // The folder that was opened, by its file system and inode: one of the same name may be another
  // vbd's.
  using Identity = std::array<uint64_t, 3>;
  std::optional<Identity> identity_;
  // The counters whose files have been there.
  CounterSet seen_ = 0;
  // False while files may be missing because the kernel is just making the folder.
  bool complete_ = false;
};

}  // namespace xen_block_stats

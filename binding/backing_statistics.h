#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "open_file.h"
#include "vbd_pool.h"

namespace xen_block_stats {

// The columns of a row of a block device's statistics, in this order, which lib/native.ts has, too.
enum BackingColumn : unsigned {
  kBackingRdIos,        // completed reads
  kBackingRdTimeMs,     // their times, summed
  kBackingWrIos,        // completed writes, flushes included
  kBackingWrTimeMs,     // their times, summed
  kBackingFlIos,        // completed flushes; -1 before Linux 5.5
  kBackingFlTimeMs,     // their times, summed; -1 before Linux 5.5
  kBackingInFlight,     // requests that are not completed: not a counter
  kBackingIoTimeMs,     // the time with at least one request
  kBackingQueueTimeMs,  // the times of all requests, summed
  kBackingColumns
};

// The statistics of a block device, a number for each BackingColumn.
using BackingRow = std::array<double, kBackingColumns>;

// The names of the columns in lib/native.ts, in the order of BackingColumn.
std::array<const char*, kBackingColumns> BackingColumnNames();

// Parses the line of a block device's file `stat`: at least 11 numbers, separated by spaces.
// Returns 0; EBADMSG, the line is not such a line; or EOVERFLOW, a number is not below 2^63.
int ParseBackingStatistics(const char* text, size_t length, BackingRow* row);

// The statistics of a block device, in its file `stat` in sysfs. The file stays open while the
// descriptor budget of the pool has room; beyond it, each read opens and closes the file. A later
// device of the same number is refused (ENODEV). Not thread-safe.
class BackingDevice {
 public:
  // path: of the file `stat`.
  BackingDevice(std::shared_ptr<VbdPool> pool, std::string path);
  ~BackingDevice() { Close(); }
  BackingDevice(const BackingDevice&) = delete;
  BackingDevice& operator=(const BackingDevice&) = delete;

  // Reads the statistics. Returns 0 or an errno, which every later read returns, too, unless the
  // process had no free descriptor. A removed device gives ENODEV or ENOENT, and a closed one
  // EBADF. After a failure the content of the row is undefined.
  int Read(BackingRow* row);

  // Closes the file.
  void Close() { CloseWith(EBADF); }

 private:
  // Opens the file. Returns 0 or an errno.
  int Open(int* descriptor);
  // Opens the file and holds it.
  int Hold();
  // Opens, reads and closes the file.
  int OpenAndRead(BackingRow* row);
  // Closes the file for a reason, an errno.
  void CloseWith(int error);

  const std::shared_ptr<VbdPool> pool_;
  const std::string path_;
  std::optional<FileIdentity> identity_;
  int descriptor_ = -1;  // -1 while the file is not held
  int error_ = 0;        // the result of every later read, unless 0
};

}  // namespace xen_block_stats

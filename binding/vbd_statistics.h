#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "disk_statistics.h"
#include "open_file.h"

namespace xen_block_stats {

// Returns the counters that are read to fill these columns.
CounterSet CountersOf(ColumnSet columns);

// The names of the counters' files, in the order of Counter.
std::array<const char*, kCounters> CounterFiles();

// Parses the text of a counter's file: decimal digits up to a newline or the end of the text.
// Returns 0, EBADMSG or EOVERFLOW. 20 digits and more are EOVERFLOW, leading zeros included: the
// kernel writes none.
int ParseCounter(const char* text, size_t length, int64_t* value);

// Returns the path of a vbd's statistics directory. devices: the path of the directory
// .../bus/xen-backend/devices.
std::string StatisticsDirectory(const std::string& devices, uint32_t domid, uint32_t devid);

// The open files of a disk that blkback serves, one descriptor a counter.
class VbdFiles final : public StatisticsFiles {
 public:
  // Takes the descriptors over, and adds them to the count until they are closed. -1: no such file.
  VbdFiles(const std::array<int, kCounters>& descriptors, OpenCount count);
  ~VbdFiles() override;
  VbdFiles(const VbdFiles&) = delete;
  VbdFiles& operator=(const VbdFiles&) = delete;

  // kRdSect and kWrSect also fill the columns of bytes. A counter that the kernel does not have is
  // -1, as are the columns that blkback never has. A counter whose file the kernel was just making
  // is a failure (ENOENT). A removed device gives ENODEV.
  Failure Read(CounterSet wanted, double* row) const override { return ReadRow(wanted, row); }
  Failure Read(CounterSet wanted, int64_t* row) const override { return ReadRow(wanted, row); }

  bool is_complete() const override;

 private:
  template <typename Number>
  Failure ReadRow(CounterSet wanted, Number* row) const;

  const std::array<int, kCounters> descriptors_;
  const OpenCount count_;
};

// The statistics directory of a disk that blkback serves. Another directory of the same name is
// refused with ENODEV.
class VbdDirectory final : public StatisticsSource {
 public:
  // path: see StatisticsDirectory().
  explicit VbdDirectory(std::string path) : path_(std::move(path)) {}

  std::unique_ptr<StatisticsSource> Clone() const override {
    return std::make_unique<VbdDirectory>(*this);
  }
  size_t descriptors() const override { return kCounters; }
  Failure Check() override;
  // Fails if every file is missing.
  Failure OpenFiles(const OpenCount& count, std::shared_ptr<const StatisticsFiles>* files) override;
  // A removed device gives ENODEV or ENOENT from then on.
  Failure Read(CounterSet wanted, double* row) override { return ReadRow(wanted, row); }
  Failure Read(CounterSet wanted, int64_t* row) override { return ReadRow(wanted, row); }

 private:
  template <typename Number>
  Failure ReadRow(CounterSet wanted, Number* row);
  // Opens the directory as an O_PATH descriptor, which the caller closes.
  Failure Open(int* directory);
  // Reads the files of the open directory. A missing file is -1, unless it has existed or is in
  // every kernel: then the kernel is making or removing the device.
  template <typename Number>
  Failure ReadFiles(int directory, CounterSet wanted, Number* row);

  std::string path_;
  std::optional<FileIdentity> identity_;
  // The counters whose files have existed.
  CounterSet seen_ = 0;
};

}  // namespace xen_block_stats

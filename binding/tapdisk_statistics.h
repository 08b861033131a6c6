#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "disk_statistics.h"

namespace xen_block_stats {

// The open statistics of a disk that a tapdisk process serves: the file
// <shm>/td3-<pid>/vbd-<domid>-<devid>, which the process has mapped. Such a file never fails to be
// read: when the disk is detached it is only unlinked, and when the process ends it stays as it
// is. So the process is held, too.
//
// Errors that do not come from the kernel: ESTALE, the file was unlinked, or is not the one of
// before; ESRCH, the process has ended; EBADF, the process does not have the file open, it is
// one of an earlier process; EPROTONOSUPPORT, the file has another version than 1; EBADMSG, it is
// too short or no regular file.
class TapdiskFile final : public StatisticsFiles {
 public:
  // Takes the descriptors over, and adds them to the count until they are closed. process: see
  // HoldProcess().
  TapdiskFile(int file, int process, OpenCount count);
  ~TapdiskFile() override;
  TapdiskFile(const TapdiskFile&) = delete;
  TapdiskFile& operator=(const TapdiskFile&) = delete;

  // Reads all numbers, whatever is wanted, with one pread, one statx and one poll.
  Failure Read(CounterSet, double* row) const override { return ReadRow(row); }
  Failure Read(CounterSet, int64_t* row) const override { return ReadRow(row); }

 private:
  template <typename Number>
  Failure ReadRow(Number* row) const;

  const int file_;
  const int process_;
  const OpenCount count_;
};

// The statistics of a disk of a tapdisk process.
class TapdiskSource final : public StatisticsSource {
 public:
  // shm: the path of /dev/shm.
  TapdiskSource(const std::string& shm, uint32_t pid, uint32_t domid, uint32_t devid);

  std::unique_ptr<StatisticsSource> Clone() const override {
    return std::make_unique<TapdiskSource>(*this);
  }
  size_t descriptors() const override { return 2; }
  Failure Check() override;
  Failure OpenFiles(const OpenCount& count, std::shared_ptr<const StatisticsFiles>* files) override;
  Failure Read(CounterSet wanted, double* row) override { return ReadRow(wanted, row); }
  Failure Read(CounterSet wanted, int64_t* row) override { return ReadRow(wanted, row); }

 private:
  template <typename Number>
  Failure ReadRow(CounterSet wanted, Number* row);
  // Opens the file, after checking that the process has it open. Returns -1, with errno, on
  // failure.
  int OpenFile();

  const uint32_t pid_;
  const std::string path_;
  // The file system and the inode of the file.
  using Identity = std::array<uint64_t, 3>;
  std::optional<Identity> identity_;
};

// Parses the statistics into a row. Returns 0, EPROTONOSUPPORT, EBADMSG or EOVERFLOW.
template <typename Number>
int ParseTapdiskStatistics(const char* bytes, size_t length, Number* row);

}  // namespace xen_block_stats

#include "vbd_statistics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <utility>

namespace xen_block_stats {
namespace {

constexpr int64_t kBytesPerSector = 512;
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int kMissing = -1;

struct CounterFile {
  const char* name;
  unsigned column;
  bool sectors;  // the next column has the same in bytes
};

constexpr std::array<CounterFile, kCounters> kFiles = {{
    {"rd_req", kColumnRdReq, false},
    {"rd_sect", kColumnRdSectors, true},
    {"wr_req", kColumnWrReq, false},
    {"wr_sect", kColumnWrSectors, true},
    {"f_req", kColumnFlushReq, false},
    {"ds_req", kColumnDiscardReq, false},
    {"oo_req", kColumnOutOfRequests, false},
}};

// The kernel makes the files in the order oo_req, rd_req, wr_req, f_req, ds_req, rd_sect, wr_sect
// (xen_vbdstat_attrs in drivers/block/xen-blkback/xenbus.c) and removes them in the same order.
// Opened the other way round, with the last one there the folder was complete, and with the first
// one there nothing had been removed: then whatever is missing in between is not in this kernel.
constexpr std::array<Counter, kCounters> kOpenOrder = {kWrSect, kRdSect, kDsReq, kFReq,
                                                       kWrReq,  kRdReq,  kOoReq};

int OpenRetrying(int folder, const char* path, int flags) {
  int descriptor;
  do {
    descriptor = openat(folder, path, flags | O_CLOEXEC);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

int ReadCounter(int descriptor, int64_t* value) {
  char text[32];  // a 64-bit number and its newline take 21
  ssize_t length;
  do {
    length = pread(descriptor, text, sizeof(text), 0);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return errno;
  return ParseCounter(text, static_cast<size_t>(length), value);
}

}  // namespace

int ParseCounter(const char* text, size_t length, int64_t* value) {
  constexpr size_t kMostDigits = 19;  // so many always fit in 64 bits; what has more is beyond 2^63
  uint64_t number = 0;
  size_t i = 0;
  for (; i < length && text[i] != '\n'; ++i) {
    const unsigned digit = static_cast<unsigned char>(text[i]) - unsigned{'0'};
    if (digit > 9) return EBADMSG;
    if (i == kMostDigits) return EOVERFLOW;
    number = number * 10 + digit;
  }
  if (i == 0) return EBADMSG;
  if (number > static_cast<uint64_t>(kMax)) return EOVERFLOW;
  *value = static_cast<int64_t>(number);
  return 0;
}

std::string StatisticsFolder(const std::string& devices, uint32_t domid, uint32_t devid) {
  return devices + "/vbd-" + std::to_string(domid) + "-" + std::to_string(devid) + "/statistics";
}

VbdStatistics::VbdStatistics(std::string folder) : folder_(std::move(folder)) {
  descriptors_.fill(kMissing);
}

VbdStatistics::~VbdStatistics() { Close(); }

Failure VbdStatistics::Open() {
  open_ = true;
  const Failure failure = OpenMissing();
  if (failure.error != 0) Close();
  return failure;
}

Failure VbdStatistics::OpenMissing() {
  const int folder = OpenRetrying(AT_FDCWD, folder_.c_str(), O_PATH | O_DIRECTORY);
  if (folder < 0) return {errno, kCounters};

  Failure failure;
  bool any = false;
  for (const Counter counter : kOpenOrder) {
    int& descriptor = descriptors_[counter];
    if (descriptor == kMissing) {
      descriptor = OpenRetrying(folder, kFiles[counter].name, O_RDONLY);
      if (descriptor < 0 && errno != ENOENT) {
        failure = {errno, counter};
        break;
      }
    }
    any = any || descriptor != kMissing;
  }
  close(folder);
  if (failure.error == 0 && !any) failure = {ENOENT, kCounters};
  complete_ =
      descriptors_[kOpenOrder.front()] != kMissing && descriptors_[kOpenOrder.back()] != kMissing;
  return failure;
}

template <typename Number>
Failure VbdStatistics::Read(CounterSet wanted, Number* row) {
  if (!open_) return {EBADF, kCounters};
  if (!complete_) {
    const Failure failure = OpenMissing();
    if (failure.error != 0) return failure;
  }
  for (unsigned counter = 0; counter < kCounters; ++counter) {
    if ((wanted & (1u << counter)) == 0) continue;
    const CounterFile& file = kFiles[counter];
    int64_t value = -1;
    if (descriptors_[counter] != kMissing) {
      const int error = ReadCounter(descriptors_[counter], &value);
      if (error != 0) return {error, counter};
    }
    row[file.column] = static_cast<Number>(value);
    if (file.sectors) {
      if (value > kMax / kBytesPerSector) return {EOVERFLOW, counter};
      row[file.column + 1] = static_cast<Number>(value < 0 ? value : value * kBytesPerSector);
    }
  }
  return {};
}

template Failure VbdStatistics::Read(CounterSet, double*);
template Failure VbdStatistics::Read(CounterSet, int64_t*);

void VbdStatistics::Close() {
  for (int& descriptor : descriptors_) {
    if (descriptor != kMissing) close(descriptor);
    descriptor = kMissing;
  }
  open_ = false;
}

}  // namespace xen_block_stats

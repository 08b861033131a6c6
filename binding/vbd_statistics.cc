#include "vbd_statistics.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

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
// Those two are in every kernel: without them it is not known what is.
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

// Puts a counter into its columns. False if its bytes are beyond 2^63.
template <typename Number>
bool Store(unsigned counter, int64_t value, Number* row) {
  const CounterFile& file = kFiles[counter];
  row[file.column] = static_cast<Number>(value);
  if (!file.sectors) return true;
  if (value > kMax / kBytesPerSector) return false;
  row[file.column + 1] = static_cast<Number>(value < 0 ? value : value * kBytesPerSector);
  return true;
}

}  // namespace

bool IsOutOfDescriptors(int error) { return error == EMFILE || error == ENFILE; }

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

VbdStatistics::VbdStatistics(std::string folder)
    : folder_(std::move(folder)), folder_descriptor_(kMissing) {
  descriptors_.fill(kMissing);
}

VbdStatistics::~VbdStatistics() { Close(); }

Failure VbdStatistics::Open(Holding holding) {
  Close();
  identity_.reset();
  seen_ = 0;
  open_ = true;
  const Failure failure = Hold(holding);
  if (failure.error != 0) Close();
  return failure;
}

Failure VbdStatistics::Hold(Holding holding) {
  // Files are looked up in a folder that is held, not by its name again.
  int folder = folder_descriptor_;
  Failure failure;
  if (folder == kMissing) failure = OpenFolder(&folder);
  if (failure.error == 0 && holding == Holding::kFiles) {
    failure = OpenMissing(folder);
    if (failure.error == 0 && seen_ == 0) failure = {ENOENT, kCounters};
  }
  if (IsOutOfDescriptors(failure.error)) {
    holding = holding_;
  } else if (failure.error != 0) {
    if (folder != kMissing && folder != folder_descriptor_) close(folder);
    Close();
    return failure;
  }
  holding_ = holding;
  if (holding != Holding::kFiles) CloseFiles();
  if (holding != Holding::kFolder) {
    if (folder != kMissing) close(folder);
    folder = kMissing;
  }
  folder_descriptor_ = folder;
  return failure;
}

Failure VbdStatistics::OpenFolder(int* folder) {
  *folder = OpenRetrying(AT_FDCWD, folder_.c_str(), O_PATH | O_DIRECTORY);
  if (*folder < 0) {
    *folder = kMissing;
    return {errno, kCounters};
  }
  struct statx status;  // fstat would need glibc 2.33
  int error = statx(*folder, "", AT_EMPTY_PATH, STATX_INO, &status) == 0 ? 0 : errno;
  if (error == 0) {
    const Identity identity{status.stx_dev_major, status.stx_dev_minor, status.stx_ino};
    if (identity_.has_value() && *identity_ != identity) error = ENODEV;
    identity_ = identity;
  }
  if (error == 0) return {};
  close(*folder);
  *folder = kMissing;
  return {error, kCounters};
}

Failure VbdStatistics::OpenMissing(int folder) {
  Failure failure;
  for (const Counter counter : kOpenOrder) {
    int& descriptor = descriptors_[counter];
    if (descriptor != kMissing) continue;
    descriptor = OpenRetrying(folder, kFiles[counter].name, O_RDONLY);
    if (descriptor >= 0) {
      seen_ |= 1u << counter;
    } else if (errno != ENOENT) {
      failure = {errno, counter};
      break;
    }
  }
  complete_ =
      descriptors_[kOpenOrder.front()] != kMissing && descriptors_[kOpenOrder.back()] != kMissing;
  return failure;
}

template <typename Number>
Failure VbdStatistics::Read(CounterSet wanted, Number* row) {
  if (!open_) return {EBADF, kCounters};
  return holding_ == Holding::kFiles ? ReadHeld(wanted, row) : ReadBriefly(wanted, row);
}

template Failure VbdStatistics::Read(CounterSet, double*);
template Failure VbdStatistics::Read(CounterSet, int64_t*);

template <typename Number>
Failure VbdStatistics::ReadHeld(CounterSet wanted, Number* row) {
  if (!complete_) {
    const Failure failure = Hold(Holding::kFiles);
    // Without a descriptor to look for the rest, what is there can still be read.
    if (failure.error != 0 && !IsOutOfDescriptors(failure.error)) return failure;
  }
  for (unsigned counter = 0; counter < kCounters; ++counter) {
    if ((wanted & (1u << counter)) == 0) continue;
    int64_t value = -1;
    if (descriptors_[counter] != kMissing) {
      const int error = ReadCounter(descriptors_[counter], &value);
      if (error != 0) return {error, counter};
    } else if (!complete_) {
      return {ENOENT, counter};
    }
    if (!Store(counter, value, row)) return {EOVERFLOW, counter};
  }
  return {};
}

// One file after the other, each opened and closed: it takes no more than two descriptors.
template <typename Number>
Failure VbdStatistics::ReadBriefly(CounterSet wanted, Number* row) {
  for (unsigned counter = 0; counter < kCounters; ++counter) {
    if ((wanted & (1u << counter)) != 0) Store(counter, -1, row);
  }
  int folder = folder_descriptor_;
  Failure failure;
  if (folder == kMissing) failure = OpenFolder(&folder);
  if (failure.error != 0) return failure;
  failure = VisitFiles(folder, wanted, [row](Counter counter, int descriptor) {
    int64_t value = -1;
    const int error = ReadCounter(descriptor, &value);
    if (error != 0) return error;
    return Store(counter, value, row) ? 0 : EOVERFLOW;
  });
  if (folder != folder_descriptor_) close(folder);
  if (failure.error == 0 && seen_ == 0) failure = {ENOENT, kCounters};
  return failure;
}

// Opens each of the files, has it visited, and closes it. One that is not there is passed over,
// unless it has been there, or is in every kernel: then the device is coming or going.
template <typename Visitor>
Failure VbdStatistics::VisitFiles(int folder, CounterSet wanted, Visitor visit) {
  for (const Counter counter : kOpenOrder) {
    if ((wanted & (1u << counter)) == 0) continue;
    const int descriptor = OpenRetrying(folder, kFiles[counter].name, O_RDONLY);
    int error = 0;
    if (descriptor >= 0) {
      seen_ |= 1u << counter;
      error = visit(counter, descriptor);
      close(descriptor);
    } else if (errno != ENOENT || (seen_ & (1u << counter)) != 0 || counter == kOpenOrder.front() ||
               counter == kOpenOrder.back()) {
      error = errno;
    }
    if (error != 0) return {error, counter};
  }
  return {};
}

void VbdStatistics::CloseFiles() {
  for (int& descriptor : descriptors_) {
    if (descriptor != kMissing) close(descriptor);
    descriptor = kMissing;
  }
}

void VbdStatistics::Close() {
  CloseFiles();
  if (folder_descriptor_ != kMissing) close(folder_descriptor_);
  folder_descriptor_ = kMissing;
  holding_ = Holding::kNothing;
  open_ = false;
}

}  // namespace xen_block_stats

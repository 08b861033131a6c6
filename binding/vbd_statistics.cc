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

// A counter's file, and the column that its number goes to.
struct CounterFile {
  const char* name;
  unsigned column;
  bool sectors;  // the next column holds the bytes of these sectors
};

// In the order of Counter.
constexpr std::array<CounterFile, kCounters> kFiles = {{
    {"rd_req", kColumnRdReq, false},
    {"rd_sect", kColumnRdSectors, true},
    {"wr_req", kColumnWrReq, false},
    {"wr_sect", kColumnWrSectors, true},
    {"f_req", kColumnFlushReq, false},
    {"ds_req", kColumnDiscardReq, false},
    {"oo_req", kColumnOoReq, false},
}};

// The kernel makes the files in the order oo_req, rd_req, wr_req, f_req, ds_req, rd_sect, wr_sect
// (xen_vbdstat_attrs in drivers/block/xen-blkback/xenbus.c) and removes them in the same order.
// They are opened in the reverse order. If wr_sect exists, the kernel has made all files. If oo_req
// still exists after that, the kernel has removed none. A file that is missing in between is not in
// this kernel then. Every kernel has these two files: while one is missing, the directory is
// incomplete.
constexpr std::array<Counter, kCounters> kOpenOrder = {kWrSect, kRdSect, kDsReq, kFReq,
                                                       kWrReq,  kRdReq,  kOoReq};

// Opens a file or a directory without blocking, which a FIFO otherwise would. Retries after a
// signal. Returns -1, with errno, on failure.
int OpenRetrying(int directory, const char* path, int flags) {
  int descriptor;
  do {
    descriptor = openat(directory, path, flags | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

// Reads a counter's file. Returns 0 or an errno.
int ReadCounter(int descriptor, int64_t* value) {
  char text[32];  // a 64-bit number and its newline take 21 bytes
  ssize_t length;
  do {
    length = pread(descriptor, text, sizeof(text), 0);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return errno;
  return ParseCounter(text, static_cast<size_t>(length), value);
}

// Sets the columns that blkback does not count.
template <typename Number>
void ClearUncounted(Number* row) {
  row[kColumnRdTimeNs] = row[kColumnWrTimeNs] = row[kColumnIoErrors] = -1;
}

// Writes a counter into its columns. Returns false if its bytes are not below 2^63.
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

CounterSet CountersOf(ColumnSet columns) {
  CounterSet counters = 0;
  for (unsigned counter = 0; counter < kCounters; ++counter) {
    const unsigned bit = 1u << kFiles[counter].column;
    const unsigned filled = kFiles[counter].sectors ? bit | bit << 1 : bit;
    if ((columns & filled) != 0) counters |= 1u << counter;
  }
  // One counter is read in any case, so that a removed disk is noticed.
  return counters == 0 ? 1u << kRdReq : counters;
}

std::array<const char*, kCounters> CounterFiles() {
  std::array<const char*, kCounters> names;
  for (unsigned counter = 0; counter < kCounters; ++counter) names[counter] = kFiles[counter].name;
  return names;
}

int ParseCounter(const char* text, size_t length, int64_t* value) {
  constexpr size_t kMaxDigits = 19;  // 19 digits always fit in 64 bits, and 20 are beyond 2^63
  uint64_t number = 0;
  size_t i = 0;
  for (; i < length && text[i] != '\n'; ++i) {
    const unsigned digit = static_cast<unsigned char>(text[i]) - unsigned{'0'};
    if (digit > 9) return EBADMSG;
    if (i == kMaxDigits) return EOVERFLOW;
    number = number * 10 + digit;
  }
  if (i == 0) return EBADMSG;
  if (number > static_cast<uint64_t>(kMax)) return EOVERFLOW;
  *value = static_cast<int64_t>(number);
  return 0;
}

std::string StatisticsDirectory(const std::string& devices, uint32_t domid, uint32_t devid) {
  return devices + "/vbd-" + std::to_string(domid) + "-" + std::to_string(devid) + "/statistics";
}

VbdFiles::VbdFiles(const std::array<int, kCounters>& descriptors, OpenCount count)
    : descriptors_(descriptors), count_(std::move(count)) {
  for (const int descriptor : descriptors_) *count_ += descriptor != kMissing;
}

VbdFiles::~VbdFiles() {
  for (const int descriptor : descriptors_) {
    if (descriptor == kMissing) continue;
    close(descriptor);
    --*count_;
  }
}

template <typename Number>
Failure VbdFiles::ReadRow(CounterSet wanted, Number* row) const {
  ClearUncounted(row);
  for (unsigned counter = 0; counter < kCounters; ++counter) {
    if ((wanted & (1u << counter)) == 0) continue;
    int64_t value = -1;
    if (descriptors_[counter] != kMissing) {
      const int error = ReadCounter(descriptors_[counter], &value);
      if (error != 0) return {error, counter};
    } else if (!is_complete()) {
      return {ENOENT, counter};
    }
    if (!Store(counter, value, row)) return {EOVERFLOW, counter};
  }
  return {};
}

template Failure VbdFiles::ReadRow(CounterSet, double*) const;
template Failure VbdFiles::ReadRow(CounterSet, int64_t*) const;

bool VbdFiles::is_complete() const {
  return descriptors_[kOpenOrder.front()] != kMissing &&
         descriptors_[kOpenOrder.back()] != kMissing;
}

Failure VbdDirectory::Check() {
  int directory;
  const Failure failure = Open(&directory);
  if (failure.error == 0) close(directory);
  return failure;
}

Failure VbdDirectory::OpenFiles(const OpenCount& count,
                                std::shared_ptr<const StatisticsFiles>* files) {
  int directory;
  Failure failure = Open(&directory);
  if (failure.error != 0) return failure;
  std::array<int, kCounters> descriptors;
  descriptors.fill(kMissing);
  for (const Counter counter : kOpenOrder) {
    const int descriptor = OpenRetrying(directory, kFiles[counter].name, O_RDONLY);
    if (descriptor >= 0) {
      descriptors[counter] = descriptor;
      seen_ |= 1u << counter;
    } else if (errno != ENOENT) {
      failure = {errno, counter};
      break;
    }
  }
  close(directory);
  const auto opened = std::make_shared<const VbdFiles>(descriptors, count);
  if (failure.error == 0 && seen_ == 0) failure = {ENOENT, kCounters};
  if (failure.error == 0) *files = opened;
  return failure;
}

template <typename Number>
Failure VbdDirectory::ReadRow(CounterSet wanted, Number* row) {
  ClearUncounted(row);
  int directory;
  Failure failure = Open(&directory);
  if (failure.error != 0) return failure;
  failure = ReadFiles(directory, wanted, row);
  close(directory);
  if (failure.error == 0 && seen_ == 0) failure = {ENOENT, kCounters};
  return failure;
}

template Failure VbdDirectory::ReadRow(CounterSet, double*);
template Failure VbdDirectory::ReadRow(CounterSet, int64_t*);

Failure VbdDirectory::Open(int* directory) {
  *directory = OpenRetrying(AT_FDCWD, path_.c_str(), O_PATH | O_DIRECTORY);
  if (*directory < 0) return {errno, kCounters};
  FileIdentity identity;
  int error = IdentifyFile(*directory, &identity);
  if (error == 0 && identity_.value_or(identity) != identity) error = ENODEV;
  if (error == 0) identity_ = identity;
  if (error == 0) return {};
  close(*directory);
  return {error, kCounters};
}

template <typename Number>
Failure VbdDirectory::ReadFiles(int directory, CounterSet wanted, Number* row) {
  for (const Counter counter : kOpenOrder) {
    if ((wanted & (1u << counter)) == 0) continue;
    const int descriptor = OpenRetrying(directory, kFiles[counter].name, O_RDONLY);
    int error = 0;
    int64_t value = -1;
    if (descriptor >= 0) {
      seen_ |= 1u << counter;
      error = ReadCounter(descriptor, &value);
      close(descriptor);
    } else if (errno != ENOENT || (seen_ & (1u << counter)) != 0 || counter == kOpenOrder.front() ||
               counter == kOpenOrder.back()) {
      error = errno;
    }
    if (error != 0) return {error, counter};
    if (!Store(counter, value, row)) return {EOVERFLOW, counter};
  }
  return {};
}

}  // namespace xen_block_stats

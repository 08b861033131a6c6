#include "tapdisk_statistics.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "statx.h"

namespace xen_block_stats {
namespace {

constexpr uint64_t kBytesPerSector = 512;
constexpr uint64_t kNanosecondsPerTick = 1000;
constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
constexpr uint32_t kVersion = 1;

// The beginning of the file (td_metrics_t in tapdisk's sources), in the byte order of the machine.
struct Layout {
  uint32_t version;
  uint32_t padding;
  uint64_t oo_reqs;  // not counted any more
  uint64_t read_reqs_submitted;
  uint64_t read_reqs_completed;
  uint64_t read_sectors;      // of 512 bytes
  uint64_t read_total_ticks;  // microseconds
  uint64_t write_reqs_submitted;
  uint64_t write_reqs_completed;  // without flushes, which are submitted as writes
  uint64_t write_sectors;
  uint64_t write_total_ticks;
  uint64_t io_errors;
  uint64_t flags;
};
static_assert(sizeof(Layout) == 96, "tapdisk's layout has no other padding");

// Writes a number into a column. Returns false if it is not below 2^63.
template <typename Number>
bool Store(uint64_t value, uint64_t unit, unsigned column, Number* row) {
  if (value > kMax / unit) return false;
  row[column] = static_cast<Number>(static_cast<int64_t>(value * unit));
  return true;
}

std::string ProcessPath(uint32_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

// Opens a descriptor that tells when the process has ended, also if another one gets its pid: a
// pidfd, or a file of its /proc directory before Linux 5.3 (ENOSYS) and where a filter of system
// calls does not know pidfd_open (EPERM). Returns -1, with errno, on failure.
int HoldProcess(uint32_t pid) {
  const long descriptor = syscall(SYS_pidfd_open, pid, 0);
  const bool is_missing = descriptor < 0 && (errno == ENOSYS || errno == EPERM);
  if (!is_missing) return static_cast<int>(descriptor);
  const int file = open(ProcessPath(pid, "cmdline").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) errno = ESRCH;
  return file;
}

// Returns whether the process of HoldProcess() has ended.
bool HasEnded(int process) {
  pollfd waiting{process, POLLIN, 0};
  if (poll(&waiting, 1, 0) <= 0) return false;
  // A pidfd cannot be read. A file of /proc is always readable, and empty once the process has
  // ended.
  char byte;
  return pread(process, &byte, 1, 0) != 1;
}

// Returns the file system and the inode of a file. Returns false, with errno, on failure. Does not
// ask the server of a network file system, which may hang: tapdisk's images may be there.
bool Identify(int directory, const char* path, int flags, struct statx* status) {
  constexpr unsigned kFields = STATX_TYPE | STATX_INO | STATX_NLINK;
  return Statx(directory, path, flags | AT_STATX_DONT_SYNC, kFields, status) == 0;
}

bool IsSameFile(const struct statx& a, const struct statx& b) {
  return a.stx_ino == b.stx_ino && a.stx_dev_major == b.stx_dev_major &&
         a.stx_dev_minor == b.stx_dev_minor;
}

// Returns 0 if the process has this file open, EBADF if not, or another errno.
int CheckIsOpenIn(uint32_t pid, const struct statx& file) {
  DIR* directory = opendir(ProcessPath(pid, "fd").c_str());
  if (directory == nullptr) return errno == ENOENT ? ESRCH : errno;
  bool is_open = false;
  while (!is_open) {
    const dirent* entry = readdir(directory);
    if (entry == nullptr) break;
    struct statx other;
    is_open = Identify(dirfd(directory), entry->d_name, 0, &other) && IsSameFile(file, other);
  }
  closedir(directory);
  return is_open ? 0 : EBADF;
}

}  // namespace

template <typename Number>
int ParseTapdiskStatistics(const char* bytes, size_t length, Number* row) {
  Layout layout;
  if (length < sizeof(layout)) return EBADMSG;
  std::memcpy(&layout, bytes, sizeof(layout));
  if (layout.version != kVersion) return EPROTONOSUPPORT;
  row[kColumnFlushReq] = row[kColumnDiscardReq] = row[kColumnOoReq] = -1;
  const bool is_in_range =
      Store(layout.read_reqs_submitted, 1, kColumnRdReq, row) &&
      Store(layout.read_sectors, 1, kColumnRdSectors, row) &&
      Store(layout.read_sectors, kBytesPerSector, kColumnRdBytes, row) &&
      Store(layout.write_reqs_submitted, 1, kColumnWrReq, row) &&
      Store(layout.write_sectors, 1, kColumnWrSectors, row) &&
      Store(layout.write_sectors, kBytesPerSector, kColumnWrBytes, row) &&
      Store(layout.read_total_ticks, kNanosecondsPerTick, kColumnRdTimeNs, row) &&
      Store(layout.write_total_ticks, kNanosecondsPerTick, kColumnWrTimeNs, row) &&
      Store(layout.io_errors, 1, kColumnIoErrors, row);
  return is_in_range ? 0 : EOVERFLOW;
}

template int ParseTapdiskStatistics(const char*, size_t, double*);
template int ParseTapdiskStatistics(const char*, size_t, int64_t*);

TapdiskFile::TapdiskFile(int file, int process, OpenCount count)
    : file_(file), process_(process), count_(std::move(count)) {
  *count_ += 2;
}

TapdiskFile::~TapdiskFile() {
  close(file_);
  close(process_);
  *count_ -= 2;
}

template <typename Number>
Failure TapdiskFile::ReadRow(Number* row) const {
  char bytes[sizeof(Layout)];
  ssize_t length;
  do {
    length = pread(file_, bytes, sizeof(bytes), 0);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return {errno, kCounters};
  // What was read is true if file and process are still there afterwards.
  struct statx status;
  if (!Identify(file_, "", AT_EMPTY_PATH, &status)) return {errno, kCounters};
  if (status.stx_nlink == 0) return {ESTALE, kCounters};
  if (HasEnded(process_)) return {ESRCH, kCounters};
  return {ParseTapdiskStatistics(bytes, static_cast<size_t>(length), row), kCounters};
}

TapdiskSource::TapdiskSource(const std::string& shm, uint32_t pid, uint32_t domid, uint32_t devid)
    : pid_(pid),
      path_(shm + "/td3-" + std::to_string(pid) + "/vbd-" + std::to_string(domid) + "-" +
            std::to_string(devid)) {}

Failure TapdiskSource::Check() {
  std::array<double, kColumns> unused;
  return Read(kAllCounters, unused.data());
}

Failure TapdiskSource::OpenFiles(const OpenCount& count,
                                 std::shared_ptr<const StatisticsFiles>* files) {
  // Held first: what is checked afterwards is true of this process, and not of one before it.
  const int process = HoldProcess(pid_);
  // No process can have a pid out of its range.
  if (process < 0) return {errno == EINVAL ? ESRCH : errno, kCounters};
  const int file = OpenFile();
  if (file < 0) {
    const int error = errno;
    close(process);
    return {error, kCounters};
  }
  auto opened = std::make_shared<const TapdiskFile>(file, process, count);
  std::array<double, kColumns> unused;
  const Failure failure = opened->Read(kAllCounters, unused.data());
  if (failure.error == 0) *files = std::move(opened);
  return failure;
}

template <typename Number>
Failure TapdiskSource::ReadRow(CounterSet wanted, Number* row) {
  std::shared_ptr<const StatisticsFiles> files;
  const Failure failure = OpenFiles(std::make_shared<std::atomic<size_t>>(0), &files);
  return failure.error != 0 ? failure : files->Read(wanted, row);
}

int TapdiskSource::OpenFile() {
  struct statx status;
  if (!Identify(AT_FDCWD, path_.c_str(), AT_SYMLINK_NOFOLLOW, &status)) return -1;
  int error = S_ISREG(status.stx_mode) ? CheckIsOpenIn(pid_, status) : EBADMSG;
  const Identity identity{status.stx_dev_major, status.stx_dev_minor, status.stx_ino};
  if (error == 0 && identity_.value_or(identity) != identity) error = ESTALE;
  if (error != 0) {
    errno = error;
    return -1;
  }
  const int file = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return -1;
  struct statx opened;
  if (!Identify(file, "", AT_EMPTY_PATH, &opened) || !IsSameFile(status, opened)) {
    close(file);
    errno = ESTALE;
    return -1;
  }
  identity_ = identity;
  return file;
}

}  // namespace xen_block_stats

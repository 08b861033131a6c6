#include "backing_statistics.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "vbd_statistics.h"

namespace xen_block_stats {
namespace {

constexpr int kNoDescriptor = -1;

// Numbers of a line: see Linux's Documentation/block/stat.rst.
constexpr size_t kFirstFields = 11;  // of every kernel
constexpr size_t kFields = 17;       // of Linux 5.5 and later

// The length of a line: 17 numbers of at most 20 digits take 357 bytes.
constexpr size_t kMaxLine = 512;

// A column, and the position of its number in the line.
struct Field {
  const char* name;
  size_t position;
};

// In the order of BackingColumn. The numbers between them are merges, sectors and discards.
constexpr std::array<Field, kBackingColumns> kFieldsOfColumns = {{
    {"rdIos", 0},
    {"rdTimeMs", 3},
    {"wrIos", 4},
    {"wrTimeMs", 7},
    {"flIos", 15},
    {"flTimeMs", 16},
    {"inFlight", 8},
    {"ioTimeMs", 9},
    {"queueTimeMs", 10},
}};

// Reads the file of an open device. Returns 0 or an errno.
int ReadStatistics(int descriptor, BackingRow* row) {
  char text[kMaxLine];
  ssize_t length;
  do {
    length = pread(descriptor, text, sizeof(text), 0);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return errno;
  return ParseBackingStatistics(text, static_cast<size_t>(length), row);
}

}  // namespace

std::array<const char*, kBackingColumns> BackingColumnNames() {
  std::array<const char*, kBackingColumns> names;
  for (unsigned i = 0; i < kBackingColumns; ++i) names[i] = kFieldsOfColumns[i].name;
  return names;
}

int ParseBackingStatistics(const char* text, size_t length, BackingRow* row) {
  std::array<int64_t, kFields> numbers;
  size_t count = 0;
  const char* const end = std::find(text, text + length, '\n');
  for (const char* begin = text; count < kFields; ++count) {
    begin = std::find_if(begin, end, [](char c) { return c != ' '; });
    if (begin == end) break;
    const char* const number_end = std::find(begin, end, ' ');
    const auto digits = static_cast<size_t>(number_end - begin);
    const int error = ParseCounter(begin, digits, &numbers[count]);
    if (error != 0) return error;
    begin = number_end;
  }
  if (count < kFirstFields) return EBADMSG;
  std::fill(numbers.begin() + count, numbers.end(), -1);
  for (unsigned i = 0; i < kBackingColumns; ++i) {
    (*row)[i] = static_cast<double>(numbers[kFieldsOfColumns[i].position]);
  }
  return 0;
}

BackingDevice::BackingDevice(std::shared_ptr<VbdPool> pool, std::string path)
    : pool_(std::move(pool)), path_(std::move(path)) {}

int BackingDevice::Read(BackingRow* row) {
  if (error_ != 0) return error_;
  int error = 0;
  if (descriptor_ == kNoDescriptor && pool_->HasRoom(1)) error = Hold();
  if (error == 0 || IsOutOfDescriptors(error)) {
    error = descriptor_ != kNoDescriptor
                ? ReadStatistics(descriptor_, row)
                : pool_->WithReserve([&] { return Failure{OpenAndRead(row)}; }).error;
  }
  if (error != 0 && !IsOutOfDescriptors(error)) CloseWith(error);
  return error;
}

int BackingDevice::Open(int* descriptor) {
  *descriptor = OpenForReading(path_.c_str());
  if (*descriptor < 0) return errno;
  FileIdentity identity;
  int error = IdentifyFile(*descriptor, &identity);
  if (error == 0 && identity_.value_or(identity) != identity) error = ENODEV;
  if (error != 0) {
    close(*descriptor);
    return error;
  }
  identity_ = identity;
  return 0;
}

int BackingDevice::Hold() {
  int descriptor;
  const int error = Open(&descriptor);
  if (error != 0) return error;
  descriptor_ = descriptor;
  ++*pool_->open_files();
  return 0;
}

int BackingDevice::OpenAndRead(BackingRow* row) {
  int descriptor;
  int error = Open(&descriptor);
  if (error != 0) return error;
  error = ReadStatistics(descriptor, row);
  close(descriptor);
  return error;
}

void BackingDevice::CloseWith(int error) {
  error_ = error;
  if (descriptor_ == kNoDescriptor) return;
  close(descriptor_);
  descriptor_ = kNoDescriptor;
  --*pool_->open_files();
}

}  // namespace xen_block_stats

// Checks the result of ParseBackingStatistics(), and of BackingDevice::Read() on a file, for any
// text of a block device's file `stat`. Input: the text.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../../binding/backing_statistics.h"
#include "require.h"

using namespace xen_block_stats;

namespace {

// The positions of the columns' numbers in the line, as Linux's Documentation/block/stat.rst has
// them.
constexpr std::array<size_t, kBackingColumns> kPositions = {0, 3, 4, 7, 15, 16, 8, 9, 10};
constexpr size_t kFields = 17;
constexpr size_t kFirstFields = 11;

// The number of bytes that are read of a file.
constexpr size_t kMaxLine = 512;

struct Expected {
  int error;
  BackingRow row;
};

// Returns the row or the errno that a text must give, by the C++ library's own conversion.
Expected Expect(std::string_view text) {
  const std::string line(text.substr(0, text.find('\n')));
  std::vector<double> numbers;
  for (size_t at = 0; numbers.size() < kFields;) {
    at = line.find_first_not_of(' ', at);
    if (at == std::string::npos) break;
    const std::string word = line.substr(at, line.find(' ', at) - at);
    const size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
    if (digits > 19) return {EOVERFLOW, {}};
    if (digits != word.size()) return {EBADMSG, {}};
    const unsigned long long number = std::stoull(word);
    if (number >> 63 != 0) return {EOVERFLOW, {}};
    numbers.push_back(static_cast<double>(static_cast<int64_t>(number)));
    at += word.size();
  }
  if (numbers.size() < kFirstFields) return {EBADMSG, {}};
  numbers.resize(kFields, -1);
  Expected expected{0, {}};
  for (unsigned i = 0; i < kBackingColumns; ++i) expected.row[i] = numbers[kPositions[i]];
  return expected;
}

void Check(int error, const BackingRow& row, const Expected& expected) {
  Require(error == expected.error, "a text is accepted, or refused with the expected errno");
  Require(error != 0 || row == expected.row, "a text gives its numbers");
}

// A file with the text of a device, which is removed at the end.
class File {
 public:
  File() : path_(std::filesystem::temp_directory_path() / "backing-XXXXXX") {
    descriptor_ = mkstemp(path_.data());
    Require(descriptor_ >= 0, "a file can be created");
  }
  ~File() {
    close(descriptor_);
    unlink(path_.c_str());
  }

  void Write(std::string_view text) {
    const bool written =
        ftruncate(descriptor_, 0) == 0 &&
        pwrite(descriptor_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
    Require(written, "a file can be written");
  }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int descriptor_;
};

std::shared_ptr<VbdPool> MakePool(size_t max_open_files) {
  return std::make_shared<VbdPool>("/nonexistent", "/nonexistent", max_open_files);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  {
    // exactly as long as the text, so that AddressSanitizer detects a read beyond it
    const auto copy = std::make_unique<char[]>(size);
    std::copy(text.begin(), text.end(), copy.get());
    BackingRow row;
    Check(ParseBackingStatistics(copy.get(), size, &row), row, Expect(text));
  }

  static File file;
  static const auto held = MakePool(DescriptorReserve::kSize + 1);
  static const auto full = MakePool(0);
  file.Write(text);
  for (const auto& pool : {held, full}) {
    {
      BackingDevice device(pool, file.path());
      for (int i = 0; i < 2; ++i) {
        BackingRow row;
        Check(device.Read(&row), row, Expect(text.substr(0, kMaxLine)));
      }
    }
    Require(*pool->open_files() == 0, "no file stays open");
  }
  return 0;
}

// Checks the results of ParseCounter(), VbdFiles::Read() and VbdDirectory::Read() for any content
// of a vbd's files. Input: the content of the files, in the order of Counter, each ended by a |.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "../../binding/vbd_statistics.h"
#include "require.h"

using namespace xen_block_stats;

namespace {

constexpr std::array<const char*, kCounters> kNames = {"rd_req", "rd_sect", "wr_req", "wr_sect",
                                                       "f_req",  "ds_req",  "oo_req"};
constexpr std::array<Column, kCounters> kColumn = {
    kColumnRdReq,    kColumnRdSectors,  kColumnWrReq, kColumnWrSectors,
    kColumnFlushReq, kColumnDiscardReq, kColumnOoReq};

struct Number {
  int error;
  int64_t value;
};

// Returns the number or the errno that a text must give, by the C++ library's own conversion.
Number Expect(std::string_view text) {
  const std::string digits(text.substr(0, text.find_first_not_of("0123456789")));
  if (digits.size() > 19) return {EOVERFLOW, 0};
  const bool ended = digits.size() == text.size() || text[digits.size()] == '\n';
  if (digits.empty() || !ended) return {EBADMSG, 0};
  const unsigned long long value = std::stoull(digits);
  if (value >> 63 != 0) return {EOVERFLOW, 0};
  return {0, static_cast<int64_t>(value)};
}

// A statistics directory with the files of a vbd.
class Directory {
 public:
  Directory() {
    path_ = std::filesystem::temp_directory_path() / "counter-XXXXXX";
    Require(mkdtemp(path_.data()) != nullptr, "a temporary directory can be created");
    for (unsigned i = 0; i < kCounters; ++i) {
      files_[i] = open((path_ + "/" + kNames[i]).c_str(), O_WRONLY | O_CREAT, 0644);
      Require(files_[i] >= 0, "a file can be created");
    }
  }
  ~Directory() {
    for (unsigned i = 0; i < kCounters; ++i) {
      close(files_[i]);
      unlink((path_ + "/" + kNames[i]).c_str());
    }
    rmdir(path_.c_str());
  }

  void Write(unsigned counter, std::string_view text) {
    const bool written =
        ftruncate(files_[counter], 0) == 0 &&
        pwrite(files_[counter], text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
    Require(written, "a file can be written");
  }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::array<int, kCounters> files_;
};

// Returns what a read of a counter's file must give. Sectors must be below 2^63 in bytes, too.
Number ExpectCounter(unsigned counter, std::string_view text) {
  Number number = Expect(text);
  int64_t bytes;
  const bool sectors = counter == kRdSect || counter == kWrSect;
  if (sectors && __builtin_mul_overflow(number.value, int64_t{512}, &bytes)) {
    number.error = EOVERFLOW;
  }
  return number;
}

// vbd: the StatisticsFiles of a VbdDirectory, or the VbdDirectory.
template <typename T, typename Vbd>
void CheckRead(Vbd* vbd, CounterSet wanted, const std::array<std::string_view, kCounters>& texts) {
  constexpr T kUntouched = -77;  // stays in columns that are not requested
  std::array<T, kColumns> expected, row;
  expected.fill(kUntouched);
  row.fill(kUntouched);
  // blkback does not count these
  expected[kColumnRdTimeNs] = expected[kColumnWrTimeNs] = expected[kColumnIoErrors] = -1;
  bool fails = false;
  for (unsigned i = 0; i < kCounters; ++i) {
    if ((wanted >> i & 1) == 0) continue;
    const Number number = ExpectCounter(i, texts[i]);
    fails = fails || number.error != 0;
    expected[kColumn[i]] = static_cast<T>(number.value);
    const bool sectors = i == kRdSect || i == kWrSect;
    if (sectors && number.error == 0) expected[kColumn[i] + 1] = static_cast<T>(number.value * 512);
  }

  const Failure failure = vbd->Read(wanted, row.data());
  Require((failure.error != 0) == fails, "a read fails if, and only if, a file is invalid");
  if (!fails) {
    Require(row == expected, "a read writes the numbers of the files into the wanted columns only");
  } else {
    Require(failure.counter < kCounters && (wanted >> failure.counter & 1) != 0 &&
                failure.error == ExpectCounter(failure.counter, texts[failure.counter]).error,
            "a failure names an invalid file and its errno");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::array<std::string_view, kCounters> texts;
  for (std::string_view& text : texts) {
    text = rest.substr(0, rest.find('|'));
    rest.remove_prefix(std::min(rest.size(), text.size() + 1));
  }

  for (const std::string_view text : texts) {
    // exactly as long as the text, so that AddressSanitizer detects a read beyond it
    const auto copy = std::make_unique<char[]>(text.size());
    std::copy(text.begin(), text.end(), copy.get());
    const Number expected = Expect(text);
    int64_t value = 0;
    Require(ParseCounter(copy.get(), text.size(), &value) == expected.error,
            "a text is accepted, or refused with the expected errno");
    Require(expected.error != 0 || value == expected.value, "a text gives its number");
  }

  static Directory directory;
  for (unsigned i = 0; i < kCounters; ++i) directory.Write(i, texts[i]);
  static VbdDirectory vbd(directory.path());
  static const OpenCount count = std::make_shared<std::atomic<size_t>>(0);
  Require(vbd.Check().error == 0, "the directory can be opened");
  {
    std::shared_ptr<const StatisticsFiles> files;
    Require(vbd.OpenFiles(count, &files).error == 0, "its files can be opened");
    Require(*count == kCounters && files->is_complete(), "every file is open");
    for (const CounterSet wanted : {kAllCounters, static_cast<CounterSet>(size) & kAllCounters}) {
      CheckRead<int64_t>(files.get(), wanted, texts);
      CheckRead<double>(files.get(), wanted, texts);
      CheckRead<int64_t>(&vbd, wanted, texts);
      CheckRead<double>(&vbd, wanted, texts);
    }
  }
  Require(*count == 0, "no file stays open");
  return 0;
}

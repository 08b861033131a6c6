// Checks the result of ParseTapdiskStatistics() for any content of a tapdisk's file. Input: the
// content.

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>

#include "../../binding/tapdisk_statistics.h"
#include "require.h"

using namespace xen_block_stats;

namespace {

constexpr size_t kLength = 96;

// A column, where its number is in the file, and the unit of that number.
struct Field {
  Column column;
  size_t offset;
  uint64_t unit;
};

// As td_metrics_t in tapdisk's sources has them.
constexpr Field kFields[] = {
    {kColumnRdReq, 16, 1},       {kColumnRdSectors, 32, 1},   {kColumnRdBytes, 32, 512},
    {kColumnRdTimeNs, 40, 1000}, {kColumnWrReq, 48, 1},       {kColumnWrSectors, 64, 1},
    {kColumnWrBytes, 64, 512},   {kColumnWrTimeNs, 72, 1000}, {kColumnIoErrors, 80, 1},
};
constexpr Column kUncounted[] = {kColumnFlushReq, kColumnDiscardReq, kColumnOoReq};

template <typename Number>
Number NumberAt(const char* bytes, size_t offset) {
  Number number;
  std::memcpy(&number, bytes + offset, sizeof(number));
  return number;
}

// Returns the errno that the content must give.
int ExpectedError(const char* bytes, size_t size) {
  if (size < kLength) return EBADMSG;
  if (NumberAt<uint32_t>(bytes, 0) != 1) return EPROTONOSUPPORT;
  for (const Field& field : kFields) {
    int64_t product;
    if (__builtin_mul_overflow(NumberAt<uint64_t>(bytes, field.offset), field.unit, &product)) {
      return EOVERFLOW;
    }
  }
  return 0;
}

template <typename Number>
void CheckParse(const char* bytes, size_t size) {
  constexpr Number kUnset = -77;
  // exactly as long as a row, so that AddressSanitizer detects a write beyond it
  const auto row = std::make_unique<Number[]>(kColumns);
  for (unsigned i = 0; i < kColumns; ++i) row[i] = kUnset;
  const int expected = ExpectedError(bytes, size);
  Require(ParseTapdiskStatistics(bytes, size, row.get()) == expected,
          "a content is accepted, or refused with the expected errno");
  if (expected != 0) return;
  for (const Field& field : kFields) {
    const uint64_t number = NumberAt<uint64_t>(bytes, field.offset) * field.unit;
    Require(row[field.column] == static_cast<Number>(number), "a field is in its column");
  }
  for (const Column column : kUncounted) {
    Require(row[column] == -1, "what tapdisk does not count is -1");
  }
  static_assert(std::size(kFields) + std::size(kUncounted) == kColumns, "every column is checked");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // exactly as long as the input, and at an odd address
  const auto copy = std::make_unique<char[]>(size + 1);
  std::copy(data, data + size, copy.get() + 1);
  CheckParse<int64_t>(copy.get() + 1, size);
  CheckParse<double>(copy.get() + 1, size);
  return 0;
}

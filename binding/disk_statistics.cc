#include "disk_statistics.h"

#include <cerrno>

namespace xen_block_stats {
namespace {

// In the order of Column.
constexpr std::array<const char*, kColumns> kColumnNames = {
    "rdReq",    "rdSectors",  "rdBytes", "wrReq",    "wrSectors", "wrBytes",
    "flushReq", "discardReq", "ooReq",   "rdTimeNs", "wrTimeNs",  "ioErrors",
};
static_assert(kColumnNames.back() != nullptr, "every column has a name");

}  // namespace

std::array<const char*, kColumns> ColumnNames() { return kColumnNames; }

bool IsOutOfDescriptors(int error) { return error == EMFILE || error == ENFILE; }

}  // namespace xen_block_stats

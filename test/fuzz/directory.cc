// Checks that StatisticsDirectory() returns a path that consists of the given parts. Input: domid,
// devid and the directory of devices, separated by blanks.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../../binding/vbd_statistics.h"
#include "require.h"

using namespace xen_block_stats;

namespace {

// Removes the last part of the path and returns it.
std::string TakeLast(std::string* path) {
  const size_t slash = path->rfind('/');
  Require(slash != std::string::npos, "the path has all its parts");
  const std::string last = path->substr(slash + 1);
  path->erase(slash);
  return last;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  char* end = nullptr;
  const auto domid = static_cast<uint32_t>(std::strtoull(input.c_str(), &end, 10));
  const auto devid = static_cast<uint32_t>(std::strtoull(end, &end, 10));
  const size_t used = static_cast<size_t>(end - input.c_str());
  const std::string devices = input.substr(std::min(input.size(), used + 1));

  std::string path = StatisticsDirectory(devices, domid, devid);
  Require(TakeLast(&path) == "statistics", "the path ends with the statistics");
  const std::string name = TakeLast(&path);
  Require(path == devices, "the vbd's directory is in the directory of devices");

  char expected[64];
  std::snprintf(expected, sizeof(expected), "vbd-%u-%u", domid, devid);
  Require(name == expected, "the vbd's directory is named vbd-<domid>-<devid>");
  return 0;
}

// Reads a vbd READS times, so that valgrind can count the instructions of a read:
//   read_driver DEVICES DOMID DEVID READS

#include <cstdlib>

#include "../../binding/vbd_pool.h"

using namespace xen_block_stats;

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  VbdPool pool(argv[1], "", 100);
  const auto vbd = pool.Open(
      {static_cast<uint32_t>(std::atoi(argv[2])), static_cast<uint32_t>(std::atoi(argv[3])), 0});
  if (!vbd->is_open()) return 1;
  double row[kColumns];
  const int reads = std::atoi(argv[4]);
  for (int i = 0; i < reads; ++i) {
    if (pool.Read(vbd.get(), kAllCounters, row).error != 0) return 1;
  }
  return row[kColumnRdReq] == 123456789 ? 0 : 1;
}

// Reads a vbd READS times, so that valgrind can count the instructions of a read:
//   read_driver DEVICES DOMID DEVID READS

#include <cstdlib>

#include "../../binding/vbd_statistics.h"

using namespace xen_block_stats;

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  VbdStatistics vbd(StatisticsDirectory(argv[1], static_cast<uint32_t>(std::atoi(argv[2])),
                                        static_cast<uint32_t>(std::atoi(argv[3]))));
  if (vbd.Open().error != 0) return 1;
  double row[kColumns];
  const int reads = std::atoi(argv[4]);
  for (int i = 0; i < reads; ++i) {
    if (vbd.Read((1u << kCounters) - 1, row).error != 0) return 1;
  }
  return row[kColumnRdReq] == 123456789 ? 0 : 1;
}

// Records vbds while their rows change, for the sanitizers: recorder_driver DEVICES VBDS SECONDS
//
// DEVICES has the directories vbd-1-0 to vbd-1-<VBDS - 1>, and the counters of vbd-1-<n> are n.
// Prints the number of frames that were taken. The status is 1 if a row has the counters of another
// vbd.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "../../binding/vbd_set.h"

using namespace xen_block_stats;

namespace {

constexpr int64_t kInterval = 200000;

// The devids of each generation of rows.
using Generations = std::vector<std::vector<uint32_t>>;

// Takes frames and compares them with the rows of their generations. Returns how many there were,
// or -1 if one is wrong.
int64_t Check(Recorder* recorder, const Generations& generations) {
  int64_t frames = 0;
  std::vector<Recorder::Slice> slices = recorder->Take();
  for (const Recorder::Slice& slice : slices) {
    for (size_t offset = slice.begin; offset < slice.end; ++frames) {
      Recorder::Frame* frame = slice.block->At(offset);
      offset += frame->size();
      const std::vector<uint32_t>& devids = generations[frame->generation];
      if (devids.size() != frame->rows) return -1;
      for (size_t row = 0; row < devids.size(); ++row) {
        if (frame->numbers()[row * kColumns] != devids[row]) return -1;
      }
    }
  }
  recorder->Recycle(std::move(slices));
  return frames;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto vbds = static_cast<uint32_t>(std::atoi(argv[2]));
  const int64_t end = Deadline::NowNanoseconds() + std::atoi(argv[3]) * int64_t{1000000000};
  // Half of the vbds are beyond the budget.
  VbdSet set(std::make_shared<VbdPool>(argv[1], vbds * kCounters / 2), kAllColumns);
  Generations generations{{}};
  std::vector<std::shared_ptr<Recorder>> recorders{set.Record(kInterval, 100)};
  std::vector<double> values(vbds * kColumns);
  std::vector<uint32_t> failures(vbds);
  int64_t frames = 0;
  for (uint32_t round = 0; Deadline::NowNanoseconds() < end; ++round) {
    std::vector<VbdSet::Key> keys;
    std::vector<uint32_t> devids;
    for (uint32_t devid = 0; devid < vbds; ++devid) {
      if ((devid + round) % 3 == 0) continue;
      keys.emplace_back(1, devid);
      devids.push_back(devid);
    }
    set.Prepare(keys);
    if (set.Assign(keys) != generations.size()) return 3;
    generations.push_back(devids);
    if (set.Sample(values.data(), failures.data()) != 0) return 4;
    if (round % 8 == 0) {
      recorders.push_back(set.Record(kInterval, 100));
      if (recorders.size() > 4) {
        recorders.front()->Stop();
        recorders.erase(recorders.begin());
      }
    }
    for (const auto& recorder : recorders) {
      const int64_t taken = Check(recorder.get(), generations);
      if (taken < 0) return 1;
      frames += taken;
      recorder->missed();
      recorder->overwritten();
    }
  }
  set.Close();
  std::printf("%lld\n", static_cast<long long>(frames));
  return 0;
}

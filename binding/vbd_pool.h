#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "descriptor_reserve.h"
#include "disk_statistics.h"

namespace xen_block_stats {

// The statistics of a disk that are open, or the reason why they are not any more. Handles and sets
// that read the same disk share them. VbdPool opens and reads them.
class Vbd {
 public:
  explicit Vbd(std::unique_ptr<StatisticsSource> source) : source_(std::move(source)) {}

  // Why it cannot be opened or read: no error while it is open. It never opens again.
  Failure failure() const { return failure_; }
  bool is_open() const { return failure_.error == 0; }
  // Its open files; null while each read opens what it needs.
  const std::shared_ptr<const StatisticsFiles>& files() const { return files_; }
  const StatisticsSource& source() const { return *source_; }

 private:
  friend class VbdPool;

  const std::unique_ptr<StatisticsSource> source_;
  std::shared_ptr<const StatisticsFiles> files_;
  Failure failure_;
  uint64_t last_read_ = 0;  // see VbdPool::reads_
};

// The open vbds of a connection, each once, within one descriptor budget. Vbds hold their files
// while the budget has room; beyond it, those that are read most often do, and each read of another
// opens and closes its files. Not thread-safe.
class VbdPool {
 public:
  // Identifies a disk, and says who serves it.
  struct Key {
    uint32_t domid;
    uint32_t devid;
    uint32_t tapdisk;  // the pid of its tapdisk; 0: blkback serves it

    bool operator<(const Key& other) const { return tuple() < other.tuple(); }
    bool operator==(const Key& other) const { return tuple() == other.tuple(); }
    std::tuple<uint32_t, uint32_t, uint32_t> tuple() const { return {domid, devid, tapdisk}; }
  };

  // devices: the path of the directory .../bus/xen-backend/devices. shm: that of the directory of
  // tapdisk's statistics. max_open_files: the descriptor budget.
  VbdPool(std::string devices, std::string shm, size_t max_open_files);
  VbdPool(const VbdPool&) = delete;
  VbdPool& operator=(const VbdPool&) = delete;

  // Returns the vbd that is open under this key, if it can be read, or opens it anew. Its failure()
  // says if that is impossible. Its files close with the last reference.
  std::shared_ptr<Vbd> Open(Key key);

  // Reads the wanted counters into a row, as StatisticsFiles::Read() does. After a failure the vbd
  // is closed, unless the process had no free descriptor.
  template <typename Number>
  Failure Read(Vbd* vbd, CounterSet wanted, Number* row);

  // Has a thread grow the process's descriptor table for this many more vbds.
  void GrowDescriptorTable(size_t vbds);

  // Returns whether the budget has room for this many more descriptors.
  bool HasRoom(size_t descriptors) const;

  // The descriptors that count against the budget. Those of other files are added by their owner.
  const OpenCount& open_files() const { return open_files_; }

  // Calls a function that opens other files, as DescriptorReserve::With() does.
  template <typename Function>
  Failure WithReserve(Function open) {
    return reserve_.With(open);
  }

  // Closes the descriptors of the pool itself. Vbds can still be read.
  void Close() { reserve_.Release(); }

 private:
  // Returns where the statistics of a disk are.
  std::unique_ptr<StatisticsSource> Find(const Key& key) const;
  // Opens the files of the vbd and holds them.
  Failure Hold(Vbd* vbd);
  // Closes the files of vbds that are read less than half as often as this one, if it finds enough
  // of them among the next few: a disk of tapdisk has fewer files than one of blkback.
  void MakeRoomFor(const Vbd& vbd);

  const std::string devices_;
  const std::string shm_;
  const size_t max_open_files_;
  const OpenCount open_files_ = std::make_shared<std::atomic<size_t>>(0);
  size_t descriptor_table_ = 0;  // the entries that the descriptor table was grown to
  std::map<Key, std::weak_ptr<Vbd>> vbds_;
  size_t prune_at_ = 64;  // the size of vbds_ from which on expired entries are removed
  // The number of reads: a clock that tells how often a vbd is read.
  uint64_t reads_ = 0;
  Key last_candidate_{};  // of MakeRoomFor()
  DescriptorReserve reserve_;
};

}  // namespace xen_block_stats

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "descriptor_reserve.h"
#include "vbd_statistics.h"

namespace xen_block_stats {

// A vbd that is open, or the reason why it is not any more. Handles and sets that read the same vbd
// share it. VbdPool opens and reads it.
class Vbd {
 public:
  explicit Vbd(std::string directory) : directory_(std::move(directory)) {}

  // Why it cannot be opened or read: no error while it is open. It never opens again.
  Failure failure() const { return failure_; }
  bool is_open() const { return failure_.error == 0; }
  // Its open files; null while each read opens what it needs.
  const std::shared_ptr<const VbdFiles>& files() const { return files_; }
  const VbdDirectory& directory() const { return directory_; }

 private:
  friend class VbdPool;

  VbdDirectory directory_;
  std::shared_ptr<const VbdFiles> files_;
  Failure failure_;
  uint64_t last_read_ = 0;  // see VbdPool::reads_
};

// The open vbds of a connection, each once, within one descriptor budget. Vbds hold their files
// while the budget has room; beyond it, those that are read most often do, and each read of another
// opens and closes its files. Not thread-safe.
class VbdPool {
 public:
  // Identifies a vbd: its domid and its devid.
  using Key = std::pair<uint32_t, uint32_t>;

  // devices: the path of the directory .../bus/xen-backend/devices. max_open_files: the descriptor
  // budget.
  VbdPool(std::string devices, size_t max_open_files);
  VbdPool(const VbdPool&) = delete;
  VbdPool& operator=(const VbdPool&) = delete;

  // Returns the vbd that is open under this key, if it can be read, or opens it anew. Its failure()
  // says if that is impossible. Its files close with the last reference.
  std::shared_ptr<Vbd> Open(Key key);

  // Reads the wanted counters into a row, as VbdFiles::Read() does. After a failure the vbd is
  // closed, unless the process had no free descriptor.
  template <typename Number>
  Failure Read(Vbd* vbd, CounterSet wanted, Number* row);

  // Has a thread grow the process's descriptor table for this many more vbds.
  void GrowDescriptorTable(size_t vbds);

  // Closes the descriptors of the pool itself. Vbds can still be read.
  void Close() { reserve_.Release(); }

 private:
  // Returns whether the budget has room for the files of one more vbd.
  bool HasRoom() const;
  // Opens the files of the vbd and holds them.
  Failure Hold(Vbd* vbd);
  // Closes the files of a vbd that is read less than half as often as this one, if it finds one
  // among the next few.
  void MakeRoomFor(const Vbd& vbd);
  const std::string devices_;
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

#include "vbd_pool.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "tapdisk_statistics.h"
#include "thread.h"
#include "vbd_statistics.h"

namespace xen_block_stats {
namespace {

// The size of the descriptor table, as a multiple of the descriptors that the vbds hold.
constexpr size_t kTableHeadroom = 8;

// How many vbds are considered when another one needs room in the budget.
constexpr int kCandidates = 8;

}  // namespace

VbdPool::VbdPool(std::string devices, std::string shm, size_t max_open_files)
    : devices_(std::move(devices)),
      shm_(std::move(shm)),
      max_open_files_(max_open_files - std::min(max_open_files, DescriptorReserve::kSize)) {}

std::shared_ptr<Vbd> VbdPool::Open(Key key) {
  std::weak_ptr<Vbd>& entry = vbds_[key];
  std::array<double, kColumns> unused;
  std::shared_ptr<Vbd> vbd = entry.lock();
  if (vbd && Read(vbd.get(), 1u << kRdReq, unused.data()).error == 0) return vbd;

  vbd = std::make_shared<Vbd>(Find(key));
  entry = vbd;
  vbd->last_read_ = reads_;
  Failure failure{EMFILE, kCounters};
  if (HasRoom(vbd->source_->descriptors())) failure = Hold(vbd.get());
  if (IsOutOfDescriptors(failure.error)) {
    failure = reserve_.With([&] { return vbd->source_->Check(); });
  }
  vbd->failure_ = failure;
  if (vbds_.size() > prune_at_) {
    for (auto it = vbds_.begin(); it != vbds_.end();) {
      it = it->second.expired() ? vbds_.erase(it) : std::next(it);
    }
    prune_at_ = 2 * vbds_.size();
  }
  return vbd;
}

template <typename Number>
Failure VbdPool::Read(Vbd* vbd, CounterSet wanted, Number* row) {
  if (!vbd->is_open()) return vbd->failure_;
  Failure failure;
  ++reads_;
  if (!vbd->files_ || !vbd->files_->is_complete()) {
    // Reading has to open the files anyway: they stay open if there is room.
    if (!vbd->files_ && !HasRoom(vbd->source_->descriptors())) MakeRoomFor(*vbd);
    if (HasRoom(vbd->source_->descriptors())) failure = Hold(vbd);
  }
  vbd->last_read_ = reads_;
  if (failure.error == 0 || IsOutOfDescriptors(failure.error)) {
    failure = vbd->files_ ? vbd->files_->Read(wanted, row)
                          : reserve_.With([&] { return vbd->source_->Read(wanted, row); });
  }
  if (failure.error != 0 && !IsOutOfDescriptors(failure.error)) {
    vbd->files_.reset();
    vbd->failure_ = failure;
  }
  return failure;
}

template Failure VbdPool::Read(Vbd*, CounterSet, double*);
template Failure VbdPool::Read(Vbd*, CounterSet, int64_t*);

// The kernel doubles the process's descriptor table when it is full, and waits for an RCU grace
// period then, 5 to 20 ms. A thread causes that in advance, in larger steps: a descriptor with a
// high number makes the kernel grow the table up to it.
void VbdPool::GrowDescriptorTable(size_t vbds) {
  const size_t needed = *open_files_ + vbds * kCounters;
  const size_t wanted = std::min(kTableHeadroom * needed, max_open_files_);
  if (2 * needed <= descriptor_table_ || wanted <= descriptor_table_) return;
  descriptor_table_ = wanted;
  StartThread([wanted] {
    const int low = eventfd(0, EFD_CLOEXEC);
    if (low < 0) return;
    const int high = fcntl(low, F_DUPFD_CLOEXEC, static_cast<int>(wanted));
    if (high >= 0) close(high);
    close(low);
  });
}

std::unique_ptr<StatisticsSource> VbdPool::Find(const Key& key) const {
  if (key.tapdisk != 0) {
    return std::make_unique<TapdiskSource>(shm_, key.tapdisk, key.domid, key.devid);
  }
  return std::make_unique<VbdDirectory>(StatisticsDirectory(devices_, key.domid, key.devid));
}

bool VbdPool::HasRoom(size_t descriptors) const {
  return *open_files_ + descriptors <= max_open_files_;
}

Failure VbdPool::Hold(Vbd* vbd) { return vbd->source_->OpenFiles(open_files_, &vbd->files_); }

void VbdPool::MakeRoomFor(const Vbd& vbd) {
  const uint64_t interval = reads_ - vbd.last_read_;
  const size_t needed = vbd.source_->descriptors();
  size_t room = max_open_files_ - std::min<size_t>(*open_files_, max_open_files_);
  std::vector<std::shared_ptr<Vbd>> rare;
  for (int i = 0; i < kCandidates; ++i) {
    auto it = vbds_.upper_bound(last_candidate_);
    if (it == vbds_.end()) it = vbds_.begin();
    last_candidate_ = it->first;
    const std::shared_ptr<Vbd> other = it->second.lock();
    // Files with another owner, a recorder, would stay open.
    if (!other || other->files_.use_count() != 1) continue;
    if (reads_ - other->last_read_ <= 2 * interval) continue;
    if (std::find(rare.begin(), rare.end(), other) != rare.end()) return;
    rare.push_back(other);
    room += other->source_->descriptors();
    if (room < needed) continue;
    for (const auto& found : rare) found->files_.reset();
    return;
  }
}

}  // namespace xen_block_stats

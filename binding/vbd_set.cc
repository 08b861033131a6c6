#include "vbd_set.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "thread.h"

namespace xen_block_stats {
namespace {

constexpr int kNoDescriptor = -1;

// The size of the descriptor table, as a multiple of the descriptors that the vbds hold.
constexpr size_t kTableHeadroom = 8;

}  // namespace

VbdSet::VbdSet(std::string devices, size_t max_open_files)
    : devices_(std::move(devices)),
      max_open_files_(max_open_files - std::min(max_open_files, kReserve)) {
  reserve_.fill(kNoDescriptor);
  FillReserve();
}

VbdSet::~VbdSet() { Close(); }

void VbdSet::Prepare(const std::vector<Key>& vbds) {
  GrowDescriptorTable(vbds.size());
  for (const Key& key : vbds) {
    Row* row = Find(key);
    std::array<double, kColumns> unused;
    if (row != nullptr && Read(row, unused.data()).error == 0) continue;
    Discard({key});
    prepared_[key] = Open(key);
  }
}

void VbdSet::Discard(const std::vector<Key>& vbds) {
  for (const Key& key : vbds) {
    const auto found = prepared_.find(key);
    if (found == prepared_.end()) continue;
    held_ -= found->second.vbd->is_held();
    prepared_.erase(found);
  }
}

size_t VbdSet::Assign(const std::vector<Key>& rows) {
  std::vector<Row> next;
  next.reserve(rows.size());
  auto old = rows_.begin();
  for (const Key& key : rows) {
    while (old != rows_.end() && old->key < key) ++old;
    const auto prepared = prepared_.find(key);
    if (prepared != prepared_.end()) {
      next.push_back(std::move(prepared->second));
    } else if (old != rows_.end() && old->key == key) {
      next.push_back(std::move(*old));
    } else {
      // neither prepared nor a row before: a vbd that is never open
      next.push_back({key, std::make_unique<VbdStatistics>(""), {ENOENT, kCounters}});
    }
  }
  rows_ = std::move(next);
  prepared_.clear();
  held_ = static_cast<size_t>(
      std::count_if(rows_.begin(), rows_.end(), [](const Row& row) { return row.vbd->is_held(); }));
  FillReserve();
  return static_cast<size_t>(std::count_if(rows_.begin(), rows_.end(),
                                           [](const Row& row) { return !row.vbd->is_open(); }));
}

// The kernel doubles the process's descriptor table when it is full, and waits for an RCU grace
// period then, 5 to 20 ms. A thread causes that in advance, in larger steps: a descriptor with a
// high number makes the kernel grow the table up to it.
void VbdSet::GrowDescriptorTable(size_t vbds) {
  const size_t needed = (held_ + vbds) * kCounters;
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

VbdSet::Row VbdSet::Open(Key key) {
  const auto [domid, devid] = key;
  Row row{key, std::make_unique<VbdStatistics>(StatisticsDirectory(devices_, domid, devid)), {}};
  row.failure = row.vbd->Open(HasRoom());
  if (IsOutOfDescriptors(row.failure.error)) {
    ReleaseReserve();
    row.failure = row.vbd->Open(false);
    FillReserve();
  }
  held_ += row.vbd->is_held();
  return row;
}

bool VbdSet::HasRoom() const { return (held_ + 1) * kCounters <= max_open_files_; }

VbdSet::Row* VbdSet::Find(Key key) {
  const auto row =
      std::lower_bound(rows_.begin(), rows_.end(), key,
                       [](const Row& it, const Key& wanted) { return it.key < wanted; });
  return row != rows_.end() && row->key == key ? &*row : nullptr;
}

template <typename Number>
size_t VbdSet::Sample(Number* values, uint32_t* failures) {
  size_t failed = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    Row& row = rows_[i];
    Number* numbers = values + i * kColumns;
    const Failure failure = Read(&row, numbers);
    failures[i] = failure.Encoded();
    if (failure.error != 0) {
      std::fill_n(numbers, static_cast<size_t>(kColumns), Number{-1});
      ++failed;
    }
  }
  return failed;
}

template size_t VbdSet::Sample(double*, uint32_t*);
template size_t VbdSet::Sample(int64_t*, uint32_t*);

template <typename Number>
Failure VbdSet::Read(Row* row, Number* values) {
  VbdStatistics& vbd = *row->vbd;
  if (!vbd.is_open()) return row->failure;
  const bool was_held = vbd.is_held();
  Failure failure;
  // A vbd beyond the budget is held as soon as there is room: reading has to open its files anyway.
  if (!was_held && HasRoom()) failure = vbd.Hold();
  if (failure.error == 0 || IsOutOfDescriptors(failure.error)) {
    failure = vbd.Read(kAllCounters, values);
  }
  if (IsOutOfDescriptors(failure.error)) {
    ReleaseReserve();
    failure = vbd.Read(kAllCounters, values);
    FillReserve();
  }
  if (failure.error != 0 && !IsOutOfDescriptors(failure.error)) {
    vbd.Close();
    row->failure = failure;
  }
  held_ += vbd.is_held();
  held_ -= was_held;
  return failure;
}

void VbdSet::FillReserve() {
  for (int& descriptor : reserve_) {
    if (descriptor == kNoDescriptor) descriptor = open("/", O_PATH | O_CLOEXEC);
  }
}

void VbdSet::ReleaseReserve() {
  for (int& descriptor : reserve_) {
    if (descriptor != kNoDescriptor) close(descriptor);
    descriptor = kNoDescriptor;
  }
}

void VbdSet::Close() {
  rows_.clear();
  prepared_.clear();
  held_ = 0;
  ReleaseReserve();
}

}  // namespace xen_block_stats

#include "vbd_set.h"

#include <algorithm>
#include <cerrno>

namespace xen_block_stats {

void VbdSet::Prepare(const std::vector<Key>& vbds) {
  pool_->GrowDescriptorTable(vbds.size());
  for (const Key& key : vbds) prepared_[key] = pool_->Open(key);
}

void VbdSet::Discard(const std::vector<Key>& vbds) {
  for (const Key& key : vbds) prepared_.erase(key);
}

size_t VbdSet::Assign(const std::vector<Key>& rows) {
  std::vector<Row> next;
  next.reserve(rows.size());
  auto old = rows_.begin();
  for (const Key& key : rows) {
    while (old != rows_.end() && old->key < key) ++old;
    const auto prepared = prepared_.find(key);
    if (prepared != prepared_.end()) {
      next.push_back({key, std::move(prepared->second)});
    } else if (old != rows_.end() && old->key == key) {
      next.push_back(std::move(*old));
    } else {
      next.push_back({key, nullptr});
    }
  }
  rows_ = std::move(next);
  prepared_.clear();
  return static_cast<size_t>(std::count_if(
      rows_.begin(), rows_.end(), [](const Row& row) { return !row.vbd || !row.vbd->is_open(); }));
}

template <typename Number>
size_t VbdSet::Sample(Number* values, uint32_t* failures) {
  size_t failed = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    Vbd* vbd = rows_[i].vbd.get();
    Number* numbers = values + i * kColumns;
    const Failure failure =
        vbd == nullptr ? Failure{ENOENT, kCounters} : pool_->Read(vbd, counters_, numbers);
    failures[i] = failure.Encoded();
    failed += failure.error != 0;
    ClearOthers(failure.error == 0 ? columns_ : 0, numbers);
  }
  return failed;
}

template size_t VbdSet::Sample(double*, uint32_t*);
template size_t VbdSet::Sample(int64_t*, uint32_t*);

void VbdSet::Close() {
  rows_.clear();
  prepared_.clear();
}

}  // namespace xen_block_stats

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

uint32_t VbdSet::Assign(const std::vector<Key>& rows, uint32_t* reopened) {
  std::vector<Row> next;
  next.reserve(rows.size());
  auto old = rows_.begin();
  for (const Key& key : rows) {
    while (old != rows_.end() && old->key < key) ++old;
    const auto prepared = prepared_.find(key);
    const bool has_row = old != rows_.end() && old->key == key;
    const std::shared_ptr<Vbd> former = has_row ? old->vbd : nullptr;
    next.push_back({key, prepared != prepared_.end() ? prepared->second : former});
    *reopened++ = has_row && next.back().vbd != former;
  }
  const bool is_same =
      std::equal(next.begin(), next.end(), rows_.begin(), rows_.end(),
                 [](const Row& a, const Row& b) { return a.key == b.key && a.vbd == b.vbd; });
  rows_ = std::move(next);
  prepared_.clear();
  if (is_same) return generation_;
  ++generation_;
  for (auto it = recorders_.begin(); it != recorders_.end();) {
    const std::shared_ptr<Recorder> recorder = it->lock();
    if (recorder) recorder->Replace(RecordedRows());
    it = recorder ? std::next(it) : recorders_.erase(it);
  }
  return generation_;
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

std::shared_ptr<Recorder> VbdSet::Record(int64_t interval, size_t capacity) {
  std::shared_ptr<Recorder> recorder =
      Recorder::Start(RecordedRows(), columns_, interval, capacity);
  if (recorder) recorders_.push_back(recorder);
  return recorder;
}

Recorder::Rows VbdSet::RecordedRows() const {
  Recorder::Rows recorded{generation_};
  for (const Row& row : rows_) {
    Recorder::Source source;
    if (row.vbd && row.vbd->is_open()) {
      source.statistics = row.vbd->source().Clone();
      // Files that the kernel has not all made are opened anew at each tick.
      const auto& files = row.vbd->files();
      if (files && files->is_complete()) source.files = files;
    }
    recorded.sources.push_back(std::move(source));
  }
  return recorded;
}

void VbdSet::Close() {
  for (const std::weak_ptr<Recorder>& recorder : recorders_) {
    if (const auto it = recorder.lock()) it->Stop();
  }
  rows_.clear();
  prepared_.clear();
}

}  // namespace xen_block_stats

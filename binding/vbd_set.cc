#include "vbd_set.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace xen_block_stats {
namespace {

constexpr int kNone = -1;

constexpr size_t Cost(Holding holding) { return static_cast<size_t>(holding); }

}  // namespace

HoldingPlan PlanHoldings(size_t vbds, size_t descriptors) {
  if (descriptors < vbds) return {0, descriptors};
  constexpr size_t kMore = Cost(Holding::kFiles) - Cost(Holding::kFolder);
  const size_t files = std::min(vbds, (descriptors - vbds) / kMore);
  return {files, vbds - files};
}

VbdSet::VbdSet(std::string devices, size_t descriptors)
    : devices_(std::move(devices)), descriptors_(descriptors - std::min(descriptors, kReserve)) {
  reserve_.fill(kNone);
  FillReserve();
}

VbdSet::~VbdSet() { Close(); }

void VbdSet::Prepare(const std::vector<Key>& vbds) {
  prepared_.clear();
  size_t used = CountDescriptors();
  for (const Key& key : vbds) {
    const Row* row = Find(key);
    if (row != nullptr && row->vbd->is_open()) continue;
    // Its folder, held, is it for certain; its files follow when it is known what to do with it.
    const Holding holding = used < descriptors_ ? Holding::kFolder : Holding::kNothing;
    used += Cost(holding);
    prepared_[key] = Open(key, holding);
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
      next.push_back({key, std::make_unique<VbdStatistics>(""), {ENOENT, kCounters}});
    }
  }
  rows_ = std::move(next);
  prepared_.clear();

  const HoldingPlan plan = PlanHoldings(rows_.size(), descriptors_);
  const auto planned = [&plan](size_t i) {
    if (i < plan.files) return Holding::kFiles;
    return i < plan.files + plan.folders ? Holding::kFolder : Holding::kNothing;
  };
  // Those that are to hold less make room for the others.
  for (const bool more : {false, true}) {
    for (size_t i = 0; i < rows_.size(); ++i) {
      Row& row = rows_[i];
      const Holding holding = planned(i);
      if (!row.vbd->is_open() || row.vbd->holding() == holding) continue;
      if ((Cost(holding) > Cost(row.vbd->holding())) != more) continue;
      // With too few descriptors it goes on as it is.
      const Failure failure = row.vbd->Hold(holding);
      if (!row.vbd->is_open()) row.failure = failure;
    }
  }
  FillReserve();
  return static_cast<size_t>(std::count_if(rows_.begin(), rows_.end(),
                                           [](const Row& row) { return !row.vbd->is_open(); }));
}

VbdSet::Row VbdSet::Open(Key key, Holding holding) {
  const auto [domid, devid] = key;
  Row row{key, std::make_unique<VbdStatistics>(StatisticsFolder(devices_, domid, devid)), {}};
  row.failure = row.vbd->Open(holding);
  if (IsOutOfDescriptors(row.failure.error)) {
    ReleaseReserve();
    row.failure = row.vbd->Open(Holding::kNothing);
    FillReserve();
  }
  return row;
}

const VbdSet::Row* VbdSet::Find(Key key) const {
  const auto row =
      std::lower_bound(rows_.begin(), rows_.end(), key,
                       [](const Row& it, const Key& wanted) { return it.key < wanted; });
  return row != rows_.end() && row->key == key ? &*row : nullptr;
}

size_t VbdSet::CountDescriptors() const {
  size_t count = 0;
  for (const Row& row : rows_) count += Cost(row.vbd->holding());
  return count;
}

template <typename Number>
size_t VbdSet::Sample(Number* values, uint32_t* failures) {
  size_t failed = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    Row& row = rows_[i];
    Number* numbers = values + i * kColumns;
    Failure failure = row.failure;
    if (row.vbd->is_open()) {
      failure = row.vbd->Read(kAllCounters, numbers);
      if (IsOutOfDescriptors(failure.error)) failure = ReadWithReserve(row.vbd.get(), numbers);
      if (failure.error != 0 && !IsOutOfDescriptors(failure.error)) {
        row.vbd->Close();
        row.failure = failure;
      }
    }
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
Failure VbdSet::ReadWithReserve(VbdStatistics* vbd, Number* values) {
  ReleaseReserve();
  const Failure failure = vbd->Read(kAllCounters, values);
  FillReserve();
  return failure;
}

void VbdSet::FillReserve() {
  for (int& descriptor : reserve_) {
    if (descriptor == kNone) descriptor = open("/", O_PATH | O_CLOEXEC);
  }
}

void VbdSet::ReleaseReserve() {
  for (int& descriptor : reserve_) {
    if (descriptor != kNone) close(descriptor);
    descriptor = kNone;
  }
}

void VbdSet::Close() {
  rows_.clear();
  prepared_.clear();
  ReleaseReserve();
}

}  // namespace xen_block_stats

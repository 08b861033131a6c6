#include "recorder.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "thread.h"
#include "vbd_statistics.h"

namespace xen_block_stats {
namespace {

// The greatest size of a block, in bytes. A frame that is larger has a block of its own.
constexpr size_t kMaxBlockSize = 1 << 20;

// Returns the size of the machine's memory, in bytes.
size_t PhysicalMemory() {
  return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Recorder::Block::Block(size_t size) : size(size), memory(new (std::nothrow) char[size]) {}

std::shared_ptr<Recorder> Recorder::Start(Rows rows, ColumnSet columns, int64_t interval,
                                          size_t capacity) {
  const size_t frame_size = Frame::Size(rows.sources.size());
  errno = ENOMEM;
  if (capacity > PhysicalMemory() / frame_size) return nullptr;
  const size_t block_size = std::max(frame_size, std::min(kMaxBlockSize, capacity * frame_size));
  const std::shared_ptr<Recorder> recorder(
      new Recorder(std::move(rows), columns, interval, capacity));
  // One block more than the frames need is being written when the oldest one is dropped.
  const size_t blocks = capacity / (block_size / frame_size) + 2;
  for (size_t i = 0; i < blocks; ++i) {
    recorder->spare_.push_back(std::make_shared<Block>(block_size));
    if (recorder->spare_.back()->memory == nullptr) return nullptr;
  }
  return StartThread([recorder] { recorder->Run(); }) ? recorder : nullptr;
}

Recorder::Recorder(Rows rows, ColumnSet columns, int64_t interval, size_t capacity)
    : columns_(columns),
      counters_(CountersOf(columns)),
      interval_(interval),
      capacity_(capacity),
      next_(std::move(rows)) {}

void Recorder::Replace(Rows rows) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!is_stopped_) next_ = std::move(rows);
}

std::vector<Recorder::Slice> Recorder::Take() {
  std::vector<Slice> slices;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const std::shared_ptr<Block>& block : blocks_) {
    while (untaken_ > capacity_ && block->frames > 0) DropFrame(block.get());
    if (block->frames > 0) slices.push_back({block, block->taken, block->used});
    untaken_ -= block->frames;
    block->frames = 0;
    block->taken = block->used;
  }
  // The thread may be writing to the last one.
  if (!blocks_.empty()) blocks_.erase(blocks_.begin(), blocks_.end() - 1);
  return slices;
}

void Recorder::Recycle(std::vector<Slice> slices) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Slice& slice : slices) {
    if (slice.block.use_count() == 1) spare_.push_back(std::move(slice.block));
  }
}

uint64_t Recorder::missed() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return missed_;
}

uint64_t Recorder::overwritten() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return overwritten_ + untaken_ - std::min(untaken_, capacity_);
}

void Recorder::Stop() {
  const std::lock_guard<std::mutex> lock(mutex_);
  is_stopped_ = true;
  next_.reset();  // closes their files also if the thread has not had its first tick
  changed_.Notify();
}

void Recorder::Run() {
  // The kernel otherwise wakes a thread up to 50 microseconds late, to save power.
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  DescriptorReserve reserve;
  Rows rows;
  TouchMemory();
  std::unique_lock<std::mutex> lock(mutex_);
  for (int64_t due = Deadline::NowNanoseconds();; due += interval_) {
    if (changed_.WaitUntil(lock, Deadline::At(due), [this] { return is_stopped_; })) return;
    const int64_t passed = (Deadline::NowNanoseconds() - due) / interval_;
    missed_ += static_cast<uint64_t>(passed);
    due += passed * interval_;
    std::optional<Rows> former;
    if (next_.has_value()) {
      former = std::exchange(rows, std::move(*next_));
      next_.reset();
    }
    Block* block = Writable(rows.sources.size());
    if (block == nullptr) {
      ++missed_;
      continue;
    }
    lock.unlock();
    former.reset();  // closes files that no other row has
    Frame* frame = block->At(block->used);
    Read(&rows, &reserve, frame);
    lock.lock();
    if (is_stopped_) return;  // no sample comes after Stop()
    block->used += frame->size();
    ++block->frames;
    ++untaken_;
    Trim();
  }
}

void Recorder::TouchMemory() {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<std::shared_ptr<Block>> blocks;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocks.swap(spare_);
  }
  for (const auto& block : blocks) {
    for (size_t i = 0; i < block->size; i += page) block->memory[i] = 0;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_stopped_) return;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  spare_.swap(blocks);
}

Recorder::Block* Recorder::Writable(size_t rows) {
  if (!blocks_.empty() && blocks_.back()->HasRoom(rows)) return blocks_.back().get();
  std::shared_ptr<Block> block;
  const auto found = std::find_if(spare_.begin(), spare_.end(),
                                  [rows](const auto& it) { return it->size >= Frame::Size(rows); });
  if (found != spare_.end()) {
    block = std::move(*found);
    spare_.erase(found);
    block->used = block->taken = block->frames = 0;
  } else {
    block = std::make_shared<Block>(std::max(kMaxBlockSize, Frame::Size(rows)));
    if (block->memory == nullptr) return nullptr;
  }
  blocks_.push_back(std::move(block));
  return blocks_.back().get();
}

void Recorder::Trim() {
  while (blocks_.size() > 1 && untaken_ - blocks_.front()->frames >= capacity_) {
    const std::shared_ptr<Block> oldest = std::move(blocks_.front());
    blocks_.pop_front();
    overwritten_ += oldest->frames;
    untaken_ -= oldest->frames;
    // Otherwise Recycle() gives it back.
    if (oldest.use_count() == 1) spare_.push_back(oldest);
  }
}

void Recorder::DropFrame(Block* block) {
  block->taken += block->At(block->taken)->size();
  --block->frames;
  --untaken_;
  ++overwritten_;
}

void Recorder::Read(Rows* rows, DescriptorReserve* reserve, Frame* frame) const {
  *frame = {Deadline::NowNanoseconds(), rows->generation,
            static_cast<uint32_t>(rows->sources.size())};
  int64_t* row = frame->numbers();
  for (Source& source : rows->sources) {
    Failure failure{ENODEV, kCounters};
    if (source.files) {
      failure = source.files->Read(counters_, row);
    } else if (source.statistics) {
      failure = reserve->With([&] { return source.statistics->Read(counters_, row); });
    }
    ClearOthers(failure.error == 0 ? columns_ : 0, row);
    row += kColumns;
  }
}

}  // namespace xen_block_stats

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "deadline.h"
#include "descriptor_reserve.h"
#include "disk_statistics.h"

namespace xen_block_stats {

// Samples vbds at a fixed interval, on a thread of its own, into a ring of frames. A frame has a
// row for each vbd. Its methods are called on one thread.
class Recorder {
 public:
  // A disk, as the thread reads it.
  struct Source {
    std::shared_ptr<const StatisticsFiles> files = nullptr;  // null: each read opens them
    std::unique_ptr<StatisticsSource> statistics = nullptr;  // null: the row is not read
  };

  // The rows of the frames from a moment on.
  struct Rows {
    uint32_t generation = 0;
    std::vector<Source> sources = {};
  };

  // A frame in memory: this header, and then kColumns numbers for each row.
  struct Frame {
    int64_t timestamp;  // nanoseconds of CLOCK_MONOTONIC
    uint32_t generation;
    uint32_t rows;

    static size_t Size(size_t rows) { return sizeof(Frame) + rows * kColumns * sizeof(int64_t); }
    size_t size() const { return Size(rows); }
    int64_t* numbers() { return reinterpret_cast<int64_t*>(this + 1); }
  };

  // Memory for frames, one after the other.
  struct Block {
    explicit Block(size_t size);
    bool HasRoom(size_t rows) const { return used + Frame::Size(rows) <= size; }
    Frame* At(size_t offset) const { return reinterpret_cast<Frame*>(memory.get() + offset); }

    const size_t size;
    const std::unique_ptr<char[]> memory;  // null if there was none
    size_t used = 0;                       // the bytes of written frames
    size_t taken = 0;                      // the bytes of frames that were taken or dropped
    size_t frames = 0;                     // the number of written frames that are neither
  };

  // Frames that were taken: those of a block from one offset to another one.
  struct Slice {
    std::shared_ptr<Block> block;
    size_t begin;
    size_t end;
  };

  // Starts a thread. interval: nanoseconds, more than 0. capacity: the number of frames of the
  // ring. Returns null, with errno, if there is no memory for the ring (ENOMEM), or no thread
  // (EAGAIN).
  static std::shared_ptr<Recorder> Start(Rows rows, ColumnSet columns, int64_t interval,
                                         size_t capacity);

  // Replaces the rows. No frame has rows of both.
  void Replace(Rows rows);

  // Takes the frames since the last call, at most the capacity.
  std::vector<Slice> Take();

  // Gives the memory of taken frames back.
  void Recycle(std::vector<Slice> slices);

  // The number of ticks that came so late that the next one was due, or found no memory.
  uint64_t missed();

  // The number of frames that were overwritten before they were taken.
  uint64_t overwritten();

  // Ends the thread, at the latest after the tick that it is in. The frames can still be taken.
  void Stop();

 private:
  Recorder(Rows rows, ColumnSet columns, int64_t interval, size_t capacity);

  // The thread.
  void Run();
  // Has the kernel provide the memory of the ring: page faults would delay ticks.
  void TouchMemory();
  // Returns a block with room for a frame of this number of rows; null if there is no memory.
  Block* Writable(size_t rows);
  // Drops the oldest block while the others have enough frames.
  void Trim();
  // Drops the oldest frame of a block.
  void DropFrame(Block* block);
  // Reads the rows into a frame.
  void Read(Rows* rows, DescriptorReserve* reserve, Frame* frame) const;

  const ColumnSet columns_;
  const CounterSet counters_;
  const int64_t interval_;
  const size_t capacity_;
  std::mutex mutex_;
  Condition changed_;
  // Guarded by mutex_, but for the frames of the last block that are not written yet.
  bool is_stopped_ = false;
  std::optional<Rows> next_;
  std::deque<std::shared_ptr<Block>> blocks_;  // the oldest first; the thread writes to the last
  std::vector<std::shared_ptr<Block>> spare_;
  size_t untaken_ = 0;  // the number of frames in blocks_ that are not taken
  uint64_t missed_ = 0;
  uint64_t overwritten_ = 0;
};

}  // namespace xen_block_stats

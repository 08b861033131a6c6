// Records disks while their rows change, for the sanitizers:
// recorder_driver DEVICES SHM VBDS SECONDS
//
// DEVICES has the directories vbd-1-0 to vbd-1-<VBDS - 1>, and the counters of vbd-1-<n> are n. The
// program has statistics of tapdisk in SHM: its own, for the disks of domain 2, which a thread
// removes and makes anew all the time; and those of processes that it kills, for domain 3. Prints
// the number of frames that were taken. The status is 1 if a row has the numbers of another disk,
// or of a file that was removed or whose process had ended before.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../../binding/vbd_set.h"

using namespace xen_block_stats;

namespace {

using Key = VbdSet::Key;

constexpr int64_t kInterval = 200000;
constexpr uint32_t kOwnDisks = 8;   // of domain 2
constexpr uint32_t kProcesses = 6;  // of domain 3, a disk each
constexpr size_t kMaxFiles = 1 << 20;

// When each of tapdisk's files ended, by the number in its field write_reqs_submitted.
std::vector<std::atomic<int64_t>> ends(kMaxFiles);
std::atomic<uint32_t> files{0};

// Ends the program with the status 5 after a system call that must not fail.
int Check(int result) {
  if (result >= 0) return result;
  std::perror("recorder_driver");
  _exit(5);
}

std::string Directory(const std::string& shm, pid_t pid) {
  return shm + "/td3-" + std::to_string(pid);
}

// A file of tapdisk's statistics.
class File {
 public:
  // Makes it as tapdisk does.
  File(std::string path, uint64_t devid) : path_(std::move(path)), number_(files++) {
    if (number_ >= kMaxFiles) _exit(5);
    ends[number_] = std::numeric_limits<int64_t>::max();
    descriptor_ = Check(open(path_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    Check(ftruncate(descriptor_, kLength));
    void* memory = mmap(nullptr, kLength, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
    if (memory == MAP_FAILED) Check(-1);
    memory_ = static_cast<uint64_t*>(memory);
    memory_[2] = devid;    // read_reqs_submitted
    memory_[6] = number_;  // write_reqs_submitted
    memory_[0] = 1;        // version
  }
  // Removes it as tapdisk does.
  ~File() {
    munmap(memory_, kLength);
    close(descriptor_);
    Check(unlink(path_.c_str()));
    End();
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void Move(const std::string& path) {
    Check(rename(path_.c_str(), path.c_str()));
    path_ = path;
  }

  // Its numbers must not be seen from now on.
  void End() const {
    int64_t never = std::numeric_limits<int64_t>::max();
    ends[number_].compare_exchange_strong(never, Deadline::NowNanoseconds());
  }

 private:
  static constexpr size_t kLength = 4096;
  std::string path_;
  const uint32_t number_;
  int descriptor_;
  uint64_t* memory_;
};

// A process that has a file of tapdisk's statistics open.
class Process {
 public:
  Process(const std::string& shm, uint32_t devid) : file_(shm + "/new", devid) {
    pid_ = Check(fork());
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) pause();
    }
    Check(mkdir(Directory(shm, pid_).c_str(), 0700));
    file_.Move(Directory(shm, pid_) + "/vbd-3-" + std::to_string(devid));
  }
  ~Process() { Kill(); }

  // Ends it; its file stays.
  void Kill() {
    if (!is_running_) return;
    is_running_ = false;
    kill(pid_, SIGKILL);
    Check(waitpid(pid_, nullptr, 0));
    file_.End();
  }

  pid_t pid() const { return pid_; }

 private:
  File file_;
  pid_t pid_ = -1;
  bool is_running_ = true;
};

// Removes and makes anew the files of domain 2 until it is told to end.
void ChangeFiles(const std::string& directory, const std::atomic<bool>* is_over) {
  std::vector<std::unique_ptr<File>> own(kOwnDisks);
  for (uint32_t i = 0; !*is_over; ++i) {
    const uint32_t devid = i % kOwnDisks;
    own[devid] = nullptr;
    if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(500));
    own[devid] =
        std::make_unique<File>(directory + "/vbd-2-" + std::to_string(devid), uint64_t{devid});
    std::this_thread::sleep_for(std::chrono::microseconds(i % 5 * 200));
  }
}

// Returns whether a row that was read after this moment can have these numbers.
template <typename Number>
bool IsRight(const Key& key, const Number* row, int64_t moment) {
  if (key.tapdisk == 0) return row[kColumnRdReq] == key.devid && row[kColumnRdTimeNs] == -1;
  if (row[kColumnRdReq] == -1) return row[kColumnWrReq] == -1;
  return row[kColumnRdReq] == key.devid && row[kColumnFlushReq] == -1 &&
         ends[static_cast<size_t>(row[kColumnWrReq])] >= moment;
}

// Takes frames and compares them with the rows of their generations. Returns how many there were,
// or -1 if one is wrong.
int64_t CheckFrames(Recorder* recorder, const std::vector<std::vector<Key>>& generations) {
  int64_t frames = 0;
  std::vector<Recorder::Slice> slices = recorder->Take();
  for (const Recorder::Slice& slice : slices) {
    for (size_t offset = slice.begin; offset < slice.end; ++frames) {
      Recorder::Frame* frame = slice.block->At(offset);
      offset += frame->size();
      const std::vector<Key>& keys = generations[frame->generation];
      if (keys.size() != frame->rows) return -1;
      for (size_t row = 0; row < keys.size(); ++row) {
        const int64_t* numbers = frame->numbers() + row * kColumns;
        if (!IsRight(keys[row], numbers, frame->timestamp)) return -1;
      }
    }
  }
  recorder->Recycle(std::move(slices));
  return frames;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const std::string shm = argv[2];
  const auto vbds = static_cast<uint32_t>(std::atoi(argv[3]));
  const int64_t begin = Deadline::NowNanoseconds();
  const int64_t duration = std::atoi(argv[4]) * int64_t{1000000000};
  std::vector<Key> disks;
  for (uint32_t devid = 0; devid < vbds; ++devid) disks.push_back({1, devid, 0});
  const auto own_pid = static_cast<uint32_t>(getpid());
  for (uint32_t devid = 0; devid < kOwnDisks; ++devid) disks.push_back({2, devid, own_pid});
  std::vector<std::unique_ptr<Process>> processes;
  for (uint32_t devid = 0; devid < kProcesses; ++devid) {
    processes.push_back(std::make_unique<Process>(shm, devid));
    disks.push_back({3, devid, static_cast<uint32_t>(processes.back()->pid())});
  }
  Check(mkdir(Directory(shm, getpid()).c_str(), 0700));
  std::atomic<bool> is_over{false};
  std::thread changes([&] { ChangeFiles(Directory(shm, getpid()), &is_over); });

  // Half of the disks are beyond the budget.
  const size_t budget = (vbds * kCounters + 2 * (kOwnDisks + kProcesses)) / 2;
  VbdSet set(std::make_shared<VbdPool>(argv[1], shm, budget), kAllColumns);
  std::vector<std::vector<Key>> generations{{}};
  std::vector<std::shared_ptr<Recorder>> recorders{set.Record(kInterval, 100)};
  std::vector<double> values(disks.size() * kColumns);
  std::vector<uint32_t> failures(disks.size());
  std::vector<uint32_t> reopened(disks.size());
  int64_t frames = 0;
  int64_t tapdisk_rows = 0;
  int status = 0;
  for (uint32_t round = 0; status == 0; ++round) {
    const int64_t passed = Deadline::NowNanoseconds() - begin;
    if (passed > duration) break;
    const auto killed = static_cast<size_t>(passed * kProcesses / duration);
    for (size_t i = 0; i < killed; ++i) processes[i]->Kill();
    std::vector<Key> keys;
    for (uint32_t i = 0; i < disks.size(); ++i) {
      if ((i + round) % 3 != 0) keys.push_back(disks[i]);
    }
    set.Prepare(keys);
    if (set.Assign(keys, reopened.data()) != generations.size()) status = 3;
    generations.push_back(keys);
    const int64_t moment = Deadline::NowNanoseconds();
    set.Sample(values.data(), failures.data());
    for (size_t i = 0; i < keys.size(); ++i) {
      if (keys[i].tapdisk == 0 && failures[i] != 0) status = 4;
      if (!IsRight(keys[i], &values[i * kColumns], moment)) status = 1;
      tapdisk_rows += keys[i].tapdisk != 0 && failures[i] == 0;
    }
    if (round % 8 == 0) {
      recorders.push_back(set.Record(kInterval, 100));
      if (recorders.size() > 4) {
        recorders.front()->Stop();
        recorders.erase(recorders.begin());
      }
    }
    for (const auto& recorder : recorders) {
      const int64_t taken = CheckFrames(recorder.get(), generations);
      if (taken < 0) status = 1;
      frames += taken;
      recorder->missed();
      recorder->overwritten();
    }
  }
  set.Close();
  is_over = true;
  changes.join();
  std::printf("%lld %lld\n", static_cast<long long>(frames), static_cast<long long>(tapdisk_rows));
  return status;
}

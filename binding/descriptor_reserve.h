#pragma once

#include <array>
#include <cstddef>

#include "disk_statistics.h"

namespace xen_block_stats {

// Descriptors that are released to read a vbd when the process has no other free one. Not
// thread-safe.
class DescriptorReserve {
 public:
  DescriptorReserve();
  ~DescriptorReserve() { Release(); }
  DescriptorReserve(const DescriptorReserve&) = delete;
  DescriptorReserve& operator=(const DescriptorReserve&) = delete;

  // The number of descriptors: opening or reading a vbd takes two, the directory and a file.
  static constexpr size_t kSize = 2;

  // Calls a function that opens files; if the process has no free descriptor, again with those of
  // the reserve.
  template <typename Function>
  Failure With(Function open) {
    Failure failure = open();
    if (IsOutOfDescriptors(failure.error)) {
      Release();
      failure = open();
    }
    Fill();
    return failure;
  }

  // Closes the descriptors.
  void Release();

 private:
  // Opens the descriptors, as far as the process has free ones.
  void Fill();

  std::array<int, kSize> descriptors_;
};

}  // namespace xen_block_stats

#include "descriptor_reserve.h"

#include <fcntl.h>
#include <unistd.h>

namespace xen_block_stats {
namespace {

constexpr int kNoDescriptor = -1;

}  // namespace

DescriptorReserve::DescriptorReserve() {
  descriptors_.fill(kNoDescriptor);
  Fill();
}

void DescriptorReserve::Release() {
  for (int& descriptor : descriptors_) {
    if (descriptor != kNoDescriptor) close(descriptor);
    descriptor = kNoDescriptor;
  }
}

void DescriptorReserve::Fill() {
  for (int& descriptor : descriptors_) {
    if (descriptor == kNoDescriptor) descriptor = open("/", O_PATH | O_CLOEXEC);
  }
}

}  // namespace xen_block_stats

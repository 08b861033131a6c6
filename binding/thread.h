#pragma once

#include <functional>

namespace xen_block_stats {

// Runs this on a thread of its own, which takes no signals: those are for Node's threads. Returns
// false, with errno, if there can be no more threads.
bool StartThread(std::function<void()> run);

}  // namespace xen_block_stats

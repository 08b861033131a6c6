#pragma once

#include <functional>

namespace xen_block_stats {

// Runs a function on a new, detached thread, which blocks all signals: the threads of Node.js
// handle them. Returns false, with errno EAGAIN, if the process can have no more threads.
bool StartThread(std::function<void()> run);

}  // namespace xen_block_stats

/**
 * The signals that end a process unless it handles them. Node.js itself handles SIGPIPE and SIGPROF, and
 * signals of faults (SIGSEGV) cannot be handled.
 */
export const END_SIGNALS = [
  ...(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const),
  ...(['SIGTERM', 'SIGSTKFLT', 'SIGXCPU', 'SIGXFSZ', 'SIGVTALRM', 'SIGIO', 'SIGPWR'] as const),
];

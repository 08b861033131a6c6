/** Wrong usage of the command line. The usage is printed after the message; the exit status is 2. */
export class UsageError extends Error {}

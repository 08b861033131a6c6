/**
 * Calls a function after a time, in milliseconds; longer after the event loop was blocked. The time is waited for in two
 * halves: after a blocked event loop, a timer is called before what has arrived meanwhile is read.
 *
 * @returns a function that prevents the call.
 */
export function callAfter(timeoutMs: number, onDeadline: () => void): () => void {
  let timer = setTimeout(() => {
    timer = setTimeout(onDeadline, timeoutMs / 2);
  }, timeoutMs / 2);
  return () => {
    clearTimeout(timer);
  };
}

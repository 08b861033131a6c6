import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** How many of each this process has. */
export interface Holdings {
  readonly descriptors: number;
  readonly threads: number;
}

export function holdings(): Holdings {
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
  };
}

/** Waits until this process has no more than it had then. */
export async function untilGivenBack(before: Holdings): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const now = holdings();
    if (now.descriptors <= before.descriptors && now.threads <= before.threads) return;
    if (performance.now() > deadline) {
      throw new Error(`not given back: ${JSON.stringify(now)}, before ${JSON.stringify(before)}`);
    }
    await delay(5);
  }
}

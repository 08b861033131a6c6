import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** The numbers of open descriptors and of threads of this process. */
export interface Resources {
  readonly descriptors: number;
  readonly threads: number;
}

export function countResources(): Resources {
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
  };
}

/** Waits until this process has no more resources than before. */
export async function untilReleased(before: Resources): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const now = countResources();
    if (now.descriptors <= before.descriptors && now.threads <= before.threads) return;
    if (performance.now() > deadline) {
      throw new Error(`not released: ${JSON.stringify(now)}, before ${JSON.stringify(before)}`);
    }
    await delay(5);
  }
}

import { chmodSync, writeFileSync } from 'node:fs';

/** Overwrites the file of a counter, which is read-only as in sysfs. Open descriptors read the new content. */
export function overwriteCounter(path: string, content: string): void {
  chmodSync(path, 0o644);
  writeFileSync(path, content);
}

import { dirname, join } from 'node:path';

/** The root of the repository, also for compiled files below build/. */
export const ROOT = dirname(require.resolve('xen-block-stats/package.json'));

/** The command line's program. */
export const MAIN = join(ROOT, 'dist/xen-block-stats.js');

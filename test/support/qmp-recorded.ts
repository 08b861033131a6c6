import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './paths';

/** What the QEMU 7.2 of a Xen guest with the disks xvda (qcow2) and xvdb (raw) sent, a line each. */
const lines = readFileSync(join(ROOT, 'test/support/qmp-recorded.txt'), 'utf8').split('\n');

export const [GREETING = '', NEGOTIATED = '', ANSWER = ''] = lines.map((line) => `${line}\r\n`);

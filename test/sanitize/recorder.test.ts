import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from '../support/child-process';
import { buildDriver } from './build-driver';

/*
 * Runs recorder_driver.cc with the sanitizers. Its recorders follow rows that change all the time, of disks of
 * blkback and of tapdisk.
 */

const SECONDS = process.env['SANITIZE'] === 'long' ? 60 : 5;
const FILES = ['rd_req', 'rd_sect', 'wr_req', 'wr_sect', 'f_req', 'ds_req', 'oo_req'];
const VBDS = 12;

const directory = mkdtempSync(join(tmpdir(), 'recorder-driver-'));
const devices = join(directory, 'devices');
const SOURCES = [
  ...['recorder', 'vbd_set', 'vbd_pool', 'vbd_statistics', 'tapdisk_statistics', 'disk_statistics'],
  ...['descriptor_reserve', 'thread'],
];

beforeAll(() => {
  for (let devid = 0; devid < VBDS; devid++) {
    const statistics = join(devices, `vbd-1-${devid}`, 'statistics');
    mkdirSync(statistics, { recursive: true });
    for (const file of FILES) writeFileSync(join(statistics, file), `${devid}\n`);
  }
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

test.each([
  ['ThreadSanitizer', 'thread'],
  ['AddressSanitizer', 'address,undefined'],
])(
  '%s reports nothing while recorders follow rows that change',
  (_name, sanitizers) => {
    const program = buildDriver('recorder_driver', SOURCES, sanitizers, directory);
    const shm = mkdtempSync(join(directory, 'shm-'));
    // ThreadSanitizer does not support every memory layout that the kernel chooses
    const { status, stdout, stderr } = spawnSync(
      'setarch',
      ['--addr-no-randomize', program, devices, shm, String(VBDS), String(SECONDS)],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [frames = 0, readRowsOfTapdisk = 0] = stdout.split(' ').map(Number);
    expect(frames).toBeGreaterThan(1000);
    expect(readRowsOfTapdisk).toBeGreaterThan(100);
  },
  60_000 + 3000 * SECONDS,
);

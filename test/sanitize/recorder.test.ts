import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from '../support/child-process';
import { buildDriver } from './build-driver';

/* Runs recorder_driver.cc, whose recorders follow rows that change all the time, with the sanitizers. */

const SECONDS = process.env['SANITIZE'] === 'long' ? 60 : 5;
const FILES = ['rd_req', 'rd_sect', 'wr_req', 'wr_sect', 'f_req', 'ds_req', 'oo_req'];
const VBDS = 12;

const directory = mkdtempSync(join(tmpdir(), 'recorder-driver-'));
const devices = join(directory, 'devices');

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
    const sources = ['recorder', 'vbd_set', 'vbd_pool', 'vbd_statistics', 'descriptor_reserve'];
    const program = buildDriver('recorder_driver', [...sources, 'thread'], sanitizers, directory);
    // ThreadSanitizer does not support every memory layout that the kernel chooses
    const { status, stdout, stderr } = spawnSync(
      'setarch',
      ['--addr-no-randomize', program, devices, String(VBDS), String(SECONDS)],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(Number(stdout)).toBeGreaterThan(1000);
  },
  60_000 + 3000 * SECONDS,
);

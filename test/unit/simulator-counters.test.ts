import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { CounterFiles } from '../../lib/simulator/blkback';
import { BLKBACK_COUNTERS, countBlkbackIo } from '../../lib/simulator/counters';

let bus: string;
beforeEach(() => {
  bus = mkdtempSync(join(tmpdir(), 'xen-block-stats-'));
  mkdirSync(join(bus, 'devices'));
});
afterEach(() => {
  rmSync(bus, { recursive: true });
});

const file = (counter: string) => join(bus, 'devices/vbd-1-51712/statistics', counter);
const open = () => new CounterFiles(bus, 'vbd-1-51712');

function pread(descriptor: number): string {
  const buffer = Buffer.alloc(64);
  return buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, 64, 0));
}

test('starts with all counters at 0, in the format of the kernel', () => {
  open();
  for (const counter of BLKBACK_COUNTERS) expect(readFileSync(file(counter), 'latin1')).toBe('0\n');
});

test('an open descriptor reads each new value, longer or shorter', () => {
  const disk = open();
  const descriptor = openSync(file('rd_req'), 'r');
  for (const value of [9n, 10n, 2n ** 64n - 1n, 123n, 0n]) {
    disk.set({ rd_req: value });
    expect(pread(descriptor)).toBe(`${value}\n`);
  }
  closeSync(descriptor);
});

test('a reader in another thread never reads an empty file', async () => {
  const disk = open();
  const reader = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const fs = require('node:fs');
     const descriptor = fs.openSync(workerData, 'r');
     const buffer = Buffer.alloc(64);
     let empty = 0, reads = 0, last = '';
     do {
       last = buffer.toString('latin1', 0, fs.readSync(descriptor, buffer, 0, 64, 0));
       reads += 1;
       if (last === '') empty += 1;
       if (reads === 1) parentPort.postMessage('reading');
     } while (last !== '77777\\n');
     parentPort.postMessage({ empty });`,
    { eval: true, workerData: file('wr_sect') },
  );
  const answer = () => new Promise((resolve) => reader.once('message', resolve));
  await answer();
  for (let i = 0; i < 20000; i++) disk.set({ wr_sect: i % 2 === 0 ? 5n : 1000000000n });
  disk.set({ wr_sect: 77777n });
  expect(await answer()).toEqual({ empty: 0 });
});

test('counters continue at 0 after 2^64 - 1', () => {
  const disk = open();
  disk.set({ wr_req: 2n ** 64n - 1n });
  disk.perform({ writes: 3 });
  expect(disk.values.wr_req).toBe(2n);
});

test('counts requests, and sectors of 512 bytes', () => {
  expect(
    countBlkbackIo({
      reads: 2,
      readBytes: 8192,
      writeBytes: 65537 * 512,
      flushes: 1,
      discards: 4,
      ooReq: 5,
    }),
  ).toEqual({
    oo_req: 5n,
    rd_req: 2n,
    wr_req: 513n,
    f_req: 1n,
    ds_req: 4n,
    rd_sect: 16n,
    wr_sect: 65537n,
  });
});

test('remove() leaves no files, and an open descriptor reads nothing', () => {
  const disk = open();
  const descriptor = openSync(file('rd_req'), 'r');
  disk.remove();
  expect(existsSync(join(bus, 'devices/vbd-1-51712'))).toBe(false);
  expect(readdirSync(bus)).toEqual(['devices']);
  expect(pread(descriptor)).toBe('');
  closeSync(descriptor);
});

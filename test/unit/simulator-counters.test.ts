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
import { COUNTERS, DeviceFolder, countIo } from '../../lib/simulator/counters';

let bus: string;
beforeEach(() => {
  bus = mkdtempSync(join(tmpdir(), 'xen-block-stats-'));
  mkdirSync(join(bus, 'devices'));
});
afterEach(() => {
  rmSync(bus, { recursive: true });
});

const file = (counter: string) => join(bus, 'devices/vbd-1-51712/statistics', counter);
const open = () => new DeviceFolder(bus, 'vbd-1-51712', true);

function pread(descriptor: number): string {
  const buffer = Buffer.alloc(64);
  return buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, 64, 0));
}

test('a disk starts with every counter at 0, as the kernel prints it', () => {
  open();
  for (const counter of COUNTERS) expect(readFileSync(file(counter), 'latin1')).toBe('0\n');
});

test('a held descriptor sees every value, longer and shorter ones', () => {
  const disk = open();
  const held = openSync(file('rd_req'), 'r');
  for (const value of [9n, 10n, 2n ** 64n - 1n, 123n, 0n]) {
    disk.set({ rd_req: value });
    expect(pread(held)).toBe(`${value}\n`);
  }
  closeSync(held);
});

test('a reader that never stops reading never finds an empty file', async () => {
  const disk = open();
  const reader = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const fs = require('node:fs');
     const held = fs.openSync(workerData, 'r');
     const buffer = Buffer.alloc(64);
     let empty = 0, reads = 0, last = '';
     do {
       last = buffer.toString('latin1', 0, fs.readSync(held, buffer, 0, 64, 0));
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

test('counting goes on from 0 after 2^64 - 1', () => {
  const disk = open();
  disk.set({ wr_req: 2n ** 64n - 1n });
  disk.add(countIo({ writes: 3 }));
  expect(disk.values.wr_req).toBe(2n);
});

test('I/O is counted in requests, and in sectors of 512 bytes', () => {
  expect(
    countIo({
      reads: 2,
      readBytes: 8192,
      writeBytes: 65537 * 512,
      flushes: 1,
      discards: 4,
      delayed: 5,
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

test('a removed disk leaves nothing, and who holds its files reads nothing', () => {
  const disk = open();
  const held = openSync(file('rd_req'), 'r');
  disk.remove();
  expect(existsSync(join(bus, 'devices/vbd-1-51712'))).toBe(false);
  expect(readdirSync(bus)).toEqual(['devices']);
  expect(pread(held)).toBe('');
  closeSync(held);
});

test('other devices have a folder without statistics', () => {
  const device = new DeviceFolder(bus, 'qdisk-1-51712', false);
  expect(readdirSync(join(bus, 'devices/qdisk-1-51712'))).toEqual([]);
  expect(device.hasStatistics).toBe(false);
});

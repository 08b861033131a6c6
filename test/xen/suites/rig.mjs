// The functions that suites use in dom0.
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

export const PROJECT = '/share/project';
const require = createRequire(`${PROJECT}/`);
const xenBlockStats = require('xen-block-stats');
export const { parseDiskName, peaks } = xenBlockStats;

/** Connects with a long timeout, because xenstored is slow in the emulation. */
export const connect = (options) => xenBlockStats.connect({ timeoutMs: 20000, ...options });

export const BIN = `${PROJECT}/node_modules/.bin/xen-block-stats`;

/** Runs a shell command and returns its output. Throws with the output if it fails. */
export function sh(command) {
  const { stdout, stderr, status } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command}\nstatus ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** Runs a shell command that must fail, and returns its messages. */
export function failure(command) {
  const { stderr, status } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
  if (status === 0) throw new Error(`${command}: succeeded`);
  return stderr.trim();
}

export const virsh = (args) => sh(`virsh -q -c xen:///system ${args}`);
export const virshFailure = (args) => failure(`virsh -q -c xen:///system ${args}`);
export const domid = (name) => Number(sh(`xl domid ${name}`));

/** Runs a command in a guest. */
export const inGuest = (name, command) =>
  execFileSync('domu', [name, command], { encoding: 'utf8' }).trim();

/** Runs a program without blocking the event loop. Resolves to its output. */
export const start = async (program, args) => (await promisify(execFile)(program, args)).stdout;

/** Reads a counter from its file in sysfs. */
export const counter = (domain, devid, file) =>
  Number(
    readFileSync(`/sys/bus/xen-backend/devices/vbd-${domain}-${devid}/statistics/${file}`, 'utf8'),
  );

/** Waits until a condition holds. Throws after the timeout. */
export async function until(what, condition, seconds = 60) {
  const end = performance.now() + seconds * 1000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Returns the fields of libvirt's struct from the output of virsh domblkstat. */
export function domblkstat(domain, disk = '') {
  const { rd_req, rd_bytes, wr_req, wr_bytes, errs } = Object.fromEntries(
    virsh(`domblkstat ${domain} ${disk}`)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.slice(disk.length).trim().split(' '))
      .map(([name, value]) => [name, Number(value)]),
  );
  return { rdReq: rd_req, rdBytes: rd_bytes, wrReq: wr_req, wrBytes: wr_bytes, errs };
}

/** Returns the error that a call throws, as `code: message`. */
export function thrown(call) {
  try {
    call();
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
  throw new Error('the call did not throw');
}

/** Resolves to the error of a rejected promise, as `code: message`. */
export async function rejected(promise) {
  try {
    await promise;
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
  throw new Error('the promise was not rejected');
}

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { endChild, execFileSync, spawn } from './child-process';
import { programPath } from './programs';

/** A disk of a QEMU. */
export interface QemuDisk {
  readonly name: string;
  readonly format: 'qcow2' | 'raw' | 'vhd';
  /** Whether every write fails. Only for raw. */
  readonly isFailing?: boolean;
}

/** The environment of QEMU: AddressSanitizer, which test/sanitize/run preloads, does not support its coroutines. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, LD_PRELOAD: '' };
}

/** QEMU's name of a format. */
const driverOf = ({ format }: QemuDisk) => (format === 'vhd' ? 'vpc' : format);

/** A QEMU that has the disks of a domain and a monitor, as libxl starts it, but runs no guest. */
export class Qemu {
  /** The directory of the monitor's socket. */
  readonly directory = mkdtempSync(join(tmpdir(), 'qemu-'));
  /** The path of the monitor's socket. */
  readonly socket: string;
  readonly #child: ChildProcess;
  /** The connection to a second monitor, for I/O, and what it sends. */
  readonly #control: Socket;
  readonly #lines: AsyncIterator<string>;

  /** Starts a QEMU with disks of 64 MiB, and waits until its monitor listens. */
  static async start(domid: number, disks: readonly QemuDisk[]): Promise<Qemu> {
    const qemu = new Qemu(domid, disks);
    try {
      await qemu.#read('QMP');
      await qemu.#execute('qmp_capabilities');
    } catch (error) {
      await qemu.stop();
      throw error;
    }
    return qemu;
  }

  private constructor(domid: number, disks: readonly QemuDisk[]) {
    this.socket = join(this.directory, `qmp-libxenstat-${domid}`);
    for (const disk of disks) {
      const args = ['create', '-q', '-f', driverOf(disk), this.#image(disk), '64M'];
      execFileSync(programPath('qemu-img'), args, { env: environment() });
    }
    const monitors = [
      `socket,id=libxenstat,path=${this.socket},server=on,wait=off`,
      'socket,id=control,fd=3',
    ];
    this.#child = spawn(
      programPath('qemu-system-x86_64'),
      [
        ...['-S', '-display', 'none', '-nodefaults', '-machine', 'pc', '-m', '16'],
        ...monitors.flatMap((chardev) => ['-chardev', chardev]),
        ...['libxenstat', 'control'].flatMap((id) => ['-mon', `chardev=${id},mode=control`]),
        ...disks.flatMap((disk) => this.#diskArguments(disk)),
      ],
      // on stdout, qemu-io says what it does
      { env: environment(), stdio: ['ignore', 'ignore', 'inherit', 'pipe'] },
    );
    this.#control = this.#child.stdio[3] as Socket;
    this.#lines = createInterface(this.#control)[Symbol.asyncIterator]();
  }

  #image({ name }: QemuDisk): string {
    return join(this.directory, `${name}.img`);
  }

  #diskArguments(disk: QemuDisk): string[] {
    const { name, isFailing = false } = disk;
    const node = `${name}-${driverOf(disk)}`;
    const file = { driver: 'file', filename: this.#image(disk) };
    const failing = {
      driver: 'blkdebug',
      image: file,
      'inject-error': [{ event: 'write_aio', errno: 5 }],
    };
    const block = {
      driver: driverOf(disk),
      'node-name': node,
      file: isFailing ? failing : file,
    };
    return [
      ...['-blockdev', JSON.stringify(block)],
      ...['-device', `virtio-blk-pci,id=${name},drive=${node}`],
    ];
  }

  /** Does I/O on a disk, as a guest does, and waits for its end: `aio_write 0 1M`. */
  async io(disk: string, command: string): Promise<void> {
    const device = `/machine/peripheral/${disk}/virtio-backend`;
    for (const line of [command, 'aio_flush']) {
      await this.#execute('human-monitor-command', {
        'command-line': `qemu-io -d ${device} "${line}"`,
      });
    }
  }

  /** Stops QEMU (SIGSTOP) or continues it (SIGCONT). */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  /** Ends QEMU: it removes the socket. */
  async end(): Promise<void> {
    const ended = once(this.#child, 'exit');
    await this.#execute('quit');
    await ended;
  }

  /** Kills QEMU (SIGKILL): the socket remains. */
  async kill(): Promise<void> {
    await endChild(this.#child);
  }

  /** Kills QEMU, and removes its directory. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #execute(execute: string, args: Record<string, unknown> = {}): Promise<void> {
    this.#control.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const result = await this.#read('return');
    // QEMU returns the error of a command of the human monitor as text
    if (typeof result === 'string' && result !== '') throw new Error(`${execute}: ${result}`);
  }

  /** Waits for a message, and returns its content. Skips events. */
  async #read(kind: 'QMP' | 'return'): Promise<unknown> {
    for (;;) {
      const { done, value } = await this.#lines.next();
      if (done === true) throw new Error('QEMU ended');
      const message = JSON.parse(value) as Record<string, unknown>;
      if (kind in message) return message[kind];
      if (!('event' in message)) throw new Error(value);
    }
  }
}

import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Node } from '../../lib/simulator/toolstack';
import { endChild, execFile, execFileSync, spawn } from './child-process';
import { programPath } from './programs';
import { ROOT } from './paths';

/** Debian's xenstored, on a stub of the hypervisor (hypervisor_stub.c). */
export class RealXenstored {
  readonly directory = mkdtempSync(join(tmpdir(), 'xenstored-'));
  readonly socket = join(this.directory, 'socket');
  readonly #stub = join(this.directory, 'hypervisor_stub.so');
  #daemon: ChildProcess | undefined;

  async start(): Promise<void> {
    if (!existsSync(this.#stub)) {
      const source = join(ROOT, 'test/support/hypervisor_stub.c');
      execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', this.#stub, source, '-ldl']);
    }
    rmSync(this.socket, { force: true });
    const pidFile = join(this.directory, 'pid');
    this.#daemon = spawn(programPath('xenstored'), ['-N', '-F', pidFile], {
      env: { ...process.env, XENSTORED_RUNDIR: this.directory, LD_PRELOAD: this.#stub },
      stdio: 'ignore',
    });
    while (!(await this.#listens())) {
      if (this.#daemon.exitCode !== null) throw new Error('xenstored ended during its start');
      await delay(5);
    }
  }

  /** Resolves to whether xenstored listens: its socket exists shortly before. */
  #listens(): Promise<boolean> {
    return new Promise((resolve) => {
      const probe = createConnection(this.socket);
      probe.once('connect', () => {
        probe.destroy();
        resolve(true);
      });
      probe.once('error', () => {
        resolve(false);
      });
    });
  }

  /** Writes nodes, as the xenstore command line does. */
  async write(nodes: readonly Node[]): Promise<void> {
    const args = nodes.flatMap(([path, value]) => [path, value]);
    if (args.length > 0) await this.#xenstore('write', '--', ...args);
  }

  /** Removes nodes with all below them, and then empty parents. All nodes must exist. */
  async remove(paths: readonly string[]): Promise<void> {
    if (paths.length > 0) await this.#xenstore('rm', '-t', ...paths);
  }

  /** Sets the permissions of a node and all below it: the owner first (`n1`), then other domains (`r0`). */
  async permit(path: string, ...permissions: string[]): Promise<void> {
    await this.#xenstore('chmod', '-r', path, ...permissions);
  }

  /** Stops xenstored (SIGSTOP) or continues it (SIGCONT). */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#daemon?.kill(signal);
  }

  /** The process ID of xenstored. */
  get pid(): number {
    if (this.#daemon?.pid === undefined) throw new Error('xenstored is not running');
    return this.#daemon.pid;
  }

  /** Kills xenstored (SIGKILL). */
  async kill(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon !== undefined) await endChild(daemon);
  }

  /** Kills xenstored, and removes its directory. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true });
  }

  async #xenstore(...args: string[]): Promise<void> {
    await execFile('xenstore', args, {
      env: { ...process.env, XENSTORED_PATH: this.socket },
    });
  }
}

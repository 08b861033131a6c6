import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { connect } from 'xen-block-stats';
import { connectedNodes, diskNodes, guestNodes, type Node } from '../lib/simulator/toolstack';
import { RealXenstored } from '../test/support/real-xenstored';
import { linkCounters } from '../test/support/kernel-counters';
import { execFileSync } from '../test/support/child-process';

const DISKS_EACH = 2;

/** A host with many guests of two disks each, in a real xenstored, and a C program as the floor. */
export class DiscoveryHost {
  readonly disks: number;
  /** The longest time that the event loop was blocked while each set was made, in milliseconds. */
  readonly blocksMs: number[] = [];
  readonly #xenstored = new RealXenstored();
  readonly #program: string;
  readonly #options: { xenstore: string; sysfs: string; timeoutMs: number };

  private constructor(program: string, sysfs: string, guests: number) {
    this.#program = program;
    this.disks = DISKS_EACH * guests;
    this.#options = { xenstore: this.#xenstored.socket, sysfs, timeoutMs: 60_000 };
  }

  /** @param program - the compiled discovery.c. */
  static async start(program: string, directory: string, guests: number): Promise<DiscoveryHost> {
    const sysfs = join(directory, `sys-${guests}`);
    const host = new DiscoveryHost(program, sysfs, guests);
    await host.#xenstored.start();
    for (let domid = 1; domid <= guests; domid++) {
      const uuid = `00000000-0000-4000-8000-${String(domid).padStart(12, '0')}`;
      const nodes: Node[] = guestNodes('xl', { name: `guest${domid}`, domid, uuid });
      for (let i = 0; i < DISKS_EACH; i++) {
        const disk = {
          name: `xvd${'ab'.charAt(i)}`,
          source: `/dev/vg/${domid}-${i}`,
          backendDomid: 0,
        };
        nodes.push(...diskNodes('xl', domid, disk), ...connectedNodes(domid, disk));
        linkCounters(sysfs, 51712 + 16 * i, 'lo', { domid });
      }
      await host.#xenstored.write(nodes);
    }
    return host;
  }

  /** Runs the C program. Returns nanoseconds for each disk. */
  floor(what: 'disks' | 'set'): number {
    const env = { ...process.env, XENSTORED_PATH: this.#xenstored.socket };
    return Number(execFileSync(this.#program, [what], { env, encoding: 'utf8' })) / this.disks;
  }

  /** Runs connect(), domains() and disks() of each domain. Returns nanoseconds for each disk. */
  describeDisks(): number {
    const start = process.hrtime.bigint();
    const xen = connect(this.#options);
    const count = xen.domains().reduce((sum, domain) => sum + domain.disks().length, 0);
    const elapsed = Number(process.hrtime.bigint() - start);
    xen.close();
    if (count !== this.disks) throw new Error(`${count} disks instead of ${this.disks}`);
    return elapsed / this.disks;
  }

  /** Runs connect() and diskSet(). Returns nanoseconds for each disk. */
  async makeSet(): Promise<number> {
    const delays = monitorEventLoopDelay({ resolution: 1 });
    delays.enable();
    const start = process.hrtime.bigint();
    const xen = connect(this.#options);
    const set = await xen.diskSet();
    const elapsed = Number(process.hrtime.bigint() - start);
    delays.disable();
    this.blocksMs.push(delays.max / 1e6);
    const count = set.disks.length;
    xen.close();
    if (count !== this.disks) throw new Error(`${count} disks instead of ${this.disks}`);
    return elapsed / this.disks;
  }
}

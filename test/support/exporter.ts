import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { spawn } from './child-process';
import { MAIN } from './paths';

/** The paths of a host, as `connectOptions` of a simulated one. */
interface Paths {
  readonly xenstore: string;
  readonly sysfs: string;
  readonly shm?: string;
  readonly run?: string;
}

/** A process of `xen-block-stats serve`, on a free port. */
export class Exporter {
  /** The URL of the exporter: `http://127.0.0.1:40123`. */
  readonly url: string;
  /** What it prints when it has started. */
  readonly greeting: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown[]>;
  #stderr = '';

  private constructor(process: ChildProcess, url: string, greeting: string) {
    this.#process = process;
    this.url = url;
    this.greeting = greeting;
    this.#ended = once(process, 'exit');
    process.stderr?.on('data', (text: string) => {
      this.#stderr += text;
    });
  }

  static async start({ xenstore, sysfs, shm, run }: Paths, ...args: string[]): Promise<Exporter> {
    const serve = [MAIN, 'serve', '--listen', '127.0.0.1:0'];
    const host = ['--xenstore', xenstore, '--sysfs', sysfs];
    const env = {
      ...process.env,
      ...(shm !== undefined && { SHM_PATH: shm }),
      ...(run !== undefined && { XEN_RUN_PATH: run }),
    };
    const child = spawn(process.execPath, [...serve, ...host, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    child.stdout.setEncoding('utf8');
    child.stderr.setEncoding('utf8');
    const [first] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [
      unknown,
    ];
    const greeting = String(first);
    const url = /^listening on (http:\S+)\n/.exec(greeting)?.[1];
    if (url === undefined) throw new Error(`serve did not start: ${greeting}`);
    return new Exporter(child, url, greeting);
  }

  get pid(): number {
    return this.#process.pid ?? NaN;
  }

  /** The label `instance` of its series in Prometheus. */
  get instance(): string {
    return new URL(this.url).host;
  }

  get(path: string, options?: RequestInit): Promise<Response> {
    return fetch(`${this.url}${path}`, options);
  }

  async metrics(): Promise<string> {
    return (await this.get('/metrics')).text();
  }

  /** Whether the process has ended. */
  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** Ends the process, and returns its exit status, the signal that ended it, and its output on stderr. */
  async stop(signal: NodeJS.Signals = 'SIGTERM') {
    this.#process.kill(signal);
    const [status, killedBy] = await this.#ended;
    return { status, signal: killedBy, stderr: this.#stderr };
  }
}

/** Returns the value of the first line with this start, or undefined if no line has it. */
export function valueOf(text: string, start: string): number | undefined {
  const line = text.split('\n').find((it) => it.startsWith(start));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
}

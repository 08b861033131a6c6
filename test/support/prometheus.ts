import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { spawn } from './child-process';
import { programPath } from './programs';

/** A series of a query's result. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The timeout of waiting for a condition, in milliseconds. */
const TIMEOUT_MS = 20_000;

/** A process of Debian's Prometheus, with its files in a temporary directory. */
export class PrometheusServer {
  readonly #directory: string;
  readonly #process: ChildProcess;
  readonly #url: string;

  private constructor(directory: string, process: ChildProcess, url: string) {
    this.#directory = directory;
    this.#process = process;
    this.#url = url;
  }

  /**
   * Starts Prometheus, and waits until it is ready.
   *
   * @param configuration - the configuration in YAML.
   */
  static async start(configuration: string): Promise<PrometheusServer> {
    const directory = mkdtempSync(join(tmpdir(), 'prometheus-'));
    const file = join(directory, 'prometheus.yml');
    writeFileSync(file, configuration);
    const child = spawn(
      programPath('prometheus'),
      [
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        '--web.listen-address=127.0.0.1:0',
      ],
      { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const lines: string[] = [];
    for await (const line of createInterface(child.stderr)) {
      lines.push(line);
      const address = /msg="Listening on" address=(\S+)/.exec(line)?.[1];
      if (address === undefined) continue;
      // Prometheus continues to write there
      child.stderr.resume();
      const server = new PrometheusServer(directory, child, `http://${address}`);
      await server.#untilReady();
      return server;
    }
    rmSync(directory, { recursive: true });
    throw new Error(`prometheus did not start: ${lines.join('\n')}`);
  }

  /** Returns the present result of a query. */
  async query(promql: string): Promise<Series[]> {
    const { result } = (await this.#get('query', { query: promql })) as {
      result: { metric: Record<string, string>; value: [number, string] }[];
    };
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  /** Returns the value of a query with at most one series; NaN if it has none. */
  async number(promql: string): Promise<number> {
    const series = await this.query(promql);
    if (series.length > 1) throw new Error(`${promql} has ${series.length} series`);
    return series[0]?.value ?? NaN;
  }

  /** Returns the values of a label of the series of a selector. */
  async labelValues(label: string, selector: string): Promise<string[]> {
    return (await this.#get(`label/${label}/values`, { 'match[]': selector })) as string[];
  }

  /** Waits until a query has this value. */
  async until(promql: string, expected: number): Promise<void> {
    const deadline = Date.now() + TIMEOUT_MS;
    for (;;) {
      const value = await this.number(promql);
      if (value === expected) return;
      if (Date.now() > deadline) throw new Error(`${promql} is ${value}, expected ${expected}`);
      await delay(50);
    }
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    if (this.#process.exitCode === null) {
      this.#process.kill('SIGTERM');
      await ended;
    }
    rmSync(this.#directory, { recursive: true });
  }

  /** Waits until queries work: Prometheus listens earlier. */
  async #untilReady(): Promise<void> {
    const deadline = Date.now() + TIMEOUT_MS;
    while (!(await fetch(`${this.#url}/-/ready`)).ok) {
      if (Date.now() > deadline) throw new Error('prometheus is not ready');
      await delay(20);
    }
  }

  async #get(path: string, parameters: Record<string, string>): Promise<unknown> {
    const search = new URLSearchParams(parameters).toString();
    const response = await fetch(`${this.#url}/api/v1/${path}?${search}`);
    const body = (await response.json()) as { status: string; error?: string; data: unknown };
    if (body.status !== 'success') throw new Error(`${search}: ${String(body.error)}`);
    return body.data;
  }
}

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { program } from './programs';

/** One series of an answer. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

/** How long a condition may take to come true. */
const DEADLINE_MS = 20_000;

/** Debian's Prometheus, with a configuration in a temporary folder. */
export class PrometheusServer {
  readonly #folder: string;
  readonly #process: ChildProcess;
  readonly #url: string;

  private constructor(folder: string, process: ChildProcess, url: string) {
    this.#folder = folder;
    this.#process = process;
    this.#url = url;
  }

  /** @param configuration - YAML. */
  static async start(configuration: string): Promise<PrometheusServer> {
    const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
    const file = join(folder, 'prometheus.yml');
    writeFileSync(file, configuration);
    const child = spawn(
      program('prometheus'),
      [
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        '--web.listen-address=127.0.0.1:0',
      ],
      { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const said: string[] = [];
    for await (const line of createInterface(child.stderr)) {
      said.push(line);
      const address = /msg="Listening on" address=(\S+)/.exec(line)?.[1];
      if (address === undefined) continue;
      // it goes on writing there
      child.stderr.resume();
      const server = new PrometheusServer(folder, child, `http://${address}`);
      await server.#untilReady();
      return server;
    }
    rmSync(folder, { recursive: true });
    throw new Error(`prometheus did not start: ${said.join('\n')}`);
  }

  /** The answer to a query, as it is now. */
  async query(promql: string): Promise<Series[]> {
    const { result } = (await this.#get('query', { query: promql })) as {
      result: { metric: Record<string, string>; value: [number, string] }[];
    };
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  /** The one number that is the answer to a query; NaN if there is none. */
  async number(promql: string): Promise<number> {
    const series = await this.query(promql);
    if (series.length > 1) throw new Error(`${promql} has ${series.length} answers`);
    return series[0]?.value ?? NaN;
  }

  /** The values that a label has among the series of a selector. */
  async labelValues(label: string, selector: string): Promise<string[]> {
    return (await this.#get(`label/${label}/values`, { 'match[]': selector })) as string[];
  }

  /** Waits until a query has this one number for an answer. */
  async until(promql: string, expected: number): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    for (;;) {
      const value = await this.number(promql);
      if (value === expected) return;
      if (Date.now() > deadline) throw new Error(`${promql} is ${value}, and not ${expected}`);
      await delay(50);
    }
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    if (this.#process.exitCode === null) {
      this.#process.kill('SIGTERM');
      await ended;
    }
    rmSync(this.#folder, { recursive: true });
  }

  /** It listens before it can answer. */
  async #untilReady(): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!(await fetch(`${this.#url}/-/ready`)).ok) {
      if (Date.now() > deadline) throw new Error('prometheus is not ready');
      await delay(20);
    }
  }

  async #get(path: string, parameters: Record<string, string>): Promise<unknown> {
    const search = new URLSearchParams(parameters).toString();
    const response = await fetch(`${this.#url}/api/v1/${path}?${search}`);
    const answer = (await response.json()) as { status: string; error?: string; data: unknown };
    if (answer.status !== 'success') throw new Error(`${search}: ${String(answer.error)}`);
    return answer.data;
  }
}

import type { Socket } from 'node:net';

/*
 * QEMU's machine protocol (QMP): commands and messages are JSON objects.
 */

const GREETING = {
  QMP: {
    version: { qemu: { micro: 22, minor: 2, major: 7 }, package: 'simulated' },
    capabilities: ['oob'],
  },
};

/** The maximum length of a command, in characters. */
const MAX_COMMAND = 4096;

interface Command {
  readonly execute?: unknown;
  readonly id?: unknown;
}

/** A client of a monitor. It is not read until it is served. */
export class QmpClient {
  readonly socket: Socket;
  readonly #describe: () => unknown[];
  readonly #onData: () => void;
  /** What has been received, and not been executed yet. */
  #input = '';
  #isGreeted = false;
  #isNegotiated = false;

  /**
   * @param describe - returns the answer to `query-blockstats`.
   * @param onData - called when there is more to serve.
   */
  constructor(socket: Socket, describe: () => unknown[], onData: () => void) {
    this.socket = socket;
    this.#describe = describe;
    this.#onData = onData;
    // 'close' follows
    socket.on('error', () => undefined);
  }

  /** Greets the client, if it was not greeted, and answers its commands. */
  serve(): void {
    if (!this.#isGreeted) {
      this.#isGreeted = true;
      this.#send(GREETING);
      this.socket.setEncoding('utf8').on('data', (text: string) => {
        this.#input += text;
        this.#onData();
      });
    }
    for (const command of this.#commands()) this.#answer(command);
    if (this.#input.length > MAX_COMMAND) this.socket.destroy();
  }

  /** Removes the complete commands from the input. A command ends with its last brace: QEMU needs no line ends. */
  *#commands(): Generator<Command> {
    for (let end = 0; (end = this.#input.indexOf('}', end) + 1) > 0;) {
      const command = parse(this.#input.slice(0, end));
      if (command === undefined) continue;
      this.#input = this.#input.slice(end);
      end = 0;
      yield command;
    }
  }

  #answer({ execute, id }: Command): void {
    const isNegotiation = execute === 'qmp_capabilities';
    const result =
      isNegotiation !== this.#isNegotiated && (isNegotiation || execute === 'query-blockstats')
        ? { return: isNegotiation ? {} : this.#describe() }
        : { error: { class: 'CommandNotFound', desc: this.#explain(execute) } };
    this.#isNegotiated ||= isNegotiation;
    this.#send(id === undefined ? result : { ...result, id });
  }

  /** Returns why a command is refused. */
  #explain(execute: unknown): string {
    if (!this.#isNegotiated) return "Expecting capabilities negotiation with 'qmp_capabilities'";
    if (execute === 'qmp_capabilities') {
      return 'Capabilities negotiation is already complete, command ignored';
    }
    return `The command ${String(execute)} has not been found`;
  }

  #send(message: unknown): void {
    this.socket.write(`${toJson(message)}\r\n`);
  }
}

/** Returns a command; undefined if the text is not complete. */
function parse(text: string): Command | undefined {
  try {
    return JSON.parse(text) as Command;
  } catch {
    return undefined;
  }
}

/** Returns JSON with QEMU's spaces. It has all digits of a bigint. */
function toJson(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return `[${value.map(toJson).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([name, it]) => `${JSON.stringify(name)}: ${toJson(it)}`,
  );
  return `{${members.join(', ')}}`;
}

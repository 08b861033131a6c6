/*
 * QEMU's monitor protocol, as far as the statistics of disks need it:
 * https://www.qemu.org/docs/master/interop/qmp-spec.html
 */

/**
 * The commands, sent at once: the monitor does not answer before it has the first one. No other command may
 * ever be sent, because a client of the monitor can do anything to the domain.
 */
export const COMMANDS = '{"execute":"qmp_capabilities"}\r\n{"execute":"query-blockstats"}\r\n';

/** The limit of all that is received, in bytes: 600 disks. It also limits how long JSON.parse takes. */
export const MAX_BYTES = 1024 * 1024;

/** A JSON object of unknown content. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The statistics of a block device in QEMU. */
export interface BlockStats {
  /** The object as QEMU sent it. */
  readonly entry: JsonObject;
  /** The same object, in which integers that a number cannot hold are strings of their digits. */
  readonly exact: JsonObject;
}

/** Reads what a monitor sends: a greeting, and the response to each command; events come at any time. */
export class QmpReader {
  #received = 0;
  #text = '';
  #isGreeted = false;
  #isNegotiated = false;

  /** Whether the monitor serves this client. It greets a client when the one before has left. */
  get isGreeted(): boolean {
    return this.#isGreeted;
  }

  /**
   * Adds received text, a character for each byte. Returns the answer when it is complete.
   *
   * @throws Error with a message for the user if this is not the answer.
   */
  push(chunk: string): BlockStats[] | undefined {
    this.#received += chunk.length;
    if (this.#received > MAX_BYTES) throw new Error(`QEMU sent more than ${MAX_BYTES} bytes`);
    this.#text += chunk;
    if (!chunk.includes('\n')) return undefined;
    const lines = this.#text.split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      const answer = this.#handle(line);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  #handle(line: string): BlockStats[] | undefined {
    const message = parse(line);
    if (message !== undefined && has(message, 'event')) return undefined;
    if (!this.#isGreeted) {
      if (message === undefined || !has(message, 'QMP')) {
        throw new Error('it is not the socket of a QMP monitor');
      }
      this.#isGreeted = true;
      return undefined;
    }
    if (message === undefined) throw new Error('QEMU sent a line that is not a JSON object');
    if (has(message, 'error')) throw new Error(`QEMU refuses: ${describe(message['error'])}`);
    if (!has(message, 'return')) throw new Error('QEMU sent an unknown message');
    if (this.#isNegotiated) return toBlockStats(message['return'], line);
    this.#isNegotiated = true;
    return undefined;
  }
}

/** Whether a value is a JSON object, not an array or null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const has = (object: JsonObject, key: string) => Object.hasOwn(object, key);

function parse(line: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the description of an error response, made safe for a terminal. */
function describe(error: unknown): string {
  const text = isJsonObject(error) ? error['desc'] : undefined;
  return typeof text === 'string' ? text.slice(0, 200).replace(/[^ -~]/g, '?') : 'no reason given';
}

function toBlockStats(entries: unknown, line: string): BlockStats[] {
  if (!Array.isArray(entries) || !entries.every(isJsonObject)) {
    throw new Error('the answer of QEMU is not a list of objects');
  }
  if (!/[0-9]{16}/.test(line)) return entries.map((entry) => ({ entry, exact: entry }));
  const exact = (JSON.parse(quoteLongIntegers(line)) as { return: JsonObject[] }).return;
  return entries.map((entry, i) => ({ entry, exact: exact[i] ?? entry }));
}

/** A string or a number of valid JSON. In text that is not JSON, a match can take quadratic time. */
const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*/g;

/** Turns integers of 16 and more digits into strings, because JSON.parse rounds those above 2^53. */
function quoteLongIntegers(json: string): string {
  return json.replace(STRING_OR_NUMBER, (token) =>
    /^[0-9]{16,}$/.test(token) ? `"${token}"` : token,
  );
}

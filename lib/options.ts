import { invalidType, outOfRange } from './errors';

/**
 * Reads the options of a call: each one once, and only the object's own, so that a changed
 * `Object.prototype` changes nothing. An option that is undefined is not given.
 */
export class Options {
  readonly #values: Readonly<Record<string, unknown>>;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE` if it is not an object. */
  constructor(options: unknown) {
    if (options === undefined) options = {};
    if (typeof options !== 'object' || options === null) {
      throw invalidType('options', 'of type object', options);
    }
    this.#values = options as Record<string, unknown>;
  }

  /** The value of an option, whatever it is. */
  any(name: string): unknown {
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
  }

  boolean(name: string): boolean | undefined {
    return this.#typed(name, 'boolean') as boolean | undefined;
  }

  string(name: string): string | undefined {
    return this.#typed(name, 'string') as string | undefined;
  }

  function(name: string): ((...args: never[]) => unknown) | undefined {
    return this.#typed(name, 'function') as ((...args: never[]) => unknown) | undefined;
  }

  number(name: string): number | undefined {
    return this.#typed(name, 'number') as number | undefined;
  }

  /** An integer from `min` to `max`. */
  integer(name: string, min: number, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.number(name);
    if (value === undefined || (Number.isSafeInteger(value) && value >= min && value <= max)) {
      return value;
    }
    const range =
      max === Number.MAX_SAFE_INTEGER
        ? `an integer from ${min}`
        : `an integer from ${min} to ${max}`;
    throw outOfRange(`options.${name}`, range, value);
  }

  /** The path of a file. */
  path(name: string): string | undefined {
    const value = this.string(name);
    if (value === '' || value?.includes('\0') === true) {
      throw outOfRange(`options.${name}`, 'the path of a file', value);
    }
    return value;
  }

  #typed(name: string, type: 'boolean' | 'string' | 'number' | 'function'): unknown {
    const value = this.any(name);
    if (value === undefined || typeof value === type) return value;
    const expected = type === 'function' ? 'a function' : `of type ${type}`;
    throw invalidType(`options.${name}`, expected, value);
  }
}

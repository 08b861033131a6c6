import { invalidType, invalidValue, outOfRange } from './errors';

/** The longest delay of a Node.js timer, in milliseconds. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * Reads and checks the options of a call. Reads each option once, and only the object's own properties,
 * so that a changed `Object.prototype` has no effect. An option that is undefined counts as absent.
 *
 * The methods throw a TypeError `ERR_INVALID_ARG_TYPE` if an option has the wrong type.
 */
export class Options {
  readonly #values: Readonly<Record<string, unknown>>;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE` if `options` is not an object. */
  constructor(options: unknown) {
    if (options === undefined) options = {};
    if (typeof options !== 'object' || options === null) {
      throw invalidType('options', 'of type object', options);
    }
    this.#values = options as Record<string, unknown>;
  }

  /** Returns the value of an option, of any type. */
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

  /**
   * Returns an integer from `min` to `max`.
   *
   * @throws RangeError `ERR_OUT_OF_RANGE`.
   */
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

  /**
   * Returns an array of known names.
   *
   * @throws TypeError `ERR_INVALID_ARG_VALUE` if one of them is not known, or if there are none.
   */
  subset<T extends string>(name: string, known: readonly T[]): readonly T[] | undefined {
    const value = this.any(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) throw invalidType(`options.${name}`, 'an array', value);
    if (value.length === 0) throw invalidValue(`options.${name}`, known, 'none');
    for (const it of value) {
      if (!known.includes(it as T)) throw invalidValue(`options.${name}`, known, it);
    }
    return value as T[];
  }

  /**
   * Returns a path.
   *
   * @throws RangeError `ERR_OUT_OF_RANGE` if it is empty or contains a null character.
   */
  path(name: string): string | undefined {
    const value = this.string(name);
    if (value === '' || value?.includes('\0') === true) {
      throw outOfRange(`options.${name}`, 'a non-empty path without null characters', value);
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

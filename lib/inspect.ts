import { inspect } from 'node:util';

/** Returns what `util.inspect` and `console.log` print of an object: its class and state, in one line. */
export function inspectAs(name: string, state: object): string {
  return `${name} ${inspect(state, { breakLength: Infinity })}`;
}

/*
 * A second implementation of disk names and devids, to compare lib/disk-name.ts with. It follows the
 * table of libxl's names character by character, with bigints, and uses no regular expression and
 * no code of lib/.
 */

const LIMIT = 2n ** 31n;

/** A prefix with a range of disks and partitions, and the devids of this range. */
interface Range {
  prefix: 'xvd' | 'hd' | 'sd';
  disks: [first: bigint, last: bigint];
  lastPartition: bigint;
  /** The devid of the first disk in the range, and the distance between two disks. */
  first: bigint;
  step: bigint;
}

/** The table of libxl's names. The first range that contains a disk and its partition is used. */
const RANGES: Range[] = [
  { prefix: 'xvd', disks: [0n, 15n], lastPartition: 15n, first: 51712n, step: 16n },
  { prefix: 'xvd', disks: [0n, 1048575n], lastPartition: 255n, first: 268435456n, step: 256n },
  { prefix: 'hd', disks: [0n, 1n], lastPartition: 63n, first: 768n, step: 64n },
  { prefix: 'hd', disks: [2n, 3n], lastPartition: 63n, first: 5632n, step: 64n },
  { prefix: 'sd', disks: [0n, 15n], lastPartition: 15n, first: 2048n, step: 16n },
];

const DIGITS = '0123456789abcdef';
const CAPITALS = '0123456789ABCDEF';
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz';

/** Returns a digit's value, or undefined if the character is no digit in this base. */
function digit(character: string, base: number): bigint | undefined {
  const value = Math.max(DIGITS.indexOf(character), CAPITALS.indexOf(character));
  return value >= 0 && value < base ? BigInt(value) : undefined;
}

/** Parses one or more digits in this base. Returns undefined for any other text. */
function inBase(text: string, base: number): bigint | undefined {
  if (text === '') return undefined;
  let number = 0n;
  for (const character of text) {
    const value = digit(character, base);
    if (value === undefined) return undefined;
    number = number * BigInt(base) + value;
  }
  return number;
}

/** Parses a number in the syntax of C: hexadecimal, octal or decimal. */
function parseNumber(text: string): bigint | undefined {
  if (text.startsWith('0x') || text.startsWith('0X')) {
    return inBase(text.slice(2), 16);
  }
  return inBase(text, text.startsWith('0') ? 8 : 10);
}

function devid(prefix: Range['prefix'], disk: bigint, partition: bigint): bigint | undefined {
  const range = RANGES.find(
    ({ prefix: rangePrefix, disks: [first, last], lastPartition }) =>
      rangePrefix === prefix && disk >= first && disk <= last && partition <= lastPartition,
  );
  return range && range.first + (disk - range.disks[0]) * range.step + partition;
}

/** Returns the devid that a name must have; undefined for a name that must be refused. */
export function expectedDevid(name: string): number | undefined {
  const found = parsePair(name) ?? parsePlain(name) ?? parseLettered(name);
  return found === undefined ? undefined : Number(found);
}

/** Parses d<disk>p<partition>. */
function parsePair(name: string): bigint | undefined {
  if (!name.startsWith('d')) return undefined;
  const parts = name.slice(1).split('p');
  const [disk, partition] = parts.map(parseNumber);
  if (parts.length !== 2 || disk === undefined || partition === undefined) return undefined;
  return devid('xvd', disk, partition);
}

/** Parses a number. */
function parsePlain(name: string): bigint | undefined {
  const value = parseNumber(name);
  return value !== undefined && value < LIMIT ? value : undefined;
}

/** Parses a prefix, letters and an optional partition. */
function parseLettered(name: string): bigint | undefined {
  const prefix = (['xvd', 'hd', 'sd'] as const).find((it) => name.startsWith(it));
  if (prefix === undefined) return undefined;
  const rest = Array.from(name.slice(prefix.length));
  let count = 0n;
  while (rest[0] !== undefined && ALPHABET.includes(rest[0])) {
    count = count * 26n + BigInt(ALPHABET.indexOf(rest.shift() as string)) + 1n;
  }
  if (count === 0n) return undefined;
  if (rest.length === 0) return devid(prefix, count - 1n, 0n);
  const partition = rest[0] === '0' ? undefined : inBase(rest.join(''), 10);
  return partition === undefined ? undefined : devid(prefix, count - 1n, partition);
}

/** Returns the name that a devid must have: disk and partition in the range that contains it. */
export function expectedName(id: number): string {
  for (const { prefix, disks, lastPartition, first, step } of RANGES) {
    const above = BigInt(id) - first;
    if (above < 0n) continue;
    const disk = disks[0] + above / step;
    const partition = above % step;
    // a devid whose disk and partition are in an earlier range has no name: its number is used
    if (disk > disks[1] || partition > lastPartition) continue;
    if (devid(prefix, disk, partition) !== BigInt(id)) continue;
    return prefix + letters(disk) + (partition === 0n ? '' : partition.toString());
  }
  return id.toString();
}

/** Returns the letters of a disk: a, b, ... z, aa, ab ... There are 26^n names of n letters. */
function letters(disk: bigint): string {
  let length = 1n;
  let rest = disk;
  for (; rest >= 26n ** length; length++) rest -= 26n ** length;
  let name = '';
  for (let place = length - 1n; place >= 0n; place--) {
    name += ALPHABET.charAt(Number((rest / 26n ** place) % 26n));
  }
  return name;
}

/*
 * Disk names and devids once more, to compare lib/vdev.ts with: from the design's table, letter by
 * letter and in bigints, with no regular expression and nothing of lib/.
 */

const LIMIT = 2n ** 31n;

/** One spelling of disks: in what range of disk and partition its devids are which. */
interface Range {
  prefix: 'xvd' | 'hd' | 'sd';
  disks: [first: bigint, last: bigint];
  lastPartition: bigint;
  /** The devid of the first disk in the range, and how far the disks are from each other. */
  first: bigint;
  step: bigint;
}

/** The design's table; the first range that has a disk and its partition counts. */
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

/** A digit's value, or undefined if it is none in this base. */
function digit(character: string, base: number): bigint | undefined {
  const value = Math.max(DIGITS.indexOf(character), CAPITALS.indexOf(character));
  return value >= 0 && value < base ? BigInt(value) : undefined;
}

/** A number of one digit and more, in this base. */
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

/** A number as C programs take it: hexadecimal, octal or decimal. */
function number(text: string): bigint | undefined {
  if (text.startsWith('0x') || text.startsWith('0X')) {
    return inBase(text.slice(2), 16);
  }
  return inBase(text, text.startsWith('0') ? 8 : 10);
}

function devid(prefix: Range['prefix'], disk: bigint, partition: bigint): bigint | undefined {
  const range = RANGES.find(
    ({ prefix: its, disks: [first, last], lastPartition }) =>
      its === prefix && disk >= first && disk <= last && partition <= lastPartition,
  );
  return range && range.first + (disk - range.disks[0]) * range.step + partition;
}

/** What a name's devid has to be; undefined for a name that is to be refused. */
export function expectedDevid(name: string): number | undefined {
  const found = pair(name) ?? plain(name) ?? lettered(name);
  return found === undefined ? undefined : Number(found);
}

function pair(name: string): bigint | undefined {
  if (!name.startsWith('d')) return undefined;
  const parts = name.slice(1).split('p');
  const [disk, partition] = parts.map(number);
  if (parts.length !== 2 || disk === undefined || partition === undefined) return undefined;
  return devid('xvd', disk, partition);
}

function plain(name: string): bigint | undefined {
  const value = number(name);
  return value !== undefined && value < LIMIT ? value : undefined;
}

function lettered(name: string): bigint | undefined {
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

/** What a devid's name has to be: the disk's and partition's in the range that it lies in. */
export function expectedName(id: number): string {
  for (const { prefix, disks, lastPartition, first, step } of RANGES) {
    const above = BigInt(id) - first;
    if (above < 0n) continue;
    const disk = disks[0] + above / step;
    const partition = above % step;
    // a devid whose disk is spelled in an earlier range is nobody's
    if (disk > disks[1] || partition > lastPartition) continue;
    if (devid(prefix, disk, partition) !== BigInt(id)) continue;
    return prefix + letters(disk) + (partition === 0n ? '' : partition.toString());
  }
  return id.toString();
}

/** a, b, ... z, aa, ab ...: found from how many names there are of each length. */
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

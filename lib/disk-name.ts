import { XenError, invalidType, outOfRange } from './errors';

/*
 * Disk names and devids, as libxl parses them (xen-vbd-interface(7)):
 *
 *   xvd, disk and partition up to 15     202<<8 | disk<<4 | partition
 *   xvd, beyond that                     1<<28  | disk<<8 | partition
 *   hd,  disk 0..1 and 2..3              3<<8 and 22<<8 | (disk&1)<<6 | partition
 *   sd,  disk and partition up to 15     8<<8   | disk<<4 | partition
 *
 * libxl's parser accepts bare prefixes, signs, blanks and negative numbers by accident. This parser
 * refuses them.
 */

const MAX_DEVID = 2 ** 31 - 1;
const MAX_XVD_DISK = 2 ** 20 - 1;

const NUMBER = '0[xX][0-9a-fA-F]+|[0-9]+';
const DISK_AND_PARTITION = new RegExp(`^d(${NUMBER})p(${NUMBER})$`);
const PLAIN_NUMBER = new RegExp(`^(?:${NUMBER})$`);
const LETTERS = /^(xvd|hd|sd)([a-z]+)([1-9][0-9]*)?$/;

/** Parses a number like C's strtoul with base 0: 0x hex, 0 octal, else decimal; NaN for octal 8 or 9. */
function parseNumber(text: string): number {
  return Number(/^0[0-9]+$/.test(text) ? `0o${text}` : text);
}

/** Converts the letters of a disk to its index: a..z are 0..25, aa is 26 (bijective base 26). */
function lettersToIndex(letters: string): number {
  let index = 0;
  for (const letter of letters) index = index * 26 + letter.charCodeAt(0) - 96;
  return index - 1;
}

/** The inverse of {@link lettersToIndex}. */
function indexToLetters(index: number): string {
  let letters = '';
  for (let rest = index + 1; rest > 0; rest = Math.floor((rest - 1) / 26)) {
    letters = String.fromCharCode(97 + ((rest - 1) % 26)) + letters;
  }
  return letters;
}

function xvdDevid(disk: number, partition: number): number | undefined {
  if (disk <= 15 && partition <= 15) return (202 << 8) | (disk << 4) | partition;
  if (disk <= MAX_XVD_DISK && partition <= 255) return (1 << 28) | (disk << 8) | partition;
  return undefined;
}

function hdDevid(disk: number, partition: number): number | undefined {
  if (disk > 3 || partition > 63) return undefined;
  return ((disk < 2 ? 3 : 22) << 8) | ((disk & 1) << 6) | partition;
}

function sdDevid(disk: number, partition: number): number | undefined {
  if (disk > 15 || partition > 15) return undefined;
  return (8 << 8) | (disk << 4) | partition;
}

/** Returns the devid of a disk name, or undefined if the name is invalid. */
export function devidOf(name: string): number | undefined {
  const pair = DISK_AND_PARTITION.exec(name);
  if (pair) return xvdDevid(parseNumber(pair[1] as string), parseNumber(pair[2] as string));
  if (PLAIN_NUMBER.test(name)) {
    const devid = parseNumber(name);
    return devid <= MAX_DEVID ? devid : undefined;
  }
  const match = LETTERS.exec(name);
  if (!match) return undefined;
  const disk = lettersToIndex(match[2] as string);
  const partition = Number(match[3] ?? 0);
  switch (match[1]) {
    case 'xvd':
      return xvdDevid(disk, partition);
    case 'hd':
      return hdDevid(disk, partition);
    default:
      return sdDevid(disk, partition);
  }
}

/**
 * Returns the devid that libxl assigns to a disk of this name.
 *
 * @param name - `xvda`, `xvdb2`, `hda`, `sda1`; `d<disk>p<partition>`; or the devid itself in
 * decimal, hexadecimal (`0xca00`) or octal (`0145000`).
 * @returns 0 to 2^31 - 1.
 * @throws {@link XenError} `ERR_XEN_INVALID_DISK` if the name is invalid.
 */
export function parseDiskName(name: string): number {
  if (typeof name !== 'string') throw invalidType('name', 'of type string', name);
  const devid = devidOf(name);
  if (devid === undefined) {
    throw new XenError(
      'ERR_XEN_INVALID_DISK',
      `invalid disk name: ${JSON.stringify(name)} (names are like xvda, xvdb1, sda, hdc, d0p0 or 51712)`,
      { disk: name },
    );
  }
  return devid;
}

/**
 * Returns the name of a devid in letters. {@link parseDiskName} returns the same devid for this name. A
 * devid that no prefix (`xvd`, `hd`, `sd`) covers is returned as a decimal number.
 *
 * The configured name of a running domain's disk may differ: it is the node `dev` of the backend directory.
 *
 * @param devid - 0 to 2^31 - 1.
 */
export function diskName(devid: number): string {
  if (typeof devid !== 'number') throw invalidType('devid', 'of type number', devid);
  if (!Number.isInteger(devid) || devid < 0 || devid > MAX_DEVID) {
    throw outOfRange('devid', `an integer from 0 to ${MAX_DEVID}`, devid);
  }
  const spell = (prefix: string, disk: number, partition: number) =>
    prefix + indexToLetters(disk) + (partition === 0 ? '' : String(partition));

  const name =
    devid >= 1 << 28
      ? spell('xvd', (devid >> 8) & MAX_XVD_DISK, devid & 255)
      : nameOfMajor(devid >> 8, devid & 255, spell);
  return name !== undefined && devidOf(name) === devid ? name : String(devid);
}

/** Returns the name of a devid with a block major number: 202 (xvd), 8 (sd), 3 and 22 (hd). */
function nameOfMajor(
  major: number,
  minor: number,
  spell: (prefix: string, disk: number, partition: number) => string,
): string | undefined {
  switch (major) {
    case 202:
      return spell('xvd', minor >> 4, minor & 15);
    case 8:
      return spell('sd', minor >> 4, minor & 15);
    case 3:
    case 22:
      return spell('hd', (major === 22 ? 2 : 0) + (minor >> 6), minor & 63);
    default:
      return undefined;
  }
}

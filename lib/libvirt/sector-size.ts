import { invalidType } from '../errors';
import type { Options } from '../options';

/**
 * What libvirt's calls multiply sectors by. blkback counts sectors of 512 bytes, always: `512` gives
 * true bytes. libvirt multiplies by the disk's physical sector size, and so reports eight times too
 * much on a disk with physical sectors of 4096 bytes: `'physical'` agrees with it to the byte.
 */
export type SectorSize = 'physical' | 512;

/** The unit of blkback's counters, and libvirt's physical sector size of a disk that has none yet. */
export const DEFAULT_SECTOR_SIZE = 512;

let warned = false;

/** The option `sectorSize`. */
export function readSectorSize(options: Options): SectorSize | undefined {
  const value = options.any('sectorSize');
  if (value === undefined || value === 'physical' || value === 512) return value;
  throw invalidType('options.sectorSize', "'physical' or 512", value);
}

/** A sector size that a disk can have: a power of two from 512 to 65536. */
export function parseSectorSize(text: string | null | undefined): number | undefined {
  if (text == null || !/^[0-9]{3,5}$/.test(text)) return undefined;
  const size = Number(text);
  return size >= 512 && size <= 65536 && (size & (size - 1)) === 0 ? size : undefined;
}

/** Says once that libvirt's bytes are not the true ones. */
export function warnOfLibvirtBytes(disk: string, domain: string, size: number): void {
  if (warned) return;
  warned = true;
  process.emitWarning(
    `libvirt's bytes are ${size / 512} times the true ones on disks with physical sectors of ${size} bytes, such as ${disk} of domain ${domain}; sector size 512 gives true bytes`,
    { code: 'XEN_SECTOR_SIZE' },
  );
}

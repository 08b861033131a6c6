import { invalidType } from '../errors';
import type { Options } from '../options';

/**
 * The number of bytes by which `blockStats` and `blockStatsFlags` multiply sectors. blkback always counts
 * sectors of 512 bytes: `512` returns true bytes. libvirt multiplies by the disk's physical sector size, and
 * so reports eight times too much on a disk with physical sectors of 4096 bytes: `'physical'` returns
 * libvirt's bytes.
 */
export type SectorSize = 'physical' | 512;

/** The bytes of a sector in blkback's counters. libvirt's default for a disk without `physical-sector-size`. */
export const DEFAULT_SECTOR_SIZE = 512;

let isWarned = false;

/**
 * Returns the option `sectorSize`.
 *
 * @throws TypeError `ERR_INVALID_ARG_TYPE`.
 */
export function readSectorSize(options: Options): SectorSize | undefined {
  const value = options.any('sectorSize');
  if (value === undefined || value === 'physical' || value === 512) return value;
  throw invalidType('options.sectorSize', "'physical' or 512", value);
}

/** Parses a sector size, in bytes: a power of two from 512 to 65536. Returns undefined for anything else. */
export function parseSectorSize(text: string | null | undefined): number | undefined {
  if (text == null || !/^[0-9]{3,5}$/.test(text)) return undefined;
  const size = Number(text);
  return size >= 512 && size <= 65536 && (size & (size - 1)) === 0 ? size : undefined;
}

/** Emits a warning that libvirt's bytes differ from the true ones, once in a process. */
export function warnOfLibvirtBytes(disk: string, domain: string, size: number): void {
  if (isWarned) return;
  isWarned = true;
  process.emitWarning(
    `libvirt's bytes are ${size / 512} times the true ones on disks with physical sectors of ${size} bytes, such as ${disk} of domain ${domain}; sector size 512 gives true bytes`,
    { code: 'XEN_SECTOR_SIZE' },
  );
}

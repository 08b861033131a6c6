import { parseDiskName } from '..';
import { toJson } from './json';

/** Runs `devid <name>...`: prints the devids of disk names. */
export function devid(names: string[], { json }: { json?: boolean | undefined }): string {
  const devids = names.map((name) => ({ name, devid: parseDiskName(name) }));
  if (json === true) return toJson(devids);
  return devids.map((disk) => `${disk.name} ${disk.devid}\n`).join('');
}

import { BACKEND_KINDS } from './backend';
import { backendFolders } from './disk-info';
import type { Query } from './xenstore';

/** The first of the domids that are not a domain's. */
export const MAX_DOMID = 0x7ff0 - 1;

/** Which domain it is: a domid is used again when its domain has gone, its UUID is not. */
export interface DomainIdentity {
  readonly domid: number;
  readonly name: string | undefined;
  readonly uuid: string | undefined;
}

const VM = /^\/vm\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/** The domids of the running domains, as far as we may know: in a driver domain, those it serves. */
export function listDomids(query: Query, ownDomid: number): number[] {
  const [domains] = query.list(['/local/domain']);
  if (domains?.refused !== true) return toDomids(domains?.names ?? []);
  const served = query.list(
    BACKEND_KINDS.map(({ kind }) => `/local/domain/${ownDomid}/backend/${kind}`),
  );
  return toDomids(served.flatMap(({ names }) => names));
}

function toDomids(names: readonly string[]): number[] {
  const domids = names
    .filter((name) => /^(0|[1-9][0-9]{0,4})$/.test(name))
    .map(Number)
    .filter((domid) => domid <= MAX_DOMID);
  return [...new Set(domids)].sort((a, b) => a - b);
}

/** The domains that are running among these. */
export function identifyDomains(
  query: Query,
  ownDomid: number,
  domids: readonly number[],
): DomainIdentity[] {
  const nodes = domids.map((domid) => {
    const folder = `/local/domain/${domid}`;
    // a driver domain may not look at others: it knows them by what it serves them
    const served = ownDomid === 0 ? [] : backendFolders(ownDomid, domid);
    return [folder, `${folder}/name`, `${folder}/vm`, ...served];
  });
  const values = query.read(nodes.flat());
  let next = 0;
  return domids.flatMap((domid, i) => {
    const [folder, name, vm, ...served] = values.slice(next, (next += nodes[i]?.length ?? 0));
    const running =
      typeof folder === 'string' ||
      (folder === null && served.some((value) => value !== undefined));
    if (!running) return [];
    const uuid = VM.exec(vm ?? '')?.[1]?.toLowerCase();
    return [{ domid, name: name == null || name === '' ? undefined : name, uuid }];
  });
}

import { BACKEND_KINDS } from './backend';
import { backendFolders, kindFolder } from './disk-info';
import type { NodeText, Query } from './xenstore';

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
  const [domains] = query.listPermitted(['/local/domain']);
  if (domains != null) return toDomids(domains);
  const served = query.list(BACKEND_KINDS.map(({ kind }) => kindFolder(ownDomid, kind)));
  return toDomids(served.flat());
}

/** The domids among the names of a folder of domains. */
export function toDomids(names: readonly string[]): number[] {
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
  const nodes = identityNodes(ownDomid, domids);
  // a driver domain may not look at others
  const values = ownDomid === 0 ? query.read(nodes) : query.readPermitted(nodes);
  return toIdentities(ownDomid, domids, values);
}

/** The nodes that tell which domains these are. */
export function identityNodes(ownDomid: number, domids: readonly number[]): string[] {
  return domids.flatMap((domid) => {
    const folder = `/local/domain/${domid}`;
    // a driver domain may not look at others: it knows them by what it serves them
    const served = ownDomid === 0 ? [] : backendFolders(ownDomid, domid);
    return [folder, `${folder}/name`, `${folder}/vm`, ...served];
  });
}

/** Which domains these are, by the values of their {@link identityNodes}; without those that do not run. */
export function toIdentities(
  ownDomid: number,
  domids: readonly number[],
  values: readonly NodeText[],
): DomainIdentity[] {
  const each = identityNodes(ownDomid, [0]).length;
  return domids.flatMap((domid, i) => {
    const [folder, name, vm, ...served] = values.slice(i * each, (i + 1) * each);
    const running =
      typeof folder === 'string' ||
      (folder === null && served.some((value) => value !== undefined));
    if (!running) return [];
    const uuid = VM.exec(vm ?? '')?.[1]?.toLowerCase();
    return [{ domid, name: name == null || name === '' ? undefined : name, uuid }];
  });
}

/** Whether a domain is still the one that it was. */
export function isSameDomain(a: DomainIdentity, b: DomainIdentity): boolean {
  return a.domid === b.domid && a.uuid === b.uuid && (a.uuid !== undefined || a.name === b.name);
}

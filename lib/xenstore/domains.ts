import { DISK_KINDS, kindDirectory } from './backend-kinds';
import type { NodeText, Query } from './client';

/** The largest domid of a domain. */
export const MAX_DOMID = 0x7ff0 - 1;

/** Which domain it is: a domid is used again when its domain has gone, its UUID is not. */
export interface DomainIdentity {
  readonly domid: number;
  /** Undefined if xenstore has no name that may be read. */
  readonly name: string | undefined;
  /** Undefined if xenstore has no UUID that may be read. */
  readonly uuid: string | undefined;
}

const VM = /^\/vm\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/** The domids of the running domains; in a driver domain, which may not list them, those it serves. */
export function listDomids(query: Query, ownDomid: number): number[] {
  const [domains] = query.listPermitted(['/local/domain']);
  if (domains != null) return toDomids(domains);
  return toDomids(query.list(DISK_KINDS.map((kind) => kindDirectory(ownDomid, kind))).flat());
}

/** The domids among the names of a directory of domains. */
export function toDomids(names: readonly string[]): number[] {
  const domids = names
    .filter((name) => /^(0|[1-9][0-9]{0,4})$/.test(name))
    .map(Number)
    .filter((domid) => domid <= MAX_DOMID);
  return [...new Set(domids)].sort((a, b) => a - b);
}

/** The domain with this domid, if it is running. */
export function identifyDomain(
  query: Query,
  ownDomid: number,
  domid: number,
): DomainIdentity | undefined {
  const [identity] = identifyDomains(query, ownDomid, [domid]);
  return identity && confirmRunning(query, ownDomid, identity);
}

/** Which domains these are, of which it is known that they run. */
export function identifyDomains(
  query: Query,
  ownDomid: number,
  domids: readonly number[],
): DomainIdentity[] {
  const nodes = identityNodes(domids);
  // xenstored does not tell a driver domain
  return toIdentities(domids, query.read(nodes, ownDomid === 0 ? nodes.length : 0));
}

/** The domain whose nodes were read, if they were there. */
export function confirmRunning(
  query: Query,
  ownDomid: number,
  identity: DomainIdentity,
): DomainIdentity | undefined {
  const { domid, name, uuid } = identity;
  if (name !== undefined || uuid !== undefined) return identity;
  // a domain without a name, or one that may not be read: a driver domain knows those that it serves
  const own = DISK_KINDS.map((kind) => `${kindDirectory(ownDomid, kind)}/${domid}`);
  const [directory, ...served] = query.read([`/local/domain/${domid}`, ...own], 0);
  const isServed = directory === null && served.some((node) => node !== undefined);
  return typeof directory === 'string' || isServed ? identity : undefined;
}

/** The nodes that tell which domains these are. */
export function identityNodes(domids: readonly number[]): string[] {
  return domids.flatMap((domid) => [`/local/domain/${domid}/name`, `/local/domain/${domid}/vm`]);
}

/** Which domains these are, by the values of their {@link identityNodes}. */
export function toIdentities(
  domids: readonly number[],
  values: readonly NodeText[],
): DomainIdentity[] {
  return domids.map((domid, i) => {
    const [name, vm] = values.slice(2 * i, 2 * i + 2);
    const uuid = VM.exec(vm ?? '')?.[1]?.toLowerCase();
    return { domid, name: name == null || name === '' ? undefined : name, uuid };
  });
}

/** Whether a domain is still the one that it was. Its UUID may have become known since. */
export function isSameDomain(before: DomainIdentity, now: DomainIdentity): boolean {
  if (before.domid !== now.domid) return false;
  return before.uuid === undefined ? before.name === now.name : before.uuid === now.uuid;
}

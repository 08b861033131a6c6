import type { Answer } from '../native';
import { DISK_KINDS, kindDirectory } from './backend-kinds';
import { toTexts, type Query } from './client';

/** The largest domid of a guest: Xen reserves those from `DOMID_FIRST_RESERVED` (0x7ff0). */
export const MAX_DOMID = 0x7ff0 - 1;

/** The identity of a domain. Xen reuses the domid of an ended domain, but not its UUID. */
export interface DomainIdentity {
  readonly domid: number;
  /** The node `name`; undefined if it is missing, or xenstored refuses access. */
  readonly name: string | undefined;
  /** The UUID in the node `vm`; undefined if it is missing, or xenstored refuses access. */
  readonly uuid: string | undefined;
}

const VM = /^\/vm\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/** Returns the domids of the running domains. A driver domain, which may not list them, gets those it serves. */
export function listDomids(query: Query, ownDomid: number): number[] {
  const [domains] = query.listPermitted(['/local/domain']);
  if (domains != null) return toDomids(domains);
  return toDomids(query.list(DISK_KINDS.map((kind) => kindDirectory(ownDomid, kind))).flat());
}

/** Returns the domids among the names of a directory's children, in ascending order. */
export function toDomids(names: readonly string[]): number[] {
  const domids = names
    .filter((name) => /^(0|[1-9][0-9]{0,4})$/.test(name))
    .map(Number)
    .filter((domid) => domid <= MAX_DOMID);
  return [...new Set(domids)].sort((a, b) => a - b);
}

/** Returns the domain with this domid, or undefined if it is not running. */
export function identifyDomain(
  query: Query,
  ownDomid: number,
  domid: number,
): DomainIdentity | undefined {
  const [identity] = identifyDomains(query, ownDomid, [domid]);
  return identity && confirmRunning(query, ownDomid, identity);
}

/** Returns the identities of running domains. */
export function identifyDomains(
  query: Query,
  ownDomid: number,
  domids: readonly number[],
): DomainIdentity[] {
  const paths = identityPaths(domids);
  // xenstored refuses a driver domain access to these nodes
  return toIdentities(domids, query.readAll(paths, ownDomid === 0 ? paths.length : 0));
}

/** Returns the identity if its domain is running, else undefined. */
export function confirmRunning(
  query: Query,
  ownDomid: number,
  identity: DomainIdentity,
): DomainIdentity | undefined {
  const { domid, name, uuid } = identity;
  if (name !== undefined || uuid !== undefined) return identity;
  // no name, or no access to it: a driver domain has backend directories of the domains that it serves
  const own = DISK_KINDS.map((kind) => `${kindDirectory(ownDomid, kind)}/${domid}`);
  const [directory, ...served] = query.read([`/local/domain/${domid}`, ...own], 0);
  const isServed = directory === null && served.some((node) => node !== undefined);
  return typeof directory === 'string' || isServed ? identity : undefined;
}

/** Returns the paths of the nodes that identify domains: `name` and `vm` of each. */
export function identityNodes(domids: readonly number[]): string[] {
  return domids.flatMap((domid) => [`/local/domain/${domid}/name`, `/local/domain/${domid}/vm`]);
}

/** Returns paths whose answers are the {@link identityNodes} of each domain. */
export function identityPaths(domids: readonly number[]): string[] {
  return domids.map((domid) => `/local/domain/${domid}/{name,vm}`);
}

/** Converts the answers to {@link identityPaths} to identities. */
export function toIdentities(
  domids: readonly number[],
  answers: readonly (Answer | undefined)[],
): DomainIdentity[] {
  return domids.map((domid, i) => {
    const [name, vm] = toTexts(answers[i]);
    const uuid = VM.exec(vm ?? '')?.[1]?.toLowerCase();
    return { domid, name: name == null || name === '' ? undefined : name, uuid };
  });
}

/** Whether two identities are of the same domain. `before` may lack the UUID, which is written late. */
export function isSameDomain(before: DomainIdentity, now: DomainIdentity): boolean {
  if (before.domid !== now.domid) return false;
  return before.uuid === undefined ? before.name === now.name : before.uuid === now.uuid;
}

import type { DiskInfo } from './disk-info';
import { isSameDomain, type DomainIdentity } from './domain-identity';

/** A disk of a {@link DiskSet}: whose row it is. The same object as long as it is the same disk. */
export class SetDisk {
  /** The domid of the domain that has it. */
  readonly domid: number;
  /** Its number. */
  readonly devid: number;
  /** Its name in the guest's configuration (`xvda`). */
  readonly name: string;

  #identity: DomainIdentity;
  #info: DiskInfo;

  /** @internal */
  constructor(identity: DomainIdentity, info: DiskInfo) {
    this.domid = identity.domid;
    this.devid = info.devid;
    this.name = info.name;
    this.#identity = identity;
    this.#info = info;
  }

  /** The name of the domain, as it is now; undefined if xenstore has none that we may read. */
  get domain(): string | undefined {
    return this.#identity.name;
  }

  /** The UUID of the domain; undefined if xenstore has none that we may read. */
  get uuid(): string | undefined {
    return this.#identity.uuid;
  }

  /** What the disk is, as it was last described: its state and sizes become known as the guest connects. */
  get info(): DiskInfo {
    return this.#info;
  }

  /**
   * Whether this describes the same disk of the same domain.
   *
   * @internal
   */
  is(identity: DomainIdentity, { backend, source }: DiskInfo): boolean {
    return (
      isSameDomain(this.#identity, identity) &&
      this.#info.backend === backend &&
      this.#info.source === source
    );
  }

  /**
   * Takes note of a newer description.
   *
   * @internal
   */
  learn(identity: DomainIdentity, info: DiskInfo): void {
    this.#identity = identity;
    this.#info = info;
  }
}

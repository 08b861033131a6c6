import type { DiskInfo } from '../xenstore/disks';
import { isSameDomain, type DomainIdentity } from '../xenstore/domains';

/** A disk of a {@link DiskSet}: whose row it is. The same object as long as it is the same disk. */
export class SetDisk {
  /** The domid of the domain that has it. */
  readonly domid: number;
  /** Its number, 0 to 2^31 - 1. */
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

  /** The name of the domain, as it is now; undefined if xenstore has none that may be read. */
  get domain(): string | undefined {
    return this.#identity.name;
  }

  /** The UUID of the domain; undefined if xenstore has none that may be read. */
  get uuid(): string | undefined {
    return this.#identity.uuid;
  }

  /** What the disk is, as last described: its state and sizes become known as the guest connects. */
  get info(): DiskInfo {
    return this.#info;
  }

  /**
   * Takes a newer description, if it is of the same disk of the same domain. Returns whether it is.
   *
   * @internal
   */
  update(identity: DomainIdentity, info: DiskInfo): boolean {
    const isSame =
      isSameDomain(this.#identity, identity) &&
      this.#info.backend === info.backend &&
      this.#info.source === info.source;
    if (isSame) [this.#identity, this.#info] = [identity, info];
    return isSame;
  }
}

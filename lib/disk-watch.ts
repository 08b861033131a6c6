import type { Host } from './disk';
import { devids, diskNodes, kindFolder, ownLocation, toDiskInfos } from './disk-info';
import { identityNodes, toDomids, toIdentities } from './domain-identity';
import { XenError } from './errors';
import { Operation, type WatchHandle, type XenstoreAnswer, type XenstoreFailure } from './native';
import { SetDisk } from './set-disk';
import { checkPermitted, isRefusal, toNames, toText, xenstoreError } from './xenstore';

/** Domains that are looked at together: what they say is handled in one go of the event loop. */
const DOMAINS_AT_ONCE = 64;

/** Paths in one request, so that each is answered soon. */
const PATHS_AT_ONCE = 64;

/** An answer that nobody waits for and that has not come by then was lost. */
const ANSWER_TIMEOUT_MS = 5000;

/** Without a connection, the next one is tried so soon, and then less and less often. */
const FIRST_RETRY_MS = 10;
const LAST_RETRY_MS = 1000;

/** What can be asked of xenstored, in steps: whoever runs them waits for the answers as he likes. */
type Steps<T> = Generator<Request, T, XenstoreAnswer[]>;

interface Request {
  readonly operation: number;
  readonly paths: readonly string[];
  /** Whether it is no failure when xenstored refuses to answer. */
  readonly mayBeRefused: boolean;
}

/** Where a {@link DiskWatch} gets its words and who hears of it. */
export interface DiskWatchOptions {
  readonly host: Host;
  /** The path of xenstored's socket; undefined: the default. */
  readonly socket: string | undefined;
  /** How long the first look may wait for each answer. */
  readonly timeoutMs: number;
  /** Which disks are wanted. */
  readonly filter: (disk: SetDisk) => boolean;
  /** Hears of vbds that may become disks before it is known what they are: see VbdSet in binding/. */
  readonly prepare: (vbds: readonly { domid: number; devid: number }[]) => void;
  /** Hears of the disks, by domid and devid, whenever it was looked. */
  readonly update: (disks: readonly SetDisk[]) => void;
}

/**
 * Knows which disks blkback serves here. It looks once when it is made, and from then on wherever
 * xenstore says that something has changed, without keeping anyone waiting: its requests run on the
 * threads of a connection of its own. When that breaks it makes a new one, and looks at everything.
 */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #folder: string;
  #handle: WatchHandle | undefined;
  readonly #disks = new Map<number, readonly SetDisk[]>();
  /** What is watched on this connection. */
  readonly #watched = new Set<string>();
  /** Where to look again. */
  readonly #changed = new Set<number>();
  #lookEverywhere = false;
  /** The look that is under way, and what it waits for. */
  #steps: Steps<void> | undefined;
  #request: Request | undefined;
  #isCurrent = false;
  #retryMs = FIRST_RETRY_MS;
  #retry: NodeJS.Timeout | undefined;
  #keepsAlive = false;
  #closed = false;

  /** @throws XenError if xenstored cannot be asked now. */
  constructor(options: DiskWatchOptions) {
    this.#options = options;
    this.#folder = kindFolder(options.host.ownDomid, 'vbd');
    try {
      this.#connect(options.timeoutMs);
      this.#finish(this.#lookAtAll());
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Whether everything has been looked at on this connection, and changes reach us. */
  get isCurrent(): boolean {
    return this.#isCurrent;
  }

  /** Looks again at these domains. */
  lookAt(domids: Iterable<number>): void {
    for (const domid of domids) this.#changed.add(domid);
    this.#start();
  }

  /** Whether the process goes on for this. */
  keepAlive(alive: boolean): void {
    this.#keepsAlive = alive;
    if (this.#handle !== undefined) {
      this.#options.host.native.keepWatchAlive(this.#handle, alive);
    }
    if (alive) this.#retry?.ref();
    else this.#retry?.unref();
  }

  close(): void {
    this.#closed = true;
    this.#disconnect();
    clearTimeout(this.#retry);
  }

  #connect(timeoutMs: number): void {
    const { host, socket } = this.#options;
    const notify = this.#weakly((self) => {
      self.#onNews();
    });
    const handle = host.native.openWatch(socket, notify, timeoutMs);
    if ('failure' in handle) throw xenstoreError(handle, timeoutMs);
    this.#handle = handle;
    host.native.keepWatchAlive(handle, this.#keepsAlive);
  }

  /** For others to hold, without holding this: nobody has to close what he forgot. */
  #weakly(call: (self: DiskWatch) => void): () => void {
    const self = new WeakRef(this);
    return () => {
      // not at once, so that a listener's error is thrown where the addon is not
      process.nextTick(() => {
        const it = self.deref();
        if (it !== undefined) call(it);
      });
    };
  }

  #disconnect(): void {
    this.#steps = undefined;
    this.#isCurrent = false;
    this.#watched.clear();
    if (this.#handle === undefined) return;
    this.#options.host.native.closeWatch(this.#handle);
    this.#handle = undefined;
  }

  #onNews(): void {
    if (this.#handle === undefined) return;
    const { changed, broken, answers } = this.#options.host.native.takeWatch(this.#handle);
    for (const path of changed) this.#note(path);
    if (broken || (answers !== undefined && !this.#areAnswers(answers))) {
      this.#disconnect();
      this.#reconnectLater();
      return;
    }
    if (answers !== undefined && this.#steps !== undefined) this.#step(this.#steps, answers);
    this.#start();
  }

  /** Whether these are the answers to the request, and none that we cannot do without is refused. */
  #areAnswers(answers: XenstoreAnswer[] | XenstoreFailure): answers is XenstoreAnswer[] {
    if (!Array.isArray(answers)) return false;
    return this.#request?.mayBeRefused === true || !answers.some(isRefusal);
  }

  /** `/local/domain/0/backend/vbd/<domid>` or `/local/domain/<domid>/name`, or a folder above them. */
  #note(path: string): void {
    const name = /^\/local\/domain\/(\d+)\/name$/.exec(path);
    const domid = name ? name[1] : path.split('/')[6];
    if (domid === undefined) this.#lookEverywhere = true;
    else for (const it of toDomids([domid])) this.#changed.add(it);
  }

  #reconnectLater(): void {
    this.#lookEverywhere = true;
    const reconnect = this.#weakly((self) => {
      self.#reconnect();
    });
    this.#retry = setTimeout(reconnect, this.#retryMs);
    if (!this.#keepsAlive) this.#retry.unref();
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  #reconnect(): void {
    if (this.#closed) return;
    try {
      this.#connect(0);
    } catch (error) {
      if (!(error instanceof XenError)) throw error;
      this.#reconnectLater();
      return;
    }
    this.#start();
  }

  /** Begins to look where it has to be, unless it is looking somewhere. */
  #start(): void {
    if (this.#steps !== undefined || this.#handle === undefined) return;
    if (this.#lookEverywhere) {
      this.#lookEverywhere = false;
      this.#changed.clear();
      this.#steps = this.#lookAtAll();
    } else if (this.#changed.size > 0) {
      const domids = [...this.#changed].slice(0, DOMAINS_AT_ONCE);
      for (const domid of domids) this.#changed.delete(domid);
      this.#steps = this.#look(domids);
    } else {
      return;
    }
    this.#step(this.#steps, []);
  }

  #step(steps: Steps<void>, answers: XenstoreAnswer[]): void {
    let next;
    try {
      next = steps.next(answers);
    } catch (error) {
      // a listener's or a filter's: what has not been looked at is looked at when something changes
      this.#steps = undefined;
      this.#lookEverywhere = true;
      throw error;
    }
    // closed by a listener, meanwhile
    if (this.#steps !== steps || this.#handle === undefined) return;
    if (next.done === true) {
      this.#steps = undefined;
      this.#start();
    } else {
      this.#request = next.value;
      const { operation, paths } = next.value;
      this.#options.host.native.postWatch(this.#handle, operation, paths, ANSWER_TIMEOUT_MS);
    }
  }

  /** Takes the steps one after the other, and waits for each answer. */
  #finish(steps: Steps<void>): void {
    const { host, timeoutMs } = this.#options;
    let next = steps.next();
    while (next.done !== true && this.#handle !== undefined) {
      const { operation, paths, mayBeRefused } = next.value;
      const answers = host.native.askWatch(this.#handle, operation, paths, timeoutMs);
      if (!Array.isArray(answers)) throw xenstoreError(answers, timeoutMs);
      if (!mayBeRefused) checkPermitted(paths, answers);
      next = steps.next(answers);
    }
  }

  *#lookAtAll(): Steps<void> {
    yield* this.#watch([this.#folder]);
    const [names] = yield* ask(Operation.list, [this.#folder]);
    const domids = [...new Set([...toDomids(toNames(names)), ...this.#disks.keys()])];
    for (let i = 0; i < domids.length; i += DOMAINS_AT_ONCE) {
      yield* this.#look(domids.slice(i, i + DOMAINS_AT_ONCE));
    }
    this.#retryMs = FIRST_RETRY_MS;
    this.#isCurrent = true;
  }

  *#look(domids: readonly number[]): Steps<void> {
    const { host, prepare } = this.#options;
    const { ownDomid } = host;
    // before it is read, so that no change is missed; a driver domain may not look at names
    if (ownDomid === 0) yield* this.#watch(domids.map(namePath));
    const lists = yield* ask(
      Operation.list,
      domids.map((domid) => `${this.#folder}/${domid}`),
    );
    const locations = domids.map((domid, i) =>
      devids(toNames(lists[i]))
        .sort((a, b) => a - b)
        .map((devid) => ownLocation(ownDomid, 'vbd', domid, devid)),
    );
    prepare(
      domids.flatMap((domid, i) => (locations[i] ?? []).map(({ devid }) => ({ domid, devid }))),
    );
    // a driver domain may not look at others
    const domains = yield* ask(Operation.read, identityNodes(ownDomid, domids), ownDomid !== 0);
    const nodes = yield* ask(Operation.read, diskNodes(locations.flat()));

    const identities = new Map(
      toIdentities(ownDomid, domids, domains.map(toText)).map((it) => [it.domid, it]),
    );
    let next = 0;
    for (const [i, domid] of domids.entries()) {
      const own = locations[i] ?? [];
      const values = nodes.slice(next, (next += diskNodes(own).length)).map(toText);
      const identity = identities.get(domid);
      const disks =
        identity === undefined
          ? []
          : toDiskInfos(own, values)
              .filter(({ format, source }) => format === 'raw' && source !== undefined)
              .flatMap((info) => this.#toDisk(domid, new SetDisk(identity, info)));
      if (disks.length > 0) this.#disks.set(domid, disks);
      else this.#disks.delete(domid);
    }
    this.#update();
    yield* this.#unwatch(domids.filter((domid) => !this.#disks.has(domid)).map(namePath));
  }

  /** The disk that is known already if this is it; none if it is not wanted. */
  #toDisk(domid: number, disk: SetDisk): SetDisk[] {
    const { filter } = this.#options;
    const known = this.#disks.get(domid)?.find(({ devid }) => devid === disk.devid);
    if (known === undefined) return filter(disk) ? [disk] : [];
    const identity = { domid, name: disk.domain, uuid: disk.uuid };
    if (known.is(identity, disk.info)) {
      known.learn(identity, disk.info);
      return filter(known) ? [known] : [];
    }
    // another one in its place: it goes now, and the next look, which prepares it, finds the other
    this.#changed.add(domid);
    return [];
  }

  #update(): void {
    const domids = [...this.#disks.keys()].sort((a, b) => a - b);
    this.#options.update(domids.flatMap((domid) => this.#disks.get(domid) ?? []));
  }

  *#watch(paths: readonly string[]): Steps<void> {
    const unwatched = paths.filter((path) => !this.#watched.has(path));
    yield* ask(Operation.watch, unwatched);
    for (const path of unwatched) this.#watched.add(path);
  }

  *#unwatch(paths: readonly string[]): Steps<void> {
    yield* ask(
      Operation.unwatch,
      paths.filter((path) => this.#watched.delete(path)),
    );
  }
}

function namePath(domid: number): string {
  return `/local/domain/${domid}/name`;
}

function* ask(
  operation: number,
  paths: readonly string[],
  mayBeRefused = false,
): Steps<XenstoreAnswer[]> {
  const answers: XenstoreAnswer[] = [];
  for (let i = 0; i < paths.length; i += PATHS_AT_ONCE) {
    answers.push(...(yield { operation, paths: paths.slice(i, i + PATHS_AT_ONCE), mayBeRefused }));
  }
  return answers;
}

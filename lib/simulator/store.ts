/** The name of an error of xenstored. */
export type StoreErrorCode = 'EINVAL' | 'ENOENT' | 'ENOSYS' | 'E2BIG' | 'EACCES';

/** A refused request. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, reason: string) {
    super(`${code}: ${reason}`);
    this.code = code;
  }
}

interface StoreNode {
  value: Buffer;
  readonly children: Set<string>;
}

/** The nodes of xenstore, and their watches. Methods throw StoreError `EINVAL` for an invalid path. */
export class Store {
  readonly #nodes = new Map<string, StoreNode>([['/', newNode()]]);
  readonly #watches = new Set<{
    readonly path: string;
    readonly notify: (changed: string) => void;
  }>();
  #generation = 0;

  /** A number that changes with every write and every removal. */
  get generation(): number {
    return this.#generation;
  }

  has(path: string): boolean {
    checkPath(path);
    return this.#nodes.has(path);
  }

  /** Returns a node's value. @throws StoreError `ENOENT`. */
  read(path: string): Buffer {
    return this.#get(path).value;
  }

  /** Returns the names of a node's children. @throws StoreError `ENOENT`. */
  list(path: string): string[] {
    return [...this.#get(path).children];
  }

  /** Writes a node, and creates its missing parents. */
  write(path: string, value: Buffer): void {
    checkPath(path);
    this.#make(path).value = value;
    this.#generation += 1;
    this.notify(path);
  }

  /**
   * Removes a node and all nodes below it. A missing node is no error if its parent exists.
   *
   * @throws StoreError `ENOENT` without a parent.
   */
  remove(path: string): void {
    if (path === '/') throw new StoreError('EINVAL', 'the root cannot be removed');
    const exists = this.has(path);
    const [parent, name] = split(path);
    this.#get(parent).children.delete(name);
    if (!exists) return;
    const [, ...below] = this.#delete(path);
    this.#generation += 1;
    this.notify(path);
    for (const removed of below) this.notify(removed, true);
  }

  /**
   * Adds a watch, and returns a function that removes it. The caller sends the first event.
   *
   * @param path - a node, or `@introduceDomain` or `@releaseDomain`.
   * @param notify - called with the path that changed: `path` itself or a path below it.
   */
  watch(path: string, notify: (changed: string) => void): () => void {
    if (!path.startsWith('@')) checkPath(path);
    const watch = { path, notify };
    this.#watches.add(watch);
    return () => {
      this.#watches.delete(watch);
    };
  }

  /**
   * Notifies the watches of a path, and those of the nodes above it unless `exact`.
   *
   * @param path - a node, or `@introduceDomain` or `@releaseDomain`.
   */
  notify(path: string, exact = false): void {
    for (const { path: watched, notify } of this.#watches) {
      if (exact ? watched === path : isWithin(path, watched)) notify(path);
    }
  }

  #get(path: string): StoreNode {
    checkPath(path);
    const node = this.#nodes.get(path);
    if (!node) throw new StoreError('ENOENT', `no node ${path}`);
    return node;
  }

  #make(path: string): StoreNode {
    let node = this.#nodes.get(path);
    if (node) return node;
    node = newNode();
    const [parent, name] = split(path);
    this.#make(parent).children.add(name);
    this.#nodes.set(path, node);
    return node;
  }

  /** Deletes a node and all nodes below it, and returns their paths. */
  #delete(path: string): string[] {
    const names = this.list(path);
    this.#nodes.delete(path);
    return [path, ...names.flatMap((name) => this.#delete(`${path}/${name}`))];
  }
}

function newNode(): StoreNode {
  return { value: Buffer.alloc(0), children: new Set() };
}

/** Throws `EINVAL` unless this is a node's absolute path. */
function checkPath(path: string): void {
  if (path === '/' || /^(?:\/[A-Za-z0-9\-_@]+)+$/.test(path)) return;
  throw new StoreError('EINVAL', `not a path: ${path}`);
}

function split(path: string): [parent: string, name: string] {
  const slash = path.lastIndexOf('/');
  return [path.slice(0, slash) || '/', path.slice(slash + 1)];
}

/** Returns whether a path is a directory's or below it. */
function isWithin(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

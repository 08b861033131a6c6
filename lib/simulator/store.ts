/** An error as xenstored tells it: by its name. */
export type StoreErrorCode =
  'EINVAL' | 'EEXIST' | 'ENOENT' | 'ENOSYS' | 'EBUSY' | 'EAGAIN' | 'E2BIG' | 'EACCES';

/** What the store refuses. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, what: string) {
    super(`${code}: ${what}`);
    this.code = code;
  }
}

/** The longest path, in bytes. */
const MAX_PATH = 3072;

/** Throws `EINVAL` unless it is a node's absolute path. */
export function checkPath(path: string): void {
  const valid = path === '/' || /^(?:\/[A-Za-z0-9\-_@]+)+$/.test(path);
  if (!valid || path.length > MAX_PATH) throw new StoreError('EINVAL', `not a path: ${path}`);
}

/** Whether a node is this one or below it. */
function isWithin(path: string, folder: string): boolean {
  return folder === '/' || path === folder || path.startsWith(`${folder}/`);
}

interface TreeNode {
  value: Buffer;
  /** Changes whenever the value or the list of children does. */
  generation: number;
  readonly children: Map<string, TreeNode>;
  /** The only tree that may change this node; others copy it first. */
  readonly owner: object;
}

/** Something that watches hear of; `exact`: only a watch on this very node does. */
interface Change {
  readonly path: string;
  readonly exact: boolean;
}

let lastGeneration = 0;

/** One view of the nodes: the store's own, or a transaction's. */
export class Tree {
  #root: TreeNode;
  #owner: object = {};
  readonly #changed: (change: Change) => void;

  /** @param changed - hears of every change, after it was made. */
  constructor(changed: (change: Change) => void, root?: TreeNode) {
    this.#changed = changed;
    this.#root = root ?? this.#newNode();
  }

  /** Another view that starts with the same nodes. Cheap: both copy what they change from now on. */
  snapshot(changed: (change: Change) => void): Tree {
    this.#owner = {};
    return new Tree(changed, this.#root);
  }

  /** Takes over the nodes of a snapshot. */
  replaceBy(snapshot: Tree): void {
    this.#root = snapshot.#root;
    // from here on the nodes are nobody's to change in place
    this.#owner = {};
    snapshot.#owner = {};
  }

  /** @throws StoreError `ENOENT`, `EINVAL`. */
  read(path: string): Buffer {
    return this.#get(path).value;
  }

  /** Whether there is such a node. @throws StoreError `EINVAL`. */
  has(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  /**
   * The names of a node's children, and a number that changes when they do.
   *
   * @throws StoreError `ENOENT`, `EINVAL`.
   */
  list(path: string): { generation: number; names: string[] } {
    const { generation, children } = this.#get(path);
    return { generation, names: [...children.keys()] };
  }

  /** Writes a node, and makes its parents. @throws StoreError `EINVAL`. */
  write(path: string, value: Buffer): void {
    const node = this.#make(path);
    node.value = Buffer.from(value);
    node.generation = ++lastGeneration;
    this.#changed({ path, exact: false });
  }

  /** Makes a node unless it is there. @throws StoreError `EINVAL`. */
  mkdir(path: string): void {
    if (this.has(path)) return;
    this.#make(path);
    this.#changed({ path, exact: false });
  }

  /**
   * Removes a node and all below it. One that is not there need not be removed, if its parent is.
   *
   * @throws StoreError `ENOENT` without a parent, `EINVAL`.
   */
  remove(path: string): void {
    if (path === '/') throw new StoreError('EINVAL', 'the root stays');
    const parent = path.slice(0, path.lastIndexOf('/')) || '/';
    const removed = this.#find(path);
    if (!removed) {
      this.#get(parent);
      return;
    }
    const folder = this.#make(parent);
    folder.children.delete(path.slice(path.lastIndexOf('/') + 1));
    folder.generation = ++lastGeneration;
    this.#changed({ path, exact: false });
    this.#announceRemoval(path, removed);
  }

  #announceRemoval(path: string, { children }: TreeNode): void {
    for (const [name, child] of children) {
      this.#changed({ path: `${path}/${name}`, exact: true });
      this.#announceRemoval(`${path}/${name}`, child);
    }
  }

  #newNode(): TreeNode {
    return {
      value: Buffer.alloc(0),
      generation: ++lastGeneration,
      children: new Map(),
      owner: this.#owner,
    };
  }

  #get(path: string): TreeNode {
    const node = this.#find(path);
    if (!node) throw new StoreError('ENOENT', `no node ${path}`);
    return node;
  }

  #find(path: string): TreeNode | undefined {
    let node: TreeNode | undefined = this.#root;
    for (const name of split(path)) node = node?.children.get(name);
    return node;
  }

  /** A node that may be changed, with its parents; what is missing is made. */
  #make(path: string): TreeNode {
    this.#root = this.#own(this.#root);
    let node = this.#root;
    for (const name of split(path)) {
      const known = node.children.get(name);
      if (!known) node.generation = ++lastGeneration;
      const child = known ? this.#own(known) : this.#newNode();
      node.children.set(name, child);
      node = child;
    }
    return node;
  }

  #own(node: TreeNode): TreeNode {
    if (node.owner === this.#owner) return node;
    return { ...node, children: new Map(node.children), owner: this.#owner };
  }
}

function split(path: string): string[] {
  checkPath(path);
  return path === '/' ? [] : path.slice(1).split('/');
}

/** A view of its own, until it is committed or forgotten. */
export interface Transaction {
  readonly tree: Tree;
  /** What to tell the watches when it is committed. */
  readonly changes: Change[];
  /** The store's version when it began. */
  readonly version: number;
}

/** A watch: whoever holds the object can take it away again. */
export interface Watch {
  /** An absolute path, or `@introduceDomain` or `@releaseDomain`. */
  readonly path: string;
  /** Called with the path of what changed: `path` itself or one below it. */
  readonly notify: (path: string) => void;
}

/** The nodes that everyone sees, and who wants to know when they change. */
export class Store {
  /** The nodes. What is changed here is seen by all at once. */
  readonly tree = new Tree((change) => {
    this.#version += 1;
    this.#announce(change);
  });
  readonly #watches = new Set<Watch>();
  #version = 0;

  begin(): Transaction {
    const changes: Change[] = [];
    const tree = this.tree.snapshot((change) => changes.push(change));
    return { tree, changes, version: this.#version };
  }

  /** @throws StoreError `EAGAIN` if it wrote and so did others since it began. */
  commit({ tree, changes, version }: Transaction): void {
    if (changes.length === 0) return;
    if (version !== this.#version) throw new StoreError('EAGAIN', 'others wrote meanwhile');
    this.#version += 1;
    this.tree.replaceBy(tree);
    for (const change of changes) this.#announce(change);
  }

  /** Adds a watch. It hears of changes only: the first event, at once, is its owner's to send. */
  watch(watch: Watch): void {
    if (!watch.path.startsWith('@')) checkPath(watch.path);
    this.#watches.add(watch);
  }

  unwatch(watch: Watch): void {
    this.#watches.delete(watch);
  }

  /** Tells who watches `@introduceDomain` or `@releaseDomain`. */
  announceDomain(event: '@introduceDomain' | '@releaseDomain'): void {
    this.#announce({ path: event, exact: true });
  }

  #announce({ path, exact }: Change): void {
    for (const watch of this.#watches) {
      if (exact ? watch.path === path : isWithin(path, watch.path)) watch.notify(path);
    }
  }
}

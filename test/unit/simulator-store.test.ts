import { Store } from '../../lib/simulator/store';

const bytes = (text: string) => Buffer.from(text);
const refusal = (code: string) => expect.objectContaining({ code }) as Error;

function watchAll(store: Store, ...paths: string[]) {
  const events: string[] = [];
  for (const path of paths) store.watch(path, (changed) => events.push(`${path}: ${changed}`));
  return events;
}

describe('nodes', () => {
  const store = new Store();

  test('a write creates the parents, with empty values', () => {
    store.write('/a/b/c', bytes('1'));
    expect(store.read('/a/b/c').toString()).toBe('1');
    expect(store.read('/a/b')).toHaveLength(0);
    expect(store.list('/a')).toEqual(['b']);
    expect(store.list('/')).toEqual(['a']);
  });

  test('a missing node is ENOENT', () => {
    expect(() => store.read('/x')).toThrow(refusal('ENOENT'));
    expect(() => store.list('/x')).toThrow(refusal('ENOENT'));
  });

  test('remove() removes all nodes below; the node can be missing, its parent cannot', () => {
    store.remove('/a/b');
    expect(store.has('/a/b/c')).toBe(false);
    expect(store.list('/a')).toEqual([]);
    expect(() => {
      store.remove('/a/b');
    }).not.toThrow();
    expect(() => {
      store.remove('/x/y');
    }).toThrow(refusal('ENOENT'));
    expect(() => {
      store.remove('/');
    }).toThrow(refusal('EINVAL'));
  });

  test('the generation changes with each write and removal', () => {
    const { generation } = store;
    store.list('/a');
    expect(store.generation).toBe(generation);
    store.write('/a/new', bytes(''));
    const written = store.generation;
    expect(written).not.toBe(generation);
    store.remove('/a/new');
    expect(store.generation).not.toBe(written);
  });

  test.each(['', 'a', '/a/', '//a', '/a//b', '/a b', '/a.b', '/ä'])('%p is no path', (path) => {
    expect(() => store.read(path)).toThrow(refusal('EINVAL'));
  });
});

describe('watches', () => {
  test('are notified of changes of the node and of the nodes below it', () => {
    const store = new Store();
    const events = watchAll(store, '/a');
    for (const path of ['/a', '/a/b', '/ab', '/b']) store.write(path, bytes(''));
    expect(events).toEqual(['/a: /a', '/a: /a/b']);
  });

  test('are notified of their own path when a directory above is removed', () => {
    const store = new Store();
    store.write('/a/b/c', bytes(''));
    const events = watchAll(store, '/a/b/c', '/a/b/never', '/');
    store.remove('/a');
    expect(events).toEqual(['/: /a', '/a/b/c: /a/b/c']);
  });

  test('are notified of domains only by the special names', () => {
    const store = new Store();
    const events = watchAll(store, '/', '@introduceDomain', '@releaseDomain');
    store.notify('@introduceDomain', true);
    expect(events).toEqual(['@introduceDomain: @introduceDomain']);
  });

  test('are not notified after they are removed', () => {
    const store = new Store();
    const events: string[] = [];
    const unwatch = store.watch('/a', (changed) => events.push(changed));
    unwatch();
    store.write('/a', bytes(''));
    expect(events).toEqual([]);
  });
});

import { Store } from '../../lib/simulator/store';

const bytes = (text: string) => Buffer.from(text);
const refusal = (code: string) => expect.objectContaining({ code }) as Error;

function watchAll(store: Store, ...paths: string[]) {
  const events: string[] = [];
  for (const path of paths) {
    store.watch({ path, notify: (changed) => events.push(`${path}: ${changed}`) });
  }
  return events;
}

describe('nodes', () => {
  const { tree } = new Store();

  test('a write makes the parents, with empty values', () => {
    tree.write('/a/b/c', bytes('1'));
    expect(tree.read('/a/b/c').toString()).toBe('1');
    expect(tree.read('/a/b')).toHaveLength(0);
    expect(tree.list('/a').names).toEqual(['b']);
  });

  test('mkdir leaves the value of what is there', () => {
    tree.mkdir('/a/b/c');
    tree.mkdir('/a/d');
    expect(tree.read('/a/b/c').toString()).toBe('1');
    expect(tree.list('/a').names).toEqual(['b', 'd']);
  });

  test('what is not there is ENOENT', () => {
    expect(() => tree.read('/x')).toThrow(refusal('ENOENT'));
    expect(() => tree.list('/x')).toThrow(refusal('ENOENT'));
  });

  test('removing takes everything below along; a missing node need not be there, its parent must', () => {
    tree.remove('/a/b');
    expect(tree.has('/a/b/c')).toBe(false);
    expect(() => {
      tree.remove('/a/b');
    }).not.toThrow();
    expect(() => {
      tree.remove('/x/y');
    }).toThrow(refusal('ENOENT'));
    expect(() => {
      tree.remove('/');
    }).toThrow(refusal('EINVAL'));
  });

  test('the generation of a folder changes with its children', () => {
    const { generation } = tree.list('/a');
    expect(tree.list('/a').generation).toBe(generation);
    tree.write('/a/new', bytes(''));
    expect(tree.list('/a').generation).not.toBe(generation);
  });

  test.each(['', 'a', '/a/', '//a', '/a//b', '/a b', '/a.b', '/ä', `/${'x'.repeat(3072)}`])(
    '%p is no path',
    (path) => {
      expect(() => tree.read(path)).toThrow(refusal('EINVAL'));
    },
  );
});

describe('transactions', () => {
  test('nobody sees a transaction before it is committed, and it sees nobody', () => {
    const store = new Store();
    store.tree.write('/a', bytes('old'));
    const transaction = store.begin();
    transaction.tree.write('/a', bytes('new'));
    expect(store.tree.read('/a').toString()).toBe('old');
    store.commit(transaction);
    expect(store.tree.read('/a').toString()).toBe('new');
  });

  test('one that wrote fails with EAGAIN when others wrote meanwhile, and changes nothing', () => {
    const store = new Store();
    const transaction = store.begin();
    transaction.tree.write('/a', bytes('1'));
    store.tree.write('/b', bytes('2'));
    expect(transaction.tree.has('/b')).toBe(false);
    expect(() => {
      store.commit(transaction);
    }).toThrow(refusal('EAGAIN'));
    expect(store.tree.has('/a')).toBe(false);
  });

  test('of two that write the first to commit wins', () => {
    const store = new Store();
    const [first, second] = [store.begin(), store.begin()];
    first.tree.write('/a', bytes('1'));
    second.tree.write('/a', bytes('2'));
    store.commit(first);
    expect(() => {
      store.commit(second);
    }).toThrow(refusal('EAGAIN'));
    expect(store.tree.read('/a').toString()).toBe('1');
  });

  test('one that only read never fails', () => {
    const store = new Store();
    const transaction = store.begin();
    store.tree.write('/b', bytes('2'));
    expect(() => {
      store.commit(transaction);
    }).not.toThrow();
    expect(store.tree.has('/b')).toBe(true);
  });

  test('what is committed stays when a later one is forgotten', () => {
    const store = new Store();
    const [kept, forgotten] = [store.begin(), store.begin()];
    forgotten.tree.write('/c', bytes(''));
    kept.tree.write('/a/b', bytes('1'));
    store.commit(kept);
    kept.tree.write('/a/b', bytes('too late'));
    expect(store.tree.read('/a/b').toString()).toBe('1');
    expect(store.tree.has('/c')).toBe(false);
  });
});

describe('watches', () => {
  test('hear of the node and of those below it, and of no others', () => {
    const store = new Store();
    const events = watchAll(store, '/a');
    for (const path of ['/a', '/a/b', '/ab', '/b']) store.tree.write(path, bytes(''));
    expect(events).toEqual(['/a: /a', '/a: /a/b']);
  });

  test('hear of their own path when a folder above goes', () => {
    const store = new Store();
    store.tree.write('/a/b/c', bytes(''));
    const events = watchAll(store, '/a/b/c', '/a/b/never', '/');
    store.tree.remove('/a');
    expect(events).toEqual(['/: /a', '/a/b/c: /a/b/c']);
  });

  test('hear of a transaction when it is committed', () => {
    const store = new Store();
    const events = watchAll(store, '/a');
    const transaction = store.begin();
    transaction.tree.write('/a/b', bytes(''));
    expect(events).toEqual([]);
    store.commit(transaction);
    expect(events).toEqual(['/a: /a/b']);
  });

  test('hear of domains only by the special names', () => {
    const store = new Store();
    const events = watchAll(store, '/', '@introduceDomain', '@releaseDomain');
    store.announceDomain('@introduceDomain');
    expect(events).toEqual(['@introduceDomain: @introduceDomain']);
  });
});

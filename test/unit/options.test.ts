import { Options } from '../../lib/options';

const type = expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
const range = (text: string) =>
  expect.objectContaining({ code: 'ERR_OUT_OF_RANGE', message: expect.stringContaining(text) });

describe('options', () => {
  test('may be absent, as a whole and each of them', () => {
    for (const options of [
      new Options(undefined),
      new Options({}),
      new Options({ n: undefined }),
    ]) {
      expect(options.any('n')).toBeUndefined();
      expect(options.integer('n', 0)).toBeUndefined();
      expect(options.path('n')).toBeUndefined();
      expect(options.boolean('n')).toBeUndefined();
    }
  });

  test.each([null, 5, 'n', true])('must be an object, not %p', (options) => {
    expect(() => new Options(options)).toThrow(type);
  });

  test('are the object’s own properties', () => {
    expect(new Options(Object.create({ n: 1 })).number('n')).toBeUndefined();
    expect(new Options({}).any('toString')).toBeUndefined();
  });

  test('have the type that the call requires', () => {
    const noop = () => undefined;
    const options = new Options({ boolean: false, string: 's', function: noop, number: 0.5 });
    expect(options.boolean('boolean')).toBe(false);
    expect(options.string('string')).toBe('s');
    expect(options.function('function')).toBe(noop);
    expect(options.number('number')).toBe(0.5);
    expect(() => options.boolean('string')).toThrow(type);
    expect(() => options.function('string')).toThrow('must be a function. Received type string');
    expect(() => options.string('number')).toThrow('must be of type string. Received type number');
  });

  test('are integers within their limits', () => {
    for (const n of [2, 5]) expect(new Options({ n }).integer('n', 2, 5)).toBe(n);
    for (const n of [1, 6, 2.5, NaN]) {
      expect(() => new Options({ n }).integer('n', 2, 5)).toThrow(range('an integer from 2 to 5'));
    }
    expect(() => new Options({ n: 1 }).integer('n', 2)).toThrow(range('an integer from 2.'));
    expect(() => new Options({ n: '3' }).integer('n', 2)).toThrow(type);
  });

  test('are paths that a file can have', () => {
    expect(new Options({ path: '/a' }).path('path')).toBe('/a');
    expect(() => new Options({ path: '' }).path('path')).toThrow(range('non-empty'));
    expect(() => new Options({ path: '/a\0b' }).path('path')).toThrow(range('null characters'));
  });
});

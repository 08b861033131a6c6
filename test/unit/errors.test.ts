import { XenError, invalidType, outOfRange } from '../../lib/errors';

describe('a XenError', () => {
  test('has the details that are known, and no others', () => {
    const error = new XenError('ERR_XEN_NO_DOMAIN', 'no domain', { domid: 0, disk: undefined });
    expect(Object.keys(error)).toEqual(['name', 'code', 'domid']);
    expect(error.message).toBe('no domain');
    expect('cause' in error).toBe(false);
  });

  test('has a cause if there is one', () => {
    const cause = new Error('cause');
    expect(new XenError('ERR_XEN_NO_DOMAIN', '', { cause }).cause).toBe(cause);
  });
});

describe('the error of an argument says what it is,', () => {
  test.each([
    [null, 'null'],
    [undefined, 'type undefined'],
    [5, 'type number'],
  ])('for %p', (value, received) => {
    expect(invalidType('path', 'of type string', value)).toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_TYPE',
      message: `The "path" argument must be of type string. Received ${received}`,
    });
  });

  test('out of its range', () => {
    expect(outOfRange('devid', 'an integer', 0.5)).toMatchObject({
      name: 'RangeError',
      code: 'ERR_OUT_OF_RANGE',
      message: 'The value of "devid" is out of range. It must be an integer. Received 0.5',
    });
  });
});

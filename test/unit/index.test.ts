import * as xbs from 'xen-block-stats';

test('the package exports functions, constants and the class of its errors, and no internals', () => {
  expect({ ...xbs }).toEqual({
    connect: expect.any(Function),
    parseDiskName: expect.any(Function),
    peaks: expect.any(Function),
    diskName: expect.any(Function),
    XenError: expect.any(Function),
    DISK_COLUMNS: expect.any(Array),
    VIR_TYPED_PARAM_LLONG: 3,
    VIR_TYPED_PARAM_STRING_OKAY: 4,
  });
  expect(() => xbs.parseDiskName('')).toThrow(xbs.XenError);
});

test('DISK_COLUMNS cannot be changed', () => {
  expect(Object.isFrozen(xbs.DISK_COLUMNS)).toBe(true);
});

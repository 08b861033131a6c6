import {
  checkFlags,
  countersOf,
  readParameterCount,
  toTypedParameters,
} from '../../lib/libvirt/typed-params';
import { ALL_COUNTERS, Counter } from '../../lib/native';
import { Options } from '../../lib/options';

const COUNTERS = { rdReq: 1, rdBytes: 2, wrReq: 3, wrBytes: 4, flushReq: 5, errs: 6 };

describe('typed parameters', () => {
  test('are six, in libvirt’s order, of type LLONG', () => {
    expect(toTypedParameters(COUNTERS, 6)).toEqual([
      { field: 'wr_bytes', type: 3, value: 4 },
      { field: 'wr_operations', type: 3, value: 3 },
      { field: 'rd_bytes', type: 3, value: 2 },
      { field: 'rd_operations', type: 3, value: 1 },
      { field: 'flush_operations', type: 3, value: 5 },
      { field: 'errs', type: 3, value: 6 },
    ]);
  });

  test('are the first ones when fewer are requested', () => {
    expect(toTypedParameters(COUNTERS, 2).map(({ field }) => field)).toEqual([
      'wr_bytes',
      'wr_operations',
    ]);
  });

  test('omit a counter of -1, and the next ones move up', () => {
    const fields = toTypedParameters({ ...COUNTERS, wrReq: -1 }, 2).map(({ field }) => field);
    expect(fields).toEqual(['wr_bytes', 'rd_bytes']);
    expect(toTypedParameters({ ...COUNTERS, wrReq: 0 }, 2).at(-1)?.value).toBe(0);
  });

  test('keep bigints', () => {
    const big = { rdReq: 1n, rdBytes: 2n, wrReq: 3n, wrBytes: 2n ** 62n, flushReq: -1n, errs: 0n };
    expect(toTypedParameters(big, 1)).toEqual([{ field: 'wr_bytes', type: 3, value: 2n ** 62n }]);
  });

  test('need the counters of the requested parameters only', () => {
    expect(countersOf(0)).toBe(0);
    expect(countersOf(2)).toBe(Counter.wrSectors | Counter.wrReq);
    expect(countersOf(6)).toBe(ALL_COUNTERS & ~Counter.discardReq);
  });
});

const parameterCount = (nparams: unknown) => readParameterCount(new Options({ nparams }));

describe('the number of parameters', () => {
  test.each([
    [undefined, 6],
    [0, 0],
    [4, 4],
    [6, 6],
    [100, 6],
  ])('%p means %i', (nparams, count) => {
    expect(parameterCount(nparams)).toBe(count);
  });

  test.each([-1, 1.5, NaN, Infinity])('must not be %p', (nparams) => {
    expect(() => parameterCount(nparams)).toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }),
    );
  });

  test('must be a number', () => {
    expect(() => parameterCount('6')).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    );
  });
});

describe('flags', () => {
  test.each([undefined, 0, 4])('%p are accepted', (flags) => {
    expect(() => {
      checkFlags(new Options({ flags }));
    }).not.toThrow();
  });

  test.each([
    [1, '0x1'],
    [6, '0x2'],
    [0xffffffff, '0xfffffffb'],
  ])('%i are refused with the message of libvirt', (flags, named) => {
    expect(() => {
      checkFlags(new Options({ flags }));
    }).toThrow(
      expect.objectContaining({
        code: 'ERR_XEN_UNSUPPORTED_FLAGS',
        message: `unsupported flags (${named}) in function blockStatsFlags`,
      }),
    );
  });

  test.each([-1, 0.5, 2 ** 32])('%p are out of range', (flags) => {
    expect(() => {
      checkFlags(new Options({ flags }));
    }).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  });
});

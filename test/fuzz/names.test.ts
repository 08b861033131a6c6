import fc from 'fast-check';
import { XenError, diskName, parseDiskName } from 'xen-block-stats';
import { expectedDevid, expectedName } from './libxl-names';

/** The number of names, and of devids, that each test tries. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 50_000);

const MINUTE_MS = 60_000;
/** Far longer than a test takes. */
const TIMEOUT_MS = MINUTE_MS + RUNS / 10;

/** Numbers on both sides of every limit, and any other numbers. */
const numbers = fc.oneof(
  fc.constantFrom(0, 1, 15, 16, 63, 64, 255, 256),
  fc.nat(300),
  fc.constantFrom(2 ** 20 - 1, 2 ** 20, 2 ** 31 - 1, 2 ** 31),
  fc.maxSafeNat(),
);

/** Spellings of numbers in three bases. */
const written = fc
  .tuple(
    numbers,
    fc.constantFrom(
      (n: number) => String(n),
      (n: number) => `0x${n.toString(16)}`,
      (n: number) => `0X${n.toString(16).toUpperCase()}`,
      (n: number) => `0${n.toString(8)}`,
    ),
  )
  .map(([number, write]) => write(number));

const letters = fc.oneof(
  fc.constantFrom(...Array.from('abcdepqz')),
  fc.string({ unit: fc.constantFrom(...Array.from('abcpqvwz')), minLength: 1, maxLength: 6 }),
);

/** Names that libxl accepts, and names just beyond a limit. */
const likelyNames = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('xvd', 'hd', 'sd'),
      letters,
      fc.oneof(fc.constant(''), numbers.map(String), written),
    )
    .map((parts) => parts.join('')),
  fc.tuple(written, written).map(([disk, partition]) => `d${disk}p${partition}`),
  written,
);

/** Likely names with a character inserted, removed or replaced. */
const alteredNames = fc
  .tuple(
    likelyNames,
    fc.nat(12),
    fc.oneof(
      fc.constantFrom(...Array.from('0189adpxXvhs+- \n\0/')),
      fc.string({ unit: 'binary', maxLength: 1 }),
    ),
    fc.nat(1),
  )
  .map(([name, at, inserted, removed]) => name.slice(0, at) + inserted + name.slice(at + removed));

const names = fc.oneof(
  { arbitrary: likelyNames, weight: 3 },
  { arbitrary: alteredNames, weight: 2 },
  { arbitrary: fc.string({ unit: 'binary' }), weight: 1 },
);

const devids = fc.oneof(
  fc.nat(2 ** 31 - 1),
  fc.integer({ min: 0, max: 65_535 }),
  fc.integer({ min: 2 ** 28 - 256, max: 2 ** 28 + 8192 }),
  fc.integer({ min: 2 ** 29 - 256, max: 2 ** 29 + 256 }),
);

const check = <T>(arbitrary: fc.Arbitrary<T>, holds: (value: T) => boolean) => {
  fc.assert(fc.property(arbitrary, holds), { numRuns: RUNS });
};

/** Returns the devid, or undefined if the name is refused with the documented error. */
function parseOrRefuse(name: string): number | undefined {
  try {
    return parseDiskName(name);
  } catch (error) {
    if (error instanceof XenError && error.code === 'ERR_XEN_INVALID_DISK' && error.disk === name) {
      return undefined;
    }
    throw error;
  }
}

test(
  'parses a name to the devid of libxl’s table, or refuses it with a XenError',
  () => {
    check(names, (name) => {
      const devid = parseOrRefuse(name);
      return (
        devid === expectedDevid(name) &&
        (devid === undefined || parseDiskName(diskName(devid)) === devid)
      );
    });
  },
  TIMEOUT_MS,
);

test(
  'names a devid as libxl’s table does, and parses that name to the devid',
  () => {
    check(devids, (devid) => {
      const name = diskName(devid);
      return name === expectedName(devid) && parseDiskName(name) === devid;
    });
  },
  TIMEOUT_MS,
);

import { constants } from 'node:os';
import { devicesDirectory, statisticsError } from '../../lib/backends/blkback';
import { loadNative } from '../../lib/native';

const { EBADMSG, EOVERFLOW, ENOENT, EMFILE, ENFILE, ENODEV } = constants.errno;
const DISK = { domid: 3, devid: 51712, name: 'xvda' };
const STATISTICS = '/sys/bus/xen-backend/devices/vbd-3-51712/statistics';

test('devicesDirectory returns the directory of backend devices', () => {
  expect(devicesDirectory('/sys')).toBe('/sys/bus/xen-backend/devices');
});

describe('statisticsError', () => {
  const last = loadNative().counterFiles.length - 1;
  const file = String(loadNative().counterFiles[last]);

  test('names the counter’s file that cannot be read', () => {
    expect(statisticsError('/sys', DISK, (last << 16) | ENODEV, 'pread')).toMatchObject({
      code: 'ERR_XEN_STATS_UNAVAILABLE',
      message: `cannot read ${STATISTICS}/${file}: ENODEV (disk xvda)`,
      errno: ENODEV,
      syscall: 'pread',
      path: `${STATISTICS}/${file}`,
      domid: 3,
      disk: 'xvda',
    });
  });

  test('names the directory that cannot be opened', () => {
    const failure = ((last + 1) << 16) | ENOENT;
    expect(statisticsError('/sys', DISK, failure, 'open')).toMatchObject({
      message: `cannot open bus path ${STATISTICS}: ENOENT, the kernel has no statistics of this disk (disk xvda)`,
      syscall: 'open',
      path: STATISTICS,
    });
  });

  test.each([
    [EBADMSG, 'it does not contain a number'],
    [EOVERFLOW, 'its number, or a count of bytes made of it, exceeds 2^63 - 1'],
    [ENOENT, 'ENOENT, the kernel has no statistics of this disk'],
    [EMFILE, 'EMFILE, too many open files: raise the limit'],
    [ENFILE, 'ENFILE, too many open files on this machine: raise fs.file-max'],
  ])('explains errno %i', (errno, reason) => {
    expect(statisticsError('/sys', DISK, errno, 'pread').message).toContain(`: ${reason}`);
  });
});

import { constants } from 'node:os';
import { devicesDirectory } from '../../lib/backends/blkback';
import { statisticsError } from '../../lib/backends/statistics-error';
import { loadNative } from '../../lib/native';

const { EBADMSG, EOVERFLOW, ENOENT, EMFILE, ENFILE, ENODEV } = constants.errno;
const HOST = { sysfs: '/sys', shm: '/dev/shm' };
const BACKEND = '/local/domain/0/backend/vbd3/3/51712';
const DISK = {
  ...{ domid: 3, devid: 51712, name: 'xvda' },
  ...{ kind: 'vbd' as const, backend: BACKEND, tapdiskPid: undefined },
};
const STATISTICS = '/sys/bus/xen-backend/devices/vbd-3-51712/statistics';

test('devicesDirectory returns the directory of backend devices', () => {
  expect(devicesDirectory('/sys')).toBe('/sys/bus/xen-backend/devices');
});

describe('statisticsError', () => {
  const last = loadNative().counterFiles.length - 1;
  const file = String(loadNative().counterFiles[last]);

  test('names the counter’s file that cannot be read', () => {
    expect(statisticsError(HOST, DISK, (last << 16) | ENODEV, 'pread')).toMatchObject({
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
    expect(statisticsError(HOST, DISK, failure, 'open')).toMatchObject({
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
    expect(statisticsError(HOST, DISK, errno, 'pread').message).toContain(`: ${reason}`);
  });

  test.each([
    ['EBADF', 'tapdisk 77 does not have it open: it is a file of an earlier process'],
    ['EBADMSG', "it is no file of tapdisk's statistics"],
    ['ENOENT', 'ENOENT, tapdisk 77 has no statistics of this disk'],
    ['EPROTONOSUPPORT', 'it has another version than 1'],
    ['ESRCH', 'tapdisk 77 has ended'],
    ['ESTALE', 'tapdisk 77 has removed it'],
    ['EACCES', 'EACCES, only root may read it'],
    ['EIO', 'EIO'],
  ] as const)('explains %s of a disk of tapdisk', (name, reason) => {
    const failure = ((last + 1) << 16) | constants.errno[name];
    const disk = { ...DISK, kind: 'vbd3' as const, tapdiskPid: 77 };
    expect(statisticsError(HOST, disk, failure, 'pread')).toMatchObject({
      code: 'ERR_XEN_STATS_UNAVAILABLE',
      message: `cannot read /dev/shm/td3-77/vbd-3-51712: ${reason} (disk xvda)`,
      path: '/dev/shm/td3-77/vbd-3-51712',
    });
  });

  test('names the node that has no pid of a tapdisk', () => {
    const failure = ((last + 1) << 16) | constants.errno.ESRCH;
    expect(statisticsError(HOST, { ...DISK, kind: 'vbd3' }, failure, 'open').message).toBe(
      `cannot read /dev/shm/td3-<pid>/vbd-3-51712: xenstore's node ${BACKEND}/kthread-pid has no pid of a tapdisk (disk xvda)`,
    );
  });
});

import { XenError, diskName, parseDiskName } from 'xen-block-stats';

describe('parseDiskName returns the devid that libxl assigns to', () => {
  test.each([
    ['xvda', 51712],
    ['xvdb', 51728],
    ['xvdb2', 51730],
    ['xvdp', 51952],
    ['xvdp15', 51967],
    ['xvda15', 51727],
    ['hda', 768],
    ['hda63', 831],
    ['hdb', 832],
    ['hdc', 5632],
    ['hdd', 5696],
    ['hdd63', 5759],
    ['sda', 2048],
    ['sda1', 2049],
    ['sdc', 2080],
    ['sdp15', 2303],
  ])('the short name %s', (name, devid) => {
    expect(parseDiskName(name)).toBe(devid);
  });

  test.each([
    ['xvdq', 268439552],
    ['xvdq1', 268439553],
    ['xvda16', 268435472],
    ['xvda255', 268435711],
    ['xvdaa', 268442112],
    ['xvdaa255', 268442367],
    ['xvdcv', 268460800],
    ['xvdtq37', 268572709],
    ['xvdbgqcv255', 536870911],
  ])('the name %s, which needs the extended form', (name, devid) => {
    expect(parseDiskName(name)).toBe(devid);
  });

  test.each([
    ['d0p0', 51712],
    ['d1p2', 51730],
    ['d5p1', 51793],
    ['d15p15', 51967],
    ['d16p0', 268439552],
    ['d536p37', 268572709],
    ['d1048575p255', 536870911],
    ['d010p1', 51841],
    ['d0x10p0', 268439552],
  ])('the pair %s', (name, devid) => {
    expect(parseDiskName(name)).toBe(devid);
  });

  test.each([
    ['51712', 51712],
    ['0xca00', 51712],
    ['0XCA00', 51712],
    ['0145000', 51712],
    ['0', 0],
    ['2147483647', 2147483647],
  ])('the number %s', (name, devid) => {
    expect(parseDiskName(name)).toBe(devid);
  });
});

describe('parseDiskName refuses', () => {
  test.each([
    ...['xvda256', 'xvda0', 'xvda01', 'xvdbgqcw', 'd0', 'd1048576p0', 'd0p256', 'd08p1', 'D0P0'],
    ...['hde', 'hda64', 'sdq', 'sda16', 'vda', 'fda', 'XVDA', 'xvdA', '/dev/xvda', 'hda:cdrom'],
    ...['2147483648', '4294967296', '09', '0x', '51712 ', 'xvda\n', '1e3', '１'],
  ])('%j, as libxl does', (name) => {
    expect(() => parseDiskName(name)).toThrow(
      expect.objectContaining({ name: 'XenError', code: 'ERR_XEN_INVALID_DISK', disk: name }),
    );
  });

  test.each(['', 'xvd', 'hd', 'sd', 'xvd5', '-1', '+51712', ' 51712', 'd-1p0', 'xvda+1', 'd 1p 2'])(
    '%j, which libxl accepts by accident',
    (name) => {
      expect(() => parseDiskName(name)).toThrow(XenError);
    },
  );

  test.each([undefined, null, 51712, {}])('%p, which is not a string', (name) => {
    expect(() => parseDiskName(name as string)).toThrow(
      expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }),
    );
  });
});

describe('diskName', () => {
  test.each([
    [51712, 'xvda'],
    [51730, 'xvdb2'],
    [268442112, 'xvdaa'],
    [536870911, 'xvdbgqcv255'],
    [768, 'hda'],
    [895, 'hdb63'],
    [5632, 'hdc'],
    [5759, 'hdd63'],
    [2049, 'sda1'],
  ])('names %i %s', (devid, name) => {
    expect(diskName(devid)).toBe(name);
  });

  test.each([0, 1, 1000, 896, 5760, 268435456, 536870912, 2147483647])(
    'returns %i as a number, because no prefix covers it or a shorter form exists',
    (devid) => {
      expect(diskName(devid)).toBe(String(devid));
    },
  );

  test.each([-1, 0.5, 2 ** 31, NaN])('refuses %p', (devid) => {
    expect(() => diskName(devid)).toThrow(
      expect.objectContaining({ name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }),
    );
  });

  test('refuses a string', () => {
    expect(() => diskName('51712' as unknown as number)).toThrow(
      expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }),
    );
  });
});

import { parseSectorSize } from '../../lib/libvirt/sector-size';

describe('parseSectorSize', () => {
  test.each([512, 1024, 4096, 65536])('accepts %i', (size) => {
    expect(parseSectorSize(String(size))).toBe(size);
  });

  test.each([
    undefined,
    null,
    '',
    '0',
    '256',
    '513',
    '4095',
    '131072',
    '1048576',
    '0000512',
    '4096 ',
  ])('refuses %j, which is no power of two from 512 to 65536', (text) => {
    expect(parseSectorSize(text)).toBeUndefined();
  });
});

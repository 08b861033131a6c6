import { SimulatedHost } from 'xen-block-stats/simulator';
import { spawnSync } from '../support/child-process';
import { ROOT } from '../support/paths';

describe('libvirt’s bytes', () => {
  let host: SimulatedHost;

  beforeAll(async () => {
    host = await SimulatedHost.start({
      guests: [
        {
          name: 'web1',
          disks: [
            { name: 'xvda', source: '/dev/a' },
            { name: 'xvdb', source: '/dev/b', physicalSectorSize: 4096 },
          ],
        },
      ],
    });
  });
  afterAll(async () => {
    await host.stop();
  });

  const warnings = (program: string) =>
    spawnSync(
      process.execPath,
      [
        '-e',
        `const web = require('xen-block-stats').connect(${JSON.stringify(host.connectOptions)}).domain('web1'); ${program}`,
      ],
      { cwd: ROOT, encoding: 'utf8' },
    ).stderr.match(/\[XEN_SECTOR_SIZE\] Warning: .*/g);

  test('raise one warning, at the first disk on which they differ from the true bytes', () => {
    expect(
      warnings(`web.blockStats('xvdb'); web.blockStats('xvdb'); web.blockStatsFlags('xvdb')`),
    ).toEqual([
      "[XEN_SECTOR_SIZE] Warning: libvirt's bytes are 8 times the true ones on disks with physical sectors of 4096 bytes, such as xvdb of domain web1; sector size 512 gives true bytes",
    ]);
  });

  test('raise no warning on other disks, nor in calls that return true bytes', () => {
    expect(
      warnings(
        `web.blockStats('xvda'); web.disk('xvdb').read(); web.blockStats('xvdb', { sectorSize: 512 })`,
      ),
    ).toBeNull();
  });
});

import { SimulatedHost } from '../simulator';

/** The host that `--demo` talks to: a few guests, each of another kind, with counters to look at. */
export async function startDemoHost(): Promise<SimulatedHost> {
  return SimulatedHost.start({
    guests: [
      {
        name: 'web1',
        disks: [
          {
            name: 'xvda',
            source: '/dev/vg/web1-root',
            counters: { rd_req: 1204, rd_sect: 96320, wr_req: 310, wr_sect: 24800, f_req: 12 },
          },
          {
            name: 'xvdb',
            source: '/dev/vg/web1-data',
            sectors: 209715200,
            physicalSectorSize: 4096,
            counters: {
              rd_req: 67,
              rd_sect: 8216,
              wr_req: 129,
              wr_sect: 16392,
              f_req: 1,
              ds_req: 1,
            },
          },
        ],
      },
      {
        name: 'mail',
        disks: [
          { name: 'xvda', source: '/srv/mail.qcow2', kind: 'qdisk', format: 'qcow2' },
          { name: 'xvdd', kind: 'qdisk', deviceType: 'cdrom', mode: 'r' },
        ],
      },
      {
        name: 'db',
        disks: [
          {
            name: 'sda1',
            source: '/dev/vg/db-log',
            counters: {
              rd_req: 40,
              rd_sect: 640,
              wr_req: 90210,
              wr_sect: 1443360,
              f_req: 45105,
              oo_req: 7,
            },
          },
        ],
      },
    ],
  });
}

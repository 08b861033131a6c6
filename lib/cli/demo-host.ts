import { SimulatedHost, type HostOptions } from '../simulator';

/** The time between two changes of the counters, in milliseconds: much shorter than any interval of `top`. */
const WORKLOAD_INTERVAL_MS = 20;

/** Guests with different kinds of disks. */
const HOST: HostOptions = {
  guests: [
    {
      name: 'web1',
      disks: [
        {
          name: 'xvda',
          source: '/dev/vg/web1-root',
          counters: { rd_req: 1204, rd_sect: 96320, wr_req: 310, wr_sect: 24800, f_req: 12 },
          workload: { readsPerSecond: 60, writesPerSecond: 25 },
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
          workload: {
            readsPerSecond: 310,
            readBytes: 65536,
            writesPerSecond: 4,
            discardsPerSecond: 0.4,
          },
        },
      ],
    },
    {
      name: 'mail',
      disks: [
        {
          name: 'xvda',
          source: '/srv/mail.qcow2',
          kind: 'qdisk',
          format: 'qcow2',
          counters: {
            rd_req: 131,
            rd_sect: 8216,
            rd_ns: 91695475,
            wr_req: 256,
            wr_sect: 16384,
            wr_ns: 392925652,
          },
          workload: { readsPerSecond: 12, writesPerSecond: 75 },
        },
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
          workload: {
            readsPerSecond: 0.2,
            readBytes: 8192,
            writesPerSecond: 900,
            flushesPerSecond: 450,
            ooPerSecond: 2,
          },
        },
      ],
    },
    {
      name: 'backup',
      disks: [
        {
          name: 'xvda',
          source: '/dev/vg/backup-root',
          workload: { readsPerSecond: 0, writesPerSecond: 0.5, flushesPerSecond: 0.1 },
        },
        {
          name: 'xvdb',
          source: '/dev/vg/backup-pool',
          workload: {
            readsPerSecond: 2,
            writesPerSecond: 160,
            writeBytes: 524288,
            flushesPerSecond: 0.2,
            ooPerSecond: 11,
          },
        },
      ],
    },
    {
      name: 'files',
      disks: [
        {
          name: 'xvda',
          source: '/srv/files.vhd',
          kind: 'vbd3',
          format: 'vhd',
          counters: {
            rd_req: 131,
            rd_sect: 8216,
            rd_ns: 79230000,
            wr_req: 295,
            wr_sect: 16688,
            wr_ns: 276791000,
          },
          workload: { readsPerSecond: 140, readBytes: 32768, writesPerSecond: 30 },
        },
      ],
    },
  ],
};

/**
 * Starts the simulated host of `demo` and `--demo`.
 *
 * @param isBusy - whether the guests use their disks.
 */
export async function startDemoHost(isBusy: boolean): Promise<SimulatedHost> {
  const host = await SimulatedHost.start(HOST);
  if (isBusy) await host.startWorkload({ intervalMs: WORKLOAD_INTERVAL_MS });
  return host;
}

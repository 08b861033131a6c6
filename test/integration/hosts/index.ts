import { SimulatedHost } from 'xen-block-stats/simulator';
import { RealHost, type TestHost } from './real-host';

/** The hosts on which a suite runs, by name. Both must pass the same tests. */
export const HOSTS: [name: string, start: () => Promise<TestHost>][] = [
  ['the SimulatedHost', () => SimulatedHost.start()],
  ['the real xenstored', () => RealHost.start()],
];

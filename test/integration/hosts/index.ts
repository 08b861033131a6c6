import { SimulatedHost } from 'xen-block-stats/simulator';
import { RealHost, type TestHost } from './real-host';

/** The hosts that a suite is run on, by name: whatever holds on the one must hold on the other. */
export const HOSTS: [name: string, start: () => Promise<TestHost>][] = [
  ['the SimulatedHost', () => SimulatedHost.start()],
  ['the real xenstored', () => RealHost.start()],
];

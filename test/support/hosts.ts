import { SimulatedHost } from 'xen-block-stats/simulator';
import { needing } from './needs';
import { RealHost, type TestHost } from './real-host';

/** Defines a suite for both kinds of hosts, which must pass the same tests. */
export function describeOnHosts(
  title: string,
  suite: (start: () => Promise<TestHost>) => void,
): void {
  describe(`${title} the SimulatedHost`, () => {
    suite(() => SimulatedHost.start());
  });
  needing('xenstored').describe(`${title} the real xenstored`, () => {
    suite(() => RealHost.start());
  });
}

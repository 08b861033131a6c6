// An agent that exports its own metrics and those of the disks of Xen guests.
//
//     node agent.mjs [port]
//
// It needs prom-client, from npm. xen-block-stats/prometheus has complete metrics; this example defines
// its own.

import { createServer } from 'node:http';
import client from 'prom-client';
import { connect } from 'xen-block-stats';

const [port = '9789'] = process.argv.slice(2);
const LABELS = ['domain', 'disk'];
const METRICS = {
  agent_disk_read_bytes_total: { help: 'Bytes that the guest has read.', column: 'rdBytes' },
  agent_disk_written_bytes_total: { help: 'Bytes that the guest has written.', column: 'wrBytes' },
  agent_disk_reads_total: { help: 'Requests to read.', column: 'rdReq' },
  agent_disk_writes_total: { help: 'Requests to write.', column: 'wrReq' },
};

client.collectDefaultMetrics();

const xen = connect();
const set = await xen.diskSet();
const metrics = Object.entries(METRICS).map(([name, { help, column }]) => ({
  metric: new client.Counter({ name, help, labelNames: LABELS }),
  column: set.columns.indexOf(column),
}));

/** Reads all counters in one call, and replaces the values of the metrics. */
function update() {
  const { disks, values, columns } = set.sample();
  for (const { metric, column } of metrics) {
    metric.reset();
    for (const [row, { domid, domain = String(domid), name }] of disks.entries()) {
      const value = values[row * columns.length + column];
      if (value >= 0) metric.inc({ domain, disk: name }, value);
    }
  }
}

const server = createServer((request, response) => {
  update();
  client.register.metrics().then((text) => {
    response.setHeader('content-type', client.register.contentType).end(text);
  });
});
server.listen(Number(port), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/metrics`);
});

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
    xen.close();
  });
}

// Measures the time and the system calls of a call in dom0. The machine is emulated: only the ratios and
// the counts are meaningful. Prints a table in Markdown.
import { spawnSync } from 'node:child_process';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { BIN, connect, domid, sh, virsh } from './rig.mjs';

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

function time(repeat, run) {
  return median(
    Array.from({ length: repeat }, () => {
      const start = performance.now();
      run();
      return performance.now() - start;
    }),
  );
}

/** Measures requests to a running virsh, one line each. */
async function virshKeptOpen(repeat) {
  const shell = spawn('virsh', ['-c', 'xen:///system'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const lines = createInterface({ input: shell.stdout })[Symbol.asyncIterator]();
  const times = [];
  for (let i = 0; i <= repeat; i++) {
    const start = performance.now();
    shell.stdin.write('domblkstat m xvda\n');
    for (;;) {
      const { value } = await lines.next();
      if (value.includes('flush_operations')) break;
    }
    if (i > 0) times.push(performance.now() - start); // the first one includes the connection
  }
  shell.stdin.end('quit\n');
  return median(times);
}

/** Returns the system calls of a read of an open disk. */
function systemCallsOfRead(call) {
  const program = `
    const xen = require('xen-block-stats').connect({ sectorSize: 512 });
    const domain = xen.domain('m'); const disk = domain.disk('xvda');
    const once = () => ${call};
    once(); process.umask(0o22); once(); process.umask(0o22); process.reallyExit(0);`;
  sh(`cd /share/project && strace -qq -o /tmp/calls node -e "${program}"`);
  const calls = readFileSync('/tmp/calls', 'utf8').split('\n');
  const marks = calls.flatMap((line, i) => (line.startsWith('umask(022)') ? [i] : []));
  return count(calls.slice(marks[0] + 1, marks[1]));
}

function count(lines) {
  const names = lines.map((line) => /^(?:\d+ +)?([a-z0-9_]+)\(/.exec(line)?.[1]).filter(Boolean);
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, times]) => `${times} ${name}`).join(', ');
}

/** Returns the number of system calls of libvirtd during one virsh domblkstat. */
function systemCallsOfLibvirtd() {
  const pid = readFileSync('/run/libvirtd.pid', 'utf8').trim();
  const tracer = spawn('strace', ['-f', '-qq', '-o', '/tmp/libvirtd', '-p', pid]);
  spawnSync('sleep', ['2']);
  virsh('domblkstat m xvda');
  tracer.kill('SIGINT');
  spawnSync('sleep', ['1']);
  return readFileSync('/tmp/libvirtd', 'utf8').split('\n').length - 1;
}

/** Returns the number of system calls of a command. */
const systemCallsOf = (command) => {
  sh(`strace -f -qq -o /tmp/all ${command} >/dev/null 2>&1`);
  return readFileSync('/tmp/all', 'utf8').split('\n').length - 1;
};

sh('mkdom m vda=xvda');
const xen = connect();
const guest = xen.domain('m');
const disk = guest.disk('xvda');
const directory = `/sys/bus/xen-backend/devices/vbd-${domid('m')}-51712/statistics`;
const FILES = ['rd_req', 'rd_sect', 'wr_req', 'wr_sect', 'f_req', 'ds_req', 'oo_req'];
for (let i = 0; i < 20000; i++) disk.read(); // warms up, as in a long-running agent
for (let i = 0; i < 20000; i++) guest.blockStats('xvda');

const hot = time(2000, () => guest.blockStats('xvda'));
const rows = [
  [
    '`virsh domblkstat`, a process each time',
    time(5, () => virsh('domblkstat m xvda')),
    `${systemCallsOf('virsh -c xen:///system domblkstat m xvda')} by virsh, ${systemCallsOfLibvirtd()} by libvirtd`,
  ],
  ['`virsh`, kept open', await virshKeptOpen(20), ''],
  ['`xentop -b -i1`', time(5, () => sh('xentop -b -i1')), String(systemCallsOf('xentop -b -i1'))],
  [
    '`xen-block-stats stat`, a process each time',
    time(3, () => sh(`${BIN} stat m xvda`)),
    String(systemCallsOf(`${BIN} stat m xvda`)),
  ],
  [
    '`connect()` to the first number, in a process',
    time(20, () => {
      const connection = connect();
      connection.domain('m').blockStats('xvda');
      connection.close();
    }),
    '',
  ],
  [
    'seven `fs.readFileSync`',
    time(500, () => FILES.map((file) => Number(readFileSync(`${directory}/${file}`, 'utf8')))),
    '',
  ],
  ['`disk.read()`', time(2000, () => disk.read()), systemCallsOfRead('disk.read()')],
  ["`domain.blockStats('xvda')`", hot, systemCallsOfRead("domain.blockStats('xvda')")],
];
const table = rows.map(
  ([what, ms, calls]) =>
    `| ${what} | ${(ms * 1000).toFixed(1)} | ${(ms / hot).toFixed(1)} | ${calls} |`,
);
writeFileSync(
  '/share/results.md',
  `# The cost of a call in dom0

Measured by \`npm run test:xen -- price\` on Xen ${sh('xl info xen_version').trim()}, Linux ${sh('uname -r').trim()}, Node.js ${process.versions.node},
libvirt ${sh('virsh -V | head -n 1').match(/[0-9.]+$/m)?.[0] ?? ''}, in QEMU's emulation. Emulation distorts times: only the ratios and the counts are meaningful.

| one call | microseconds | times \`blockStats\` | system calls |
| --- | --- | --- | --- |
${table.join('\n')}
`,
);
console.log(readFileSync('/share/results.md', 'utf8'));
xen.close();
virsh('destroy m');

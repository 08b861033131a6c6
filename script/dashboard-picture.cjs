'use strict';

// Draws docs/pictures/dashboard.svg: the panels of dashboards/grafana.json, from the results of their queries
// in a real Prometheus that scrapes `xen-block-stats serve --demo`. The row of the table is left out.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { createInterface } = require('node:readline');
const { setTimeout: delay } = require('node:timers/promises');

const root = join(__dirname, '..');
const { panels } = require('../dashboards/grafana.json');

/** How long Prometheus scrapes, in seconds. */
const SECONDS = 150;
/** The seconds of scrapes before the drawn ones: rates need them. */
const LEAD = 30;
const VARIABLES = { $__rate_interval: '15s', $instance: '.*', $domain: '.*' };

const UNIT = 40;
const COLOURS = [
  '#73bf69',
  '#f2cc0c',
  '#5794f2',
  '#ff9830',
  '#f2495c',
  '#b877d9',
  '#8ab8ff',
  '#ca95e5',
];
const UNITS = { Bps: 'B/s', bytes: 'B', iops: 'io/s', ops: '/s', s: 's' };

/** The programs that run. */
const children = [];

/** Starts a program, and returns the address that a pattern finds in its output. */
async function start(file, args, pattern) {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  await once(child, 'spawn');
  children.push(child);
  for await (const line of createInterface(pattern.onStderr ? child.stderr : child.stdout)) {
    const match = pattern.text.exec(line);
    if (match === null) continue;
    child.stderr.resume();
    return match[1];
  }
  throw new Error(`${file} did not start`);
}

async function query(prometheus, promql, end) {
  const replaced = promql.replaceAll(/\$\w+/g, (name) => VARIABLES[name]);
  const url = new URL('/api/v1/query_range', `http://${prometheus}`);
  url.search = new URLSearchParams({
    query: replaced,
    start: end - (SECONDS - LEAD),
    end,
    step: 1,
  });
  const { data } = await (await fetch(url)).json();
  return data.result;
}

/** Returns the series of a panel, each with a legend and points of time and value. */
async function seriesOf(panel, prometheus, end) {
  const results = await Promise.all(
    panel.targets.map(async ({ expr, legendFormat }) => {
      const series = await query(prometheus, expr, end);
      return series.map(({ metric, values }) => ({
        legend: legendFormat.replaceAll(/{{(\w+)}}/g, (_, label) => metric[label]),
        points: values.map(([time, value]) => [time - end, Number(value)]),
      }));
    }),
  );
  return results.flat().filter(({ points }) => points.some(([, value]) => value > 0));
}

function format(value, unit) {
  const step = value === 0 ? 0 : Math.max(0, Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** step;
  const digits =
    value < 1 && value > 0 ? value.toPrecision(2) : scaled.toFixed(scaled < 10 && step > 0 ? 1 : 0);
  return `${digits} ${['', 'k', 'M', 'G'][step]}${UNITS[unit] ?? ''}`.trim();
}

function text(x, y, content, size, colour, anchor = 'start') {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" font-size="${size}" fill="${colour}" text-anchor="${anchor}">${escaped}</text>`;
}

const last = ({ points }) => points.at(-1)[1];

/** Draws the last values of a panel, as large figures. */
function drawStat(series, unit, width, height) {
  const values = series.length > 0 ? series.map(last) : [0];
  return values.map((value, i) => {
    const x = ((i + 0.5) * width) / values.length;
    return text(x, height / 2 + 22, format(value, unit), 26, COLOURS[0], 'middle');
  });
}

/** Draws the last values of a panel, as bars. */
function drawBars(series, unit, width) {
  const most = Math.max(...series.map(last));
  const sorted = [...series].sort((a, b) => last(b) - last(a));
  return sorted.map((it, i) => {
    const y = 50 + i * 40;
    const length = ((width - 190) * last(it)) / most;
    return `${text(90, y + 17, it.legend, 12, '#ccccdc', 'end')}
<rect x="100" y="${y}" width="${length.toFixed(1)}" height="26" fill="${COLOURS[i % COLOURS.length]}"/>
${text(106 + length, y + 17, format(last(it), unit), 12, '#ccccdc')}`;
  });
}

/** Draws the lines of a panel, with three ticks on its axis and a legend. */
function drawLines(series, unit, width, height) {
  const [left, top, bottom] = [70, 40, height - 44];
  const most = Math.max(...series.flatMap(({ points }) => points.map(([, value]) => value)), 1e-9);
  const x = (time) => (width - 14 + (time * (width - left - 14)) / (SECONDS - LEAD)).toFixed(1);
  const y = (value) => (bottom - (value * (bottom - top)) / most).toFixed(1);
  const ticks = [0, most / 2, most].map(
    (value) => `<path d="M${left} ${y(value)}H${width - 14}" stroke="#2c3235"/>
${text(left - 6, Number(y(value)) + 4, format(value, unit), 10, '#8e8e9a', 'end')}`,
  );
  const lines = series.map(({ points }, i) => {
    const path = points.map(([time, value]) => `${x(time)} ${y(value)}`).join('L');
    return `<path d="M${path}" fill="none" stroke="${COLOURS[i % COLOURS.length]}" stroke-width="1.5"/>`;
  });
  const entries = series.map(
    ({ legend }, i) => `<tspan fill="${COLOURS[i % COLOURS.length]}">${legend}</tspan>`,
  );
  return [
    ...ticks,
    ...lines,
    `<text x="14" y="${height - 14}" font-size="10">${entries.join('   ')}</text>`,
  ];
}

const DRAW = { stat: drawStat, bargauge: drawBars, timeseries: drawLines };

function drawPanel({ type, title, gridPos, fieldConfig }, series) {
  const [width, height] = [gridPos.w * UNIT - 8, gridPos.h * 30 - 8];
  const { unit } = fieldConfig.defaults;
  return `<g transform="translate(${gridPos.x * UNIT + 4} ${gridPos.y * 30 + 4})">
<rect width="${width}" height="${height}" rx="2" fill="#181b1f" stroke="#2c3235"/>
${text(8, 20, title, 12, '#ccccdc')}
${DRAW[type](series, unit, width, height).join('\n')}
</g>`;
}

/** Ends a program, unless it has ended by itself. */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill();
  await once(child, 'exit');
}

/** Returns the picture. Prometheus has its files in the directory. */
async function draw(directory) {
  const command = join(root, 'dist/xen-block-stats.js');
  const exporter = await start(
    process.execPath,
    [command, 'serve', '--demo', '--peaks', '10ms', '--listen', '127.0.0.1:0'],
    {
      text: /http:\/\/(\S+)/,
    },
  );
  const file = join(directory, 'prometheus.yml');
  const scrape = `scrape_configs: [{job_name: x, scrape_interval: 1s, static_configs: [{targets: ['${exporter}']}]}]`;
  writeFileSync(file, scrape);
  const prometheus = await start(
    join(root, '.cache/prometheus/prometheus'),
    [
      `--config.file=${file}`,
      `--storage.tsdb.path=${directory}`,
      '--web.listen-address=127.0.0.1:0',
    ],
    { text: /msg="Listening on" address=(\S+)/, onStderr: true },
  );
  await delay(SECONDS * 1000);

  const end = Math.floor(Date.now() / 1000) - 2;
  const { gridPos: table } = panels.find(({ type }) => type === 'table');
  const shown = panels.filter(({ gridPos }) => gridPos.y < table.y);
  const drawn = [];
  for (const panel of shown) drawn.push(drawPanel(panel, await seriesOf(panel, prometheus, end)));
  const height = Math.max(...shown.map(({ gridPos: { y, h } }) => y + h)) * 30;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${24 * UNIT} ${height}" font-family="sans-serif">
<title>The dashboard, with the guests of serve --demo</title>
<rect width="100%" height="100%" fill="#111217"/>
${drawn.join('\n')}
</svg>
`;
}

async function main() {
  const directory = mkdtempSync(join(tmpdir(), 'picture-'));
  try {
    writeFileSync(join(root, 'docs/pictures/dashboard.svg'), await draw(directory));
  } finally {
    for (const child of children) await end(child);
    rmSync(directory, { recursive: true });
  }
}

main();

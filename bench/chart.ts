/** One row of results.json. */
export interface Result {
  readonly name: string;
  readonly nanoseconds: number;
  readonly ratio: number;
}

const BAR_HEIGHT = 18;
const GAP = 8;
const LABEL_WIDTH = 330;
const BAR_WIDTH = 420;
const RIGHT_MARGIN = 150;

/**
 * Draws a bar for each row, on a logarithmic scale, except rows about connections, disks that are not open
 * and fewer than seven counters.
 */
export function drawChart(results: readonly Result[], machine: string): string {
  const shown = results.filter(
    ({ name }) => !/require|connect\(\)|not open|[56] counters|libxenstore in C/.test(name),
  );
  const least = Math.min(...shown.map(({ nanoseconds }) => nanoseconds)) / 2;
  const most = Math.max(...shown.map(({ nanoseconds }) => nanoseconds));
  const length = (ns: number) => (BAR_WIDTH * Math.log(ns / least)) / Math.log(most / least);
  const bars = shown.map(({ name, nanoseconds, ratio }, i) => {
    const y = 40 + i * (BAR_HEIGHT + GAP);
    const isOwn = /^(disk|domain|set)\.|serve/.test(name);
    const text = `${(nanoseconds / 1000).toFixed(1)} µs, ${ratio.toFixed(2)}×`;
    return `  <text x="${LABEL_WIDTH - 8}" y="${y + 13}" text-anchor="end">${escape(name)}</text>
  <rect x="${LABEL_WIDTH}" y="${y}" width="${length(nanoseconds).toFixed(1)}" height="${BAR_HEIGHT}" fill="${isOwn ? '#2a7f62' : '#8a94a0'}"/>
  <text x="${(LABEL_WIDTH + length(nanoseconds) + 6).toFixed(1)}" y="${y + 13}">${text}</text>`;
  });
  const width = LABEL_WIDTH + BAR_WIDTH + RIGHT_MARGIN;
  const height = 64 + shown.length * (BAR_HEIGHT + GAP);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
  <rect width="${width}" height="${height}" fill="white"/>
  <text x="10" y="20" font-size="14">One disk's counters: time, and times the floor (logarithmic scale)</text>
${bars.join('\n')}
  <text x="10" y="${height - 8}" fill="#555" font-size="10">${escape(machine)}</text>
</svg>
`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

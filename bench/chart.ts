/** The medians of a row: its time and that of its floor, in nanoseconds for one disk. */
export interface Result {
  readonly name: string;
  readonly nanoseconds: number;
  readonly floor: number;
}

const BAR_HEIGHT = 18;
const GAP = 8;
const LABEL_WIDTH = 330;
const BAR_WIDTH = 420;
const RIGHT_MARGIN = 150;

/**
 * Draws a bar for each row, with a line at its floor, on a logarithmic scale. Rows about connections and
 * disks that are not open have none.
 */
export function drawChart(results: readonly Result[], machine: string): string {
  const shown = results.filter(({ name }) => !/require|connect\(\)|not open/.test(name));
  const least = Math.min(...shown.map(({ floor }) => floor)) / 2;
  const most = Math.max(...shown.map(({ nanoseconds }) => nanoseconds));
  const length = (ns: number) => (BAR_WIDTH * Math.log(ns / least)) / Math.log(most / least);
  const bars = shown.map(({ name, nanoseconds, floor }, i) => {
    const y = 40 + i * (BAR_HEIGHT + GAP);
    const isOwn = /^(await )?(disk|domain|set)\.|serve/.test(name);
    const text = `${(nanoseconds / 1000).toFixed(1)} µs, ${(nanoseconds / floor).toFixed(2)}×`;
    const x = (LABEL_WIDTH + length(floor)).toFixed(1);
    return `  <text x="${LABEL_WIDTH - 8}" y="${y + 13}" text-anchor="end">${escape(name)}</text>
  <rect x="${LABEL_WIDTH}" y="${y}" width="${length(nanoseconds).toFixed(1)}" height="${BAR_HEIGHT}" fill="${isOwn ? '#2a7f62' : '#8a94a0'}"/>
  <path d="M${x} ${y}v${BAR_HEIGHT}" stroke="black"/>
  <text x="${(LABEL_WIDTH + length(nanoseconds) + 6).toFixed(1)}" y="${y + 13}">${text}</text>`;
  });
  const width = LABEL_WIDTH + BAR_WIDTH + RIGHT_MARGIN;
  const height = 64 + shown.length * (BAR_HEIGHT + GAP);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
  <rect width="${width}" height="${height}" fill="white"/>
  <text x="10" y="20" font-size="14">One disk's counters: time, and times the floor, which is the line in each bar (logarithmic scale)</text>
${bars.join('\n')}
  <text x="10" y="${height - 8}" fill="#555" font-size="10">${escape(machine)}</text>
</svg>
`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

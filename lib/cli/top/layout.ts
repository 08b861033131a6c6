import { stripVTControlCharacters } from 'node:util';
import { columnsOf, type Column, type Figures } from '../rates/figures';
import { HISTORY_LENGTH, type Row } from '../rates/rows';
import { figureWidth, formatFigure, headingOf, type Unit } from '../rates/units';
import { fit, textWidth, toPrintable, type Style } from '../text';
import { sparkline } from './sparkline';
import type { View } from './view';

/** The columns that a narrow screen leaves out, in this order. */
const OPTIONAL_COLUMNS = [
  ['d/s'],
  ['rareq-sz', 'wareq-sz'],
  ['aqu-sz'],
  ['r_await', 'w_await'],
  ['%util'],
  ['f/s'],
  ['r/s', 'w/s'],
  ['rkB/s', 'wkB/s'],
  ['oo/s'],
  ['kB/s'],
];

/** The number of bars for which columns are left out. */
const MIN_BARS = 8;

/** The columns of a screen, and their widths. */
export interface Layout {
  readonly unit: Unit;
  /** The width of the screen. */
  readonly width: number;
  readonly domain: number;
  readonly disk: number;
  readonly columns: readonly Column[];
  readonly bars: number;
}

/** Chooses the columns of a screen. The column of the sort key is always among them. */
export function computeLayout(
  rows: readonly Row[],
  { sort }: Pick<View, 'sort'>,
  { width, unit }: Pick<Layout, 'width' | 'unit'>,
  style: Style,
): Layout {
  const longest = (text: (row: Row) => string) =>
    rows.reduce((most, row) => Math.max(most, textWidth(toPrintable(text(row), style))), 0);
  const clamp = (value: number, least: number, most: number) =>
    Math.min(Math.max(value, least), most);
  const domain = clamp(
    longest((row) => row.domain),
    'DOMAIN'.length,
    Math.max(12, width >> 2),
  );
  const disk = clamp(
    longest((row) => row.disk),
    'DISKS'.length,
    'xvdbgqcv255'.length,
  );
  let columns = columnsOf(
    rows.map(({ figures }) => figures),
    sort,
  );
  // each column is preceded by a blank
  const room = () =>
    columns.reduce((left, column) => left - columnWidth(column) - 1, width - domain - 1 - disk - 1);
  for (const headings of OPTIONAL_COLUMNS) {
    if (room() >= MIN_BARS) break;
    columns = columns.filter(({ heading }) => heading === sort || !headings.includes(heading));
  }
  return { unit, width, domain, disk, columns, bars: Math.min(room(), HISTORY_LENGTH) };
}

/** Returns the width of a column, in characters. */
function columnWidth({ heading, quantity }: Column): number {
  return Math.max(heading.length, figureWidth(quantity));
}

/** Renders the headings: inverse, except that of the sort key. */
export function renderHeadings({ by, sort }: View, layout: Layout, style: Style): string {
  const headings: [key: string, heading: string][] = [
    ['domain', 'DOMAIN'.padEnd(layout.domain)],
    ['disk', (by === 'disk' ? 'DISK' : 'DISKS').padEnd(layout.disk)],
    ...layout.columns.map((column): [string, string] => [
      column.heading,
      headingOf(column, layout.unit).padStart(columnWidth(column)),
    ]),
  ];
  const line = fit(headings.map(([, heading]) => heading).join(' '), layout.width, style);
  const sorted = headings.find(([key]) => key === sort)?.[1].trim() ?? '';
  return line.replace(
    new RegExp(`(?<=^| )${sorted}(?= |$)`),
    (heading) => `\x1b[27m${heading}\x1b[7m`,
  );
}

/** Renders the names of a row, its figures and bars, or why the figures are unknown. */
export function renderRow(row: Row, layout: Layout, style: Style): string {
  const { figures, history, note } = row;
  const { width, bars } = layout;
  const names = [
    fit(toPrintable(row.domain, style), layout.domain, style),
    fit(toPrintable(row.disk, style), layout.disk, style),
  ].join(' ');
  const reason = (columns: number) =>
    colour('31', fit(toPrintable(note, style), columns, style), style);
  const room = width - textWidth(names) - 1;
  if (room <= 0) return fit(names, width, style);
  if (figures === undefined && note !== '') return `${names} ${reason(room)}`;
  const cells = layout.columns.map((column) => ` ${renderCell(figures, column, layout, style)}`);
  if (bars <= 0) return fit(stripVTControlCharacters(names + cells.join('')), width, style);
  const last = note === '' ? colour('36', sparkline(history, bars, style), style) : reason(bars);
  return `${names}${cells.join('')} ${last}`;
}

function renderCell(
  figures: Figures | undefined,
  column: Column,
  { unit }: Layout,
  style: Style,
): string {
  const value = figures ? column.of(figures) : -1;
  const text = formatFigure(value, column, unit).padStart(columnWidth(column));
  // requests were delayed because the backend was busy
  return column.heading === 'oo/s' && value > 0 ? colour('33', text, style) : text;
}

/** Gives text a colour, if the terminal has colours. */
function colour(code: string, text: string, { colours }: Style): string {
  return colours && text !== '' ? `\x1b[${code}m${text}\x1b[39m` : text;
}

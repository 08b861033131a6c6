import { COLUMNS, type Figures } from './figures';
import {
  HISTORY_LENGTH,
  filterRows,
  groupByDomain,
  sortRows,
  totalRow,
  type DiskRow,
  type Row,
} from './rows';
import { fit, formatFigure, sparkline, textWidth, toPrintable, type Style } from './text';
import type { View } from './view';

/** Everything that a screen shows. */
export interface Picture {
  readonly view: View;
  readonly rows: readonly DiskRow[];
  /** The time of the sample, as text. */
  readonly time: string;
  readonly intervalSeconds: number;
  /** Whether the set receives watch events, and so follows guests as they start and stop. */
  readonly isWatching: boolean;
}

/** The size of a terminal, in characters. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** The number of lines around the rows: title, headings and total above, keys below. */
const FRAME_LINES = 4;

const KEYS = 'q quit  space pause  / filter  < > sort  d disks or domains  up, down scroll';

/** The columns that a narrow screen leaves out, in this order. */
const OPTIONAL_COLUMNS = [
  ['d/s'],
  ['oo/s'],
  ['rareq-sz', 'wareq-sz'],
  ['f/s'],
  ['r/s', 'w/s'],
  ['rkB/s', 'wkB/s'],
];

/** The minimum number of bars, for which other columns are left out. */
const MIN_BARS = 10;

/** The columns of figures that a screen has, and the widths of the other columns. */
interface Layout {
  readonly domain: number;
  readonly disk: number;
  readonly columns: readonly (typeof COLUMNS)[number][];
  readonly bars: number;
}

/** Returns the rows of the view, on any page: filtered, grouped and sorted. */
export function visibleRows({ view, rows }: Pick<Picture, 'view' | 'rows'>): Row[] {
  const wanted = filterRows(rows, view.filter);
  return sortRows(view.by === 'domain' ? groupByDomain(wanted) : wanted, view.sort);
}

/** Returns the number of rows that fit on a screen. */
export function pageLength(size: Size): number {
  return Math.max(0, size.rows - FRAME_LINES);
}

/** Renders all lines of a screen, none wider than the screen. */
export function renderScreen(picture: Picture, size: Size, style: Style): string[] {
  const { view } = picture;
  const all = visibleRows(picture);
  const page = pageLength(size);
  const skipped = Math.min(view.skipped, Math.max(0, all.length - page));
  const shown = all.slice(skipped, skipped + page);
  const total = totalRow(filterRows(picture.rows, view.filter));
  const layout = computeLayout([...all, total], size.columns, style);

  return [
    emphasise('1', fit(renderTitle(picture, style), size.columns, style)),
    emphasise('7', renderHeadings(view, layout, style, size.columns)),
    emphasise('1', renderRow(total, layout, style, size.columns)),
    ...shown.map((row) => renderRow(row, layout, style, size.columns)),
    ...Array.from({ length: page - shown.length }, () => ''),
    emphasise(
      '2',
      renderFooter(view, { skipped, shown: shown.length, all: all.length }, size, style),
    ),
  ].slice(0, size.rows);
}

function renderTitle(
  { view, rows, time, intervalSeconds, isWatching }: Picture,
  style: Style,
): string {
  const domains = new Set(rows.map(({ domid }) => domid)).size;
  return [
    time,
    `every ${intervalSeconds} s`,
    `${quantity(rows.length, 'disk')} of ${quantity(domains, 'domain')}`,
    ...(view.isPaused ? ['PAUSED'] : []),
    ...(isWatching ? [] : ['xenstored does not respond: disks may have come or gone']),
    `sorted by ${view.sort}`,
    ...(view.filter === '' ? [] : [`only ${toPrintable(view.filter, style)}`]),
  ].join('  ');
}

function quantity(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function renderFooter(
  view: View,
  { skipped, shown, all }: { skipped: number; shown: number; all: number },
  { columns }: Size,
  style: Style,
): string {
  if (view.isTyping) {
    const text = `Filter: ${toPrintable(view.filter, style)}_  (Enter keeps it, Esc clears it)`;
    return fit(text, columns, style);
  }
  if (shown === all) return fit(KEYS, columns, style);
  const position = ` ${skipped + 1}-${skipped + shown} of ${all}`;
  return (
    fit(KEYS, columns - position.length, style) +
    fit(position, Math.min(position.length, columns), style)
  );
}

function computeLayout(rows: readonly Row[], width: number, style: Style): Layout {
  const longest = (text: (row: Row) => string) =>
    rows.reduce((most, row) => Math.max(most, textWidth(toPrintable(text(row), style))), 0);
  const domain = Math.min(
    Math.max(
      6,
      longest((row) => row.domain),
    ),
    Math.max(12, width >> 2),
  );
  const disk = Math.min(
    Math.max(
      5,
      longest((row) => row.disk),
    ),
    11,
  );
  let columns: Layout['columns'] = COLUMNS;
  const room = () =>
    columns.reduce((left, column) => left - column.width, width - domain - 1 - disk - 1);
  for (const headings of OPTIONAL_COLUMNS) {
    if (room() >= MIN_BARS) break;
    columns = columns.filter(({ heading }) => !headings.includes(heading));
  }
  return { domain, disk, columns, bars: Math.min(room(), HISTORY_LENGTH) };
}

/** Renders the headings: inverse, except that of the sort key. */
function renderHeadings(view: View, layout: Layout, style: Style, width: number): string {
  const line = [
    'DOMAIN'.padEnd(layout.domain),
    ' ',
    (view.by === 'disk' ? 'DISK' : 'DISKS').padEnd(layout.disk),
    ...layout.columns.map((column) => column.heading.padStart(column.width)),
    ' ',
    'kB/s'.padStart(layout.bars),
  ].join('');
  const fitted = fit(line, width, style);
  const sorted = new RegExp(`(?<=^| )${view.sort}(?= |$)`, 'i');
  return fitted.replace(sorted, (heading) => `\x1b[27m${heading}\x1b[7m`);
}

function renderRow(row: Row, layout: Layout, style: Style, width: number): string {
  const { domain, disk, figures, history, note } = row;
  const names = `${fit(toPrintable(domain, style), layout.domain, style)} ${fit(toPrintable(disk, style), layout.disk, style)}`;
  const cells = layout.columns.map((column) => renderCell(figures, column, style)).join('');
  const last =
    note === ''
      ? colour('36', sparkline(history, layout.bars, style), style)
      : colour('31', fit(toPrintable(note, style), layout.bars, style), style);
  return layout.bars > 0 ? `${names}${cells} ${last}` : fit(names, width, style);
}

function renderCell(
  figures: Figures | undefined,
  { figure, width }: (typeof COLUMNS)[number],
  style: Style,
): string {
  const value = figures?.[figure];
  const text = formatFigure(value).padStart(width);
  // requests were delayed because the backend was busy
  return figure === 'ooPerSec' && (value ?? 0) > 0 ? colour('33', text, style) : text;
}

/** Gives text a colour, if the terminal has colours. */
function colour(code: string, text: string, { colours }: Style): string {
  return colours && text !== '' ? `\x1b[${code}m${text}\x1b[39m` : text;
}

/** Makes text bold (1), faint (2) or inverse (7). */
function emphasise(code: string, text: string): string {
  return `\x1b[${code}m${text}\x1b[0m`;
}

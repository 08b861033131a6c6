import { COLUMNS } from '../rates/figures';
import { filterRows, selectRows, totalRow } from '../rates/rows';
import type { Sample } from '../rates/sampler';
import { headingOf, type Unit } from '../rates/units';
import { describeUnsupported, filterUnsupported } from '../rates/unsupported';
import { fit, toPrintable, type Style } from '../text';
import { computeLayout, renderHeadings, renderRow } from './layout';
import type { View } from './view';

/** Everything that a screen shows. */
export interface Picture {
  readonly view: View;
  readonly sample: Sample;
  readonly unit: Unit;
  /** Whether the set receives watch events, and so follows guests as they start and stop. */
  readonly isWatching: boolean;
}

/** The size of a terminal, in characters. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const KEYS = 'q quit  ? help  p pause  / filter  <> sort  r reverse  d domains  +- interval';

const HELP = [
  'q, Ctrl-C     quit',
  'space, p      pause, while sampling',
  '/             filter by name',
  'Esc           clear the filter',
  '< >           sort by another column',
  'r             reverse the order',
  'd             disks or domains',
  '+ -           longer, shorter interval',
  'arrows, pages scroll',
  '',
  'any other key closes this help',
];

/** Returns the number of rows that fit on a screen. */
export function pageLength(picture: Picture, size: Size): number {
  // title, headings and total above, disks that are not shown and keys below
  const frame = hiddenDisks(picture) === '' ? 4 : 5;
  return Math.max(0, size.rows - frame);
}

/** Renders all lines of a screen, none wider than the screen. */
export function renderScreen(picture: Picture, size: Size, style: Style): string[] {
  const title = emphasise('1', fit(renderTitle(picture, style), size.columns, style));
  const lines = picture.view.isHelpShown
    ? HELP.map((line) => fit(line, size.columns, style))
    : renderTable(picture, size, style);
  const blank = Array.from({ length: Math.max(0, size.rows - 1 - lines.length) }, () => '');
  return [title, ...lines, ...blank].slice(0, size.rows);
}

function renderTable(picture: Picture, size: Size, style: Style): string[] {
  const { view, sample, unit } = picture;
  const all = selectRows(sample.rows, view);
  const page = pageLength(picture, size);
  const skipped = Math.min(view.skipped, Math.max(0, all.length - page));
  const shown = all.slice(skipped, skipped + page);
  const total = totalRow(filterRows(sample.rows, view.filter));
  const layout = computeLayout([...all, total], view, { width: size.columns, unit }, style);
  const hidden = hiddenDisks(picture);
  const position = { skipped, shown: shown.length, all: all.length };
  return [
    emphasise('7', renderHeadings(view, layout, style)),
    emphasise('1', renderRow(total, layout, style)),
    ...shown.map((row) => renderRow(row, layout, style)),
    ...Array.from({ length: page - shown.length }, () => ''),
    ...(hidden === '' ? [] : [fit(hidden, size.columns, style)]),
    emphasise('2', renderFooter(view, position, size, style)),
  ];
}

function hiddenDisks({ view, sample }: Picture): string {
  return describeUnsupported(filterUnsupported(sample.unsupported, view.filter));
}

function renderTitle({ view, sample, unit, isWatching }: Picture, style: Style): string {
  const { time, rows } = sample;
  const domains = new Set(rows.map(({ domid }) => domid)).size;
  const sortColumn = COLUMNS.find(({ heading }) => heading === view.sort);
  return [
    time.toTimeString().slice(0, 8),
    // what must not be cut off on a narrow screen comes first
    ...(view.isPaused ? ['PAUSED'] : []),
    ...(isWatching ? [] : ['xenstored does not respond: disks may have come or gone']),
    `every ${view.intervalMs / 1000} s`,
    `${quantity(rows.length, 'disk')} of ${quantity(domains, 'domain')}`,
    `sorted by ${sortColumn ? headingOf(sortColumn, unit) : view.sort}${view.isReversed ? ', reversed' : ''}`,
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

/** Makes text bold (1), faint (2) or inverse (7). */
function emphasise(code: string, text: string): string {
  return `\x1b[${code}m${text}\x1b[0m`;
}

import { SORT_KEYS, type Selection, type SortKey } from '../rates/rows';

/** What `top` shows, and how. */
export interface View extends Selection {
  /** The time between two samples, in milliseconds. */
  readonly intervalMs: number;
  /** Whether keys edit the filter. */
  readonly isTyping: boolean;
  readonly isPaused: boolean;
  /** Whether the keys are explained in place of the rows. */
  readonly isHelpShown: boolean;
  /** The number of rows above the screen. */
  readonly skipped: number;
}

/** A key, as Node.js's readline names it. */
export interface Key {
  readonly name?: string | undefined;
  readonly sequence?: string | undefined;
  readonly ctrl?: boolean | undefined;
  readonly meta?: boolean | undefined;
}

/** The intervals of the keys `+` and `-`, in milliseconds. */
const INTERVALS_MS = [100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000];

/**
 * Returns the view after a key; undefined if the key ends `top`.
 *
 * @param page - the number of rows on the screen, and in all.
 */
export function handleKey(
  view: View,
  key: Key,
  page: { readonly shown: number; readonly all: number },
): View | undefined {
  if (key.ctrl === true) return key.name === 'c' ? undefined : view;
  if (view.isTyping) return editFilter(view, key);
  const isQuit = key.name === 'q';
  if (view.isHelpShown && !isQuit) return { ...view, isHelpShown: false };

  const scroll = (rows: number) => {
    const last = Math.max(0, page.all - page.shown);
    return { ...view, skipped: Math.min(Math.max(0, view.skipped + rows), last) };
  };
  switch (key.name ?? key.sequence) {
    case 'q':
      return undefined;
    case 'h':
    case '?':
      return { ...view, isHelpShown: true };
    case 'p':
    case 'space':
      return { ...view, isPaused: !view.isPaused };
    case 'd':
      return { ...view, by: view.by === 'disk' ? 'domain' : 'disk', skipped: 0 };
    case '/':
      return { ...view, isTyping: true };
    case 'escape':
      return { ...view, filter: '', skipped: 0 };
    case 'left':
    case '<':
      return { ...view, sort: adjacentSortKey(view.sort, -1) };
    case 'right':
    case '>':
      return { ...view, sort: adjacentSortKey(view.sort, 1) };
    case 'r':
      return { ...view, isReversed: !view.isReversed };
    case '+':
      return {
        ...view,
        intervalMs: INTERVALS_MS.find((it) => it > view.intervalMs) ?? view.intervalMs,
      };
    case '-':
      return {
        ...view,
        intervalMs: INTERVALS_MS.findLast((it) => it < view.intervalMs) ?? view.intervalMs,
      };
    case 'up':
      return scroll(-1);
    case 'down':
      return scroll(1);
    case 'pageup':
      return scroll(-page.shown);
    case 'pagedown':
      return scroll(page.shown);
    default:
      return view;
  }
}

/** Returns the view after a key that edits the filter. */
function editFilter(view: View, { name, sequence = '', meta }: Key): View {
  switch (name) {
    case 'return':
    case 'enter':
      return { ...view, isTyping: false };
    case 'escape':
      return { ...view, isTyping: false, filter: '', skipped: 0 };
    case 'backspace':
      return { ...view, filter: view.filter.replace(/.$/su, ''), skipped: 0 };
    default: {
      const isText = meta !== true && /^\P{Cc}$/u.test(sequence);
      return isText ? { ...view, filter: view.filter + sequence, skipped: 0 } : view;
    }
  }
}

/** Returns the sort key of the column at the left (-1) or right (1), around the ends. */
function adjacentSortKey(key: SortKey, step: 1 | -1): SortKey {
  const { length } = SORT_KEYS;
  return SORT_KEYS[(SORT_KEYS.indexOf(key) + step + length) % length] ?? key;
}

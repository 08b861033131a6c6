import { SORT_KEYS, type SortKey } from './rows';

/** What is looked at, and how. */
export interface View {
  /** What a line is about. */
  readonly by: 'disk' | 'domain';
  readonly sort: SortKey;
  /** Text that is in the names of what is shown. */
  readonly filter: string;
  /** Whether keys go into the filter. */
  readonly isTyping: boolean;
  readonly isPaused: boolean;
  /** How many rows have been scrolled away. */
  readonly skipped: number;
}

/** A key, as Node's readline names it. */
export interface Key {
  readonly name?: string | undefined;
  readonly sequence?: string | undefined;
  readonly ctrl?: boolean | undefined;
  readonly meta?: boolean | undefined;
}

/**
 * The view after a key; undefined when it is to end.
 *
 * @param page - how many rows are on the screen, and how many there are.
 */
export function press(
  view: View,
  key: Key,
  page: { readonly shown: number; readonly all: number },
): View | undefined {
  if (key.ctrl === true) return key.name === 'c' ? undefined : view;
  if (view.isTyping) return type(view, key);

  const scroll = (rows: number) => {
    const last = Math.max(0, page.all - page.shown);
    return { ...view, skipped: Math.min(Math.max(0, view.skipped + rows), last) };
  };
  switch (key.name ?? key.sequence) {
    case 'q':
      return undefined;
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
      return { ...view, sort: besides(view.sort, -1) };
    case 'right':
    case '>':
      return { ...view, sort: besides(view.sort, 1) };
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

function type(view: View, { name, sequence = '', meta }: Key): View {
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

function besides(key: SortKey, step: 1 | -1): SortKey {
  const { length } = SORT_KEYS;
  return SORT_KEYS[(SORT_KEYS.indexOf(key) + step + length) % length] ?? key;
}

'use strict';

// Draws docs/pictures/top.svg: the screen of `xen-block-stats top --demo`.
const { execFileSync } = require('node:child_process');
const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const COLUMNS = 120;
const ROWS = 11;
/** Long enough to fill the columns with bars. */
const SECONDS = 30;

const CELL_WIDTH = 7.2;
const LINE_HEIGHT = 17;
const MARGIN = 12;
const FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace';
const BACKGROUND = '#15191e';
const FOREGROUND = '#d6dbe1';
const COLOURS = { 31: '#f07178', 33: '#ffcb6b', 36: '#6fc3c9' };

const root = join(__dirname, '..');

/** Returns the screen, with escape sequences for coloured, bold, faint and inverse text. */
function capture() {
  const directory = mkdtempSync(join(tmpdir(), 'picture-'));
  const tmux = (...args) =>
    execFileSync('tmux', ['-S', join(directory, 'socket'), '-f', '/dev/null', '-u', ...args], {
      encoding: 'utf8',
    });
  const command = `LANG=C.UTF-8 '${process.execPath}' '${root}/dist/xen-block-stats.js' top --demo`;
  tmux('new-session', '-d', '-x', String(COLUMNS), '-y', String(ROWS), command);
  try {
    execFileSync('sleep', [String(SECONDS)]);
    return tmux('capture-pane', '-p', '-e');
  } finally {
    tmux('kill-server');
    rmSync(directory, { recursive: true });
  }
}

/** Splits each line into pieces of text of one style. */
function parse(screen) {
  let style = {};
  return screen
    .trimEnd()
    .split('\n')
    .map((line) => {
      const pieces = [];
      let column = 0;
      // eslint-disable-next-line no-control-regex
      for (const part of line.split(/(\u001b\[[0-9;]*m)/)) {
        if (part.startsWith('\u001b')) {
          for (const code of part.slice(2, -1).split(';').map(Number))
            style = applyCode(style, code);
        } else if (part !== '') {
          pieces.push({ ...style, column, text: part });
          column += part.length;
        }
      }
      return pieces;
    });
}

/** Returns the style after a code of an SGR escape sequence (console_codes(4)). */
function applyCode(style, code) {
  if (code === 0) return {};
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, faint: true };
  if (code === 7) return { ...style, inverse: true };
  if (code === 27) return { ...style, inverse: false };
  if (code === 39 || code === 49) return { ...style, colour: undefined };
  if (code in COLOURS) return { ...style, colour: COLOURS[code] };
  throw new Error(`unknown escape sequence: ESC[${code}m`);
}

function draw(lines) {
  const width = COLUMNS * CELL_WIDTH + 2 * MARGIN;
  const height = lines.length * LINE_HEIGHT + 2 * MARGIN;
  const drawn = lines.flatMap((pieces, row) => pieces.map((piece) => drawPiece(piece, row)));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family='${FONT}' font-size="12">
<title>xen-block-stats top</title>
<rect width="${width}" height="${height}" rx="6" fill="${BACKGROUND}"/>
${drawn.filter((it) => it !== '').join('\n')}
</svg>
`;
}

function drawPiece({ column, text, bold, faint, inverse, colour = FOREGROUND }, row) {
  const blanks = text.length - text.trimStart().length;
  const shown = text.trim();
  const y = MARGIN + row * LINE_HEIGHT;
  const x = (at) => (MARGIN + at * CELL_WIDTH).toFixed(1);
  const box = inverse
    ? `<rect x="${x(column)}" y="${y}" width="${(text.length * CELL_WIDTH).toFixed(1)}" height="${LINE_HEIGHT}" fill="${colour}"/>`
    : '';
  if (shown === '') return box;
  // bars are drawn as shapes, because fonts differ in their glyphs
  if (/^[▁-█ ]+$/.test(shown)) return box + drawBars(shown, x, column + blanks, y, colour);
  const attributes = `${bold ? ' font-weight="bold"' : ''}${faint ? ' opacity="0.6"' : ''}`;
  // each word has its own position, so that columns are aligned in every font
  const words = [...text.matchAll(/[^ ]+/g)].map(
    ({ 0: word, index }) => `<tspan x="${x(column + index)}">${escape(word)}</tspan>`,
  );
  return `${box}<text y="${y + 13}" fill="${inverse ? BACKGROUND : colour}"${attributes}>${words.join('')}</text>`;
}

function drawBars(bars, x, column, y, colour) {
  const path = Array.from(bars, (bar, i) => {
    const height = (LINE_HEIGHT - 2) * (('▁▂▃▄▅▆▇█'.indexOf(bar) + 1) / 8);
    return `M${x(column + i)} ${y + LINE_HEIGHT - 1}v-${height.toFixed(1)}h${CELL_WIDTH - 0.8}v${height.toFixed(1)}z`;
  });
  return `<path d="${path.join('')}" fill="${colour}"/>`;
}

function escape(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

mkdirSync(join(root, 'docs/pictures'), { recursive: true });
writeFileSync(join(root, 'docs/pictures/top.svg'), draw(parse(capture())));

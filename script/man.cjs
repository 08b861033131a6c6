'use strict';

// Writes the manual page dist/man/xen-block-stats.1, made of docs/command-line.md. man(7) explains its macros.
const { mkdirSync, readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const MarkdownIt = require('markdown-it');
const { name, version, description } = require('../package.json');

const root = join(__dirname, '..');

/** Escapes text: roff replaces some characters of ASCII by typographic ones. */
function escape(text) {
  const escapes = {
    '\\': '\\e',
    '-': '\\-',
    "'": '\\(aq',
    '`': '\\(ga',
    '^': '\\(ha',
    '~': '\\(ti',
  };
  return text.replaceAll(/[\\\-'`^~]/g, (character) => escapes[character]);
}

/** Formats the parts of a paragraph. Comments and pictures have no text; of links, the text remains. */
function formatInline(tokens) {
  const parts = tokens.map(({ type, content }) => {
    if (type === 'code_inline') return `\\fB${escape(content)}\\fR`;
    if (type === 'softbreak') return '\n';
    return type === 'text' || type === 'text_special' ? escape(content) : '';
  });
  // a line that begins with a dot is a macro
  return parts.join('').replaceAll(/^\./gm, '\\&.');
}

/** Formats a row of a table: a tag, its explanation, and the columns between them in parentheses. */
function formatRow([tag, ...cells], headings) {
  const explanation = cells.pop();
  const others = cells.map((cell, i) => cell && ` (${headings[i + 1]}: ${cell})`);
  return ['.TP', tag, explanation + others.join('')];
}

function formatBody(tokens) {
  const lines = [];
  let headings = [];
  let row = [];
  for (const [i, { type, children, content }] of tokens.entries()) {
    if (type === 'fence') {
      const code = escape(content.trimEnd()).replaceAll(/^\./gm, '\\&.');
      lines.push('.PP', '.RS 4', '.nf', code, '.fi', '.RE');
    } else if (type === 'thead_open') {
      headings = [];
    } else if (type === 'tr_open') {
      row = [];
    } else if (type === 'tr_close' && row.length > 0) {
      lines.push(...formatRow(row, headings));
    } else if (type === 'inline') {
      const text = formatInline(children);
      const { type: parent, tag } = tokens[i - 1];
      if (tag === 'h2' && !lines.includes('.SH COMMANDS')) lines.push('.SH COMMANDS');
      if (tag === 'h2') lines.push(`.SS ${text}`);
      else if (parent === 'paragraph_open' && text !== '') lines.push('.PP', text);
      else if (parent === 'th_open') headings.push(text);
      else if (parent === 'td_open') row.push(text);
    }
  }
  return lines;
}

const document = readFileSync(join(root, 'docs/command-line.md'), 'utf8');
const page = [
  `.TH ${escape(name.toUpperCase())} 1 "" "${escape(`${name} ${version}`)}" "User Commands"`,
  '.SH NAME',
  `${escape(name)} \\- ${escape(description)}`,
  '.SH SYNOPSIS',
  `\\fB${escape(name)}\\fR \\fIcommand\\fR [options]`,
  '.SH DESCRIPTION',
  ...formatBody(new MarkdownIt({ html: true }).parse(document, {})),
];
mkdirSync(join(root, 'dist/man'), { recursive: true });
writeFileSync(join(root, 'dist/man', `${name}.1`), `${page.join('\n')}\n`);

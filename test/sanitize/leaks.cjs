'use strict';

/*
 * leaks.cjs FOLDER: prints the reports in that directory that are about this package, and fails if there
 * are any. Every error is about it; a leak is if the addon is on its stack.
 */

const { readFileSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

const OURS = /xen_block_stats\.node/;

/** What V8 allocates for its own heap is not a leak of the addon, also if the addon called V8. */
const OF_V8 = /^ +#1 \S+ v8::internal::/m;

const [folder] = process.argv.slice(2);
let found = 0;
const files = readdirSync(folder);
for (const file of files) {
  const report = readFileSync(join(folder, file), 'utf8');
  const leaks = report.split('\n\n').filter((part) => /^(Direct|Indirect) leak of/.test(part));
  const ours = leaks.filter((leak) => OURS.test(leak) && !OF_V8.test(leak));
  if (leaks.length === 0) ours.push(report);
  found += ours.length;
  for (const part of ours) console.log(`${file}:\n${part}\n`);
}
console.log(`${files.length} reports of sanitizers, ${found} findings about this package`);
process.exit(found === 0 ? 0 : 1);

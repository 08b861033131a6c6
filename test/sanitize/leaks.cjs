'use strict';

/*
 * leaks.cjs DIRECTORY: prints the findings in the sanitizers' reports in that directory, and fails if
 * there are any. A leak counts only if the addon is on its stack; every other error counts.
 */

const { readFileSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

const ADDON = /xen_block_stats\.node/;

/** V8's own allocations are no leak of the addon, even if the addon called V8. */
const ALLOCATED_BY_V8 = /^ +#1 \S+ v8::internal::/m;

/** What LeakSanitizer reports about itself, when strace traces the process, or when a thread is just ending. */
const ABOUT_ITSELF = /does not work under ptrace|was not suspended\. False leaks are possible/;

const [directory] = process.argv.slice(2);
let found = 0;
const files = readdirSync(directory);
for (const file of files) {
  const report = readFileSync(join(directory, file), 'utf8');
  const leaks = report.split('\n\n').filter((part) => /^(Direct|Indirect) leak of/.test(part));
  const findings = leaks.filter((leak) => ADDON.test(leak) && !ALLOCATED_BY_V8.test(leak));
  if (leaks.length === 0 && !ABOUT_ITSELF.test(report)) findings.push(report);
  found += findings.length;
  for (const part of findings) console.log(`${file}:\n${part}\n`);
}
console.log(`${files.length} reports of sanitizers, ${found} findings about this package`);
process.exit(found === 0 ? 0 : 1);

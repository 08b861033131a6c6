'use strict';

/*
 * leaks.cjs FOLDER: what the sanitizers wrote down there that is about us. Every error is; a leak is
 * if our addon is on its stack.
 */

const { readFileSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

const OURS = /xen_block_stats\.node/;

/**
 * Node.js frees what it makes for a handle when that is collected, and at no end of a thread; and what V8's
 * heap keeps for itself is not ours, whoever called.
 */
const OF_NODE = /^ +#1 \S+ (napi_create_external |v8::internal::)/m;

const [folder] = process.argv.slice(2);
let found = 0;
const files = readdirSync(folder);
for (const file of files) {
  const report = readFileSync(join(folder, file), 'utf8');
  const leaks = report.split('\n\n').filter((part) => /^(Direct|Indirect) leak of/.test(part));
  const ours = leaks.filter((leak) => OURS.test(leak) && !OF_NODE.test(leak));
  if (leaks.length === 0) ours.push(report);
  found += ours.length;
  for (const part of ours) console.log(`${file}:\n${part}\n`);
}
console.log(`${files.length} reports of sanitizers, ${found} findings about this package`);
process.exit(found === 0 ? 0 : 1);

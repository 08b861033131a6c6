'use strict';

const { writeSync } = require('node:fs');
const TestEnvironment = require('../support/environment.cjs');

const titleOf = (test) => (test.parent ? `${titleOf(test.parent)} ${test.name}` : '').trim();
const FAILURES = ['test_fn_failure', 'hook_failure', 'error'];

/** Reports each test that ends, and ends jest when a test has failed: the rest cannot change the result. */
module.exports = class extends TestEnvironment {
  handleTestEvent({ name, test }) {
    if (name === 'test_done') writeSync(1, '.');
    if (!FAILURES.includes(name)) return;
    writeSync(1, `\nfailed: ${test ? titleOf(test) : name}\n`);
    process.exit(1);
  }
};

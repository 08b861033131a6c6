'use strict';

const { relative } = require('node:path');
const { default: Sequencer } = require('@jest/test-sequencer');

const suites = process.env.MUTATION_SUITES.split(' ');
const place = ({ path }) => suites.indexOf(relative(process.cwd(), path));

/** Runs the suites in the order of MUTATION_SUITES. */
module.exports = class extends Sequencer {
  sort(tests) {
    return tests.sort((a, b) => place(a) - place(b));
  }
};

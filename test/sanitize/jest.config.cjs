'use strict';

const { projects } = require('../../jest.config.cjs');

/** Not among the ordinary tests: test/sanitize/run starts them. */
module.exports = {
  ...projects[0],
  displayName: 'sanitize',
  testMatch: ['<rootDir>/test/sanitize/**/*.test.ts'],
};

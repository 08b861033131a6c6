'use strict';

const { projects } = require('../../jest.config.cjs');

/** Configures the tests that test/sanitize/run starts. They are no project of the main configuration. */
module.exports = {
  ...projects[0],
  displayName: 'sanitize',
  testMatch: ['<rootDir>/test/sanitize/**/*.test.ts'],
};

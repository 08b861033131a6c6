'use strict';

const { projects, ...shared } = require('../../jest.config.cjs');

/** Configures the tests of a mutant. They have the compiled core, which is mutated, in place of lib/. */
module.exports = {
  ...shared,
  rootDir: projects[0].rootDir,
  testSequencer: '<rootDir>/test/mutation/sequencer.cjs',
  testTimeout: 30_000,
  projects: projects.map((project) => ({
    ...project,
    testEnvironment: '<rootDir>/test/mutation/environment.cjs',
    moduleNameMapper: { '^(?:\\.\\./)+lib/(.*)$': '<rootDir>/dist/$1' },
  })),
};

'use strict';

/** Tests import the package by its public name, and so run on dist/, as users of the package do. */
const shared = {
  cacheDirectory: '<rootDir>/.cache/jest',
  testEnvironment: '<rootDir>/test/support/environment.cjs',
  setupFilesAfterEnv: ['<rootDir>/test/support/end-children.ts'],
  modulePathIgnorePatterns: ['<rootDir>/.cache', '<rootDir>/build', '<rootDir>/test/xen'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/test/tsconfig.json' }] },
};

const project = (name, ...testMatch) => ({
  ...shared,
  displayName: name,
  rootDir: __dirname,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`, ...testMatch],
});

module.exports = {
  maxWorkers: '100%',
  projects: [
    project('unit', '<rootDir>/bench/*.test.ts'),
    ...['simulator', 'integration', 'faults', 'fuzz', 'package'].map((name) => project(name)),
  ],
};

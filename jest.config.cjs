'use strict';

/** Tests import the package by its public name, and so run on dist/, as users of the package do. */
const shared = {
  testEnvironment: 'node',
  modulePathIgnorePatterns: ['<rootDir>/build', '<rootDir>/test/xen'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/test/tsconfig.json' }] },
};

module.exports = {
  projects: ['unit', 'fuzz', 'integration', 'faults', 'package'].map((name) => ({
    ...shared,
    displayName: name,
    rootDir: __dirname,
    testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  })),
};

'use strict';

/** Every test imports the package by its public name, and so runs on dist/, which is what ships. */
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

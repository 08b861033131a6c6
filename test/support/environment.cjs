'use strict';

const { setInterval } = require('node:timers');
const { TestEnvironment } = require('jest-environment-node');

// A worker process of jest ends with jest: without this, it would continue to the end of its tests.
const parent = process.ppid;
const check = () => {
  if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL');
};
setInterval(check, 200).unref();

module.exports = TestEnvironment;

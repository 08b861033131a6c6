import { children, endChild } from './child-process';

/* Ends the children that the tests of a file have left running, because one of them failed. */
afterAll(() => Promise.all([...children].map(endChild)));

/** node-gyp-build ships no types. */
declare module 'node-gyp-build' {
  /** Loads the addon of the package in this directory: what was built there, else a prebuilt binary. */
  function load(directory: string): unknown;
  export = load;
}

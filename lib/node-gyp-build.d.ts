/** node-gyp-build ships no types. */
declare module 'node-gyp-build' {
  /** Loads the addon of the package in this folder: what was built there, else a prebuilt binary. */
  function load(folder: string): unknown;
  export = load;
}

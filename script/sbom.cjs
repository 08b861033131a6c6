'use strict';

// Prints the bill of materials of the package in CycloneDX's format (https://cyclonedx.org): the dependencies, and
// what is compiled or bundled into the package. `npm sbom --omit dev` has neither the latter nor a dependency that
// a tool depends on, too; so these components are selected from a complete one.
const { execFileSync } = require('node:child_process');
const { join } = require('node:path');
const { name, version, dependencies } = require('../package.json');
const { packages } = require('../package-lock.json');

/** Development dependencies whose code is published: in dist/xen-block-stats.js, and in the binaries. */
const COMPILED_IN = ['commander', 'node-addon-api', 'node-api-headers'];

const published = [...Object.keys(dependencies), ...COMPILED_IN].map(
  (it) => `${it}@${packages[`node_modules/${it}`].version}`,
);
const root = `${name}@${version}`;

const bom = JSON.parse(
  execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'], {
    cwd: join(__dirname, '..'),
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  }),
);
// npm takes the name of the directory
bom.metadata.component.name = name;
bom.components = bom.components
  .filter((component) => published.includes(component['bom-ref']))
  .map((component) => ({ ...component, scope: 'required', properties: [] }));
bom.dependencies = [root, ...published].map((ref) => ({
  ref,
  dependsOn: ref === root ? published : [],
}));
process.stdout.write(`${JSON.stringify(bom, null, 2)}\n`);

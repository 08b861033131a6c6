'use strict';

/**
 * Returns what is wrong with a lock file, a line each. Every package has a hash, and comes from the registry that
 * npm is configured for, because no address is in the file. Its root has the version and dependencies of package.json.
 */
exports.lockProblems = (manifest, lock) => {
  const { '': root, ...installed } = lock.packages;
  const problems = [];
  for (const field of ['name', 'version']) {
    if (lock[field] !== manifest[field] || root[field] !== manifest[field])
      problems.push(`package-lock.json has another ${field} than package.json`);
  }
  for (const field of ['dependencies', 'devDependencies', 'peerDependencies']) {
    if (sorted(root[field]) !== sorted(manifest[field]))
      problems.push(`package-lock.json has other ${field} than package.json`);
  }
  for (const [path, { integrity, resolved, link }] of Object.entries(installed)) {
    if (!/^sha512-/.test(integrity ?? ''))
      problems.push(`${path} has no SHA-512 in package-lock.json`);
    if (resolved !== undefined || link)
      problems.push(`${path} has an address in package-lock.json`);
  }
  return problems;
};

const sorted = (versions = {}) => JSON.stringify(Object.entries(versions).sort());

/** The licences of the packages that are bundled into dist/. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const LICENCE_FILE = /^(licen[cs]e|copying|notice)(\.(md|txt))?$/i;
const PACKAGE = /^(.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//;

/**
 * The text of dist/LICENCES: each package that one of `inputs` (paths of source files, relative to `root` or absolute) belongs
 * to, with its licence in full.
 *
 * Throws where a package has neither a licence file nor a licence in its manifest.
 */
export function licencesOf(root, inputs) {
  const directories = new Map();
  for (const input of inputs) {
    const found = PACKAGE.exec(input);
    if (found === null) continue;
    const directory = input.slice(0, found[0].length - 1);
    directories.set(found[2], directory.startsWith('/') ? directory : join(root, directory));
  }
  const names = [...directories.keys()].sort((a, b) => (a < b ? -1 : 1));
  return names.map((name) => entryOf(name, directories.get(name))).join('\n');
}

function entryOf(name, directory) {
  const { version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  const texts = readdirSync(directory)
    .filter((file) => LICENCE_FILE.test(file))
    .sort()
    .map((file) => readFileSync(join(directory, file), 'utf8').trim());
  if (texts.length === 0 && typeof license !== 'string') throw new Error(`${name} ${version} states no licence`);
  return [`${'='.repeat(80)}\n${name} ${version} (${license ?? 'see below'})`, ...texts, ''].join('\n\n');
}

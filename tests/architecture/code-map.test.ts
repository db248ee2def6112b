/** The folders of src/ = the folders that ARCHITECTURE.md names, both directions. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from './source.ts';

it('ARCHITECTURE.md names exactly the folders of src/', () => {
  const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const named = new Set([...text.matchAll(/\bsrc\/([a-z][a-z0-9-]*)\//g)].map(([, name]) => name ?? ''));
  const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect([...named].sort()).toEqual(folders.map((entry) => entry.name).sort());
});

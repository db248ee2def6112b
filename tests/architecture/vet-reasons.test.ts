/** Codes of reasons that vetting can give = codes documented in docs/vet.md, both directions. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './source.ts';

const FOLDER = join(ROOT, 'src', 'sandbox', 'vet');

/** Codes of hazards that the readers of formats report and that a verdict repeats. */
function ofHazards(): string[] {
  const formats = join(ROOT, 'src', 'formats');
  const files = readdirSync(formats, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('write-hazards.ts'));
  return files.flatMap((name) =>
    [...readFileSync(join(formats, name), 'utf8').matchAll(/\bcode: '([A-Z0-9_]+)'/g)].map(([, code]) => code ?? ''),
  );
}

function given(): string[] {
  const codes = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .flatMap((name) => {
      const text = readFileSync(join(FOLDER, name), 'utf8');
      const called = [...text.matchAll(/\breasons\.(?:refuse|ambiguous|headerOnly|unrecognised|convert|note)\(\s*'([A-Z0-9_]+)'/g)];
      const written = [...text.matchAll(/level: '(?:refuse|ambiguous|note)'(?: as const)?,\s*code: '([A-Z0-9_]+)'/g)];
      return [...called, ...written].map(([, code]) => code ?? '');
    });
  return [...new Set([...codes, ...ofHazards()])].sort();
}

describe('reasons of a verdict', () => {
  it('stand in docs/vet.md, once, and nothing else does', () => {
    const documented = [
      ...readFileSync(join(ROOT, 'docs', 'vet.md'), 'utf8').matchAll(
        /^\| `([A-Z0-9_]+)` \| (?:refuse|ambiguous|header-only|unrecognised|convert|note) \|/gm,
      ),
    ];
    expect(given().length).toBeGreaterThan(20);
    expect(documented.map(([, code]) => code ?? '').sort()).toEqual(given());
  });
});

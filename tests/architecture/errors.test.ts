/** Codes that the source can utter = codes documented, both directions; of errors and of findings. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { missingTitles, TEXT_FILES, violationsIn } from './language.ts';
import { describe, expect, it } from 'vitest';
import { utteredCodes } from './codes.ts';
import { parseFile, ROOT, sourceFiles } from './source.ts';

// Reasons of a verdict resemble findings, but have a page and a test of their own: vet-reasons.test.ts.
const files = sourceFiles();
const elsewhere = utteredCodes(files.filter(({ path }) => !path.startsWith('src/sandbox/vet/')));
const inVetting = utteredCodes(files.filter(({ path }) => path.startsWith('src/sandbox/vet/') && !path.endsWith('/reasons.ts')));
const uttered = { ...elsewhere, errors: new Set([...elsewhere.errors, ...inVetting.errors]) };

/** Codes that head a table row, list item or heading of a page: `| \`CODE\` | ...`; `IO_<ERRNO>` stands for `IO_*`. */
function documented(page: string): string[] {
  const path = join(ROOT, page);
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return [...text.matchAll(/^\s*(?:\||[-*]|#+)\s*`([A-Z][A-Z0-9_]*)(<[^>`]*>|\*)?`/gm)].map(
    ([, code, open]) => `${code ?? ''}${open === undefined ? '' : '*'}`,
  );
}

describe('every code', () => {
  it('can be read from the source', () => {
    expect(uttered.unreadable).toEqual([]);
    expect(uttered.errors.size).toBeGreaterThan(20);
    expect(uttered.findings.size).toBeGreaterThan(10);
  });

  it.each([
    ['errors', 'docs/errors.md'],
    ['findings', 'docs/findings.md'],
  ] as const)('of %s stands in %s, once, and nothing else does', (of, page) => {
    expect(documented(page).sort()).toEqual([...uttered[of]].sort());
  });
});

describe('utteredCodes()', () => {
  const read = (...texts: string[]): ReturnType<typeof utteredCodes> =>
    utteredCodes(texts.map((text, index) => parseFile(`src/layer/file-${index}.ts`, text)));

  it.each([
    ['a literal', "throw new PlimsollError('io', 'A_B', {});", ['A_B']],
    ['a choice', "throw new PlimsollError('io', isBig ? 'A' : 'B', {});", ['A', 'B']],
    ['an open template', 'throw new PlimsollError(kind, `IO_${cause.code}`, {});', ['IO_*']],
    ['a parameter', "function wrong(code: string) { return new PlimsollError('io', code, {}); }\nwrong('A'); wrong('B');", ['A', 'B']],
    [
      'a parameter inside a template',
      "const wrong = (at: number, code: string) => new PlimsollError('io', `Q_${code}`, {});\nwrong(1, 'A');",
      ['Q_A'],
    ],
    [
      'parameters handed on',
      "function a(code: string) { throw b(code); }\nfunction b(code: string) { return new PlimsollError('io', code, {}); }\na('X');",
      ['X'],
    ],
    ['a constant', "const CODE = 'A';\nthrow new PlimsollError('io', CODE, {});", ['A']],
    ['an error written out', "const error = { kind: 'io', code: 'A', message: '' } as const;", ['A']],
    ['an error taken apart', 'function revive(from: E) { const { code } = from; return new PlimsollError(kind, code, {}); }', []],
  ])('reads the code of %s', (_, text, expected) => {
    const { errors, unreadable } = read(text);
    expect([[...errors].sort(), unreadable]).toEqual([expected, []]);
  });

  it('reads findings, and those that repeat an error', () => {
    const { errors, findings } = read(
      "const say = (level: L, code: string, message: string) => list.push({ level, code, message });\nsay('info', 'A', '');",
      "const error = { kind: 'io', code: 'E', message: '' };\nlist.push({ level: 'info', code: error.code, message: '' });",
    );
    expect([[...errors], [...findings].sort()]).toEqual([['E'], ['A', 'E']]);
  });

  it('finds the calls of an exported function in other files', () => {
    const { errors } = read(
      "export function wrong(code: string) { return new PlimsollError('io', code, {}); }",
      "import { wrong } from './file-0.ts';\nthrow wrong('A');",
    );
    expect([...errors]).toEqual(['A']);
  });

  it('reports expressions that it cannot evaluate', () => {
    expect(read("throw new PlimsollError('io', made(), {});").unreadable).toEqual(['src/layer/file-0.ts:1 made()']);
  });
});

// Here, since this file is among the checks that run before every merge.
describe('sentences', () => {
  it('follow the language rules of CONTRIBUTING.md', () => {
    expect(TEXT_FILES.length).toBeGreaterThan(500);
    expect(TEXT_FILES.flatMap(violationsIn)).toEqual([]);
  });

  it('of documents quote existing test titles', () => {
    expect(missingTitles()).toEqual([]);
  });
});

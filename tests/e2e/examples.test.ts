/** The examples of README.md and docs/*.md run, and print what the page says. The convention stands in examples.ts. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../support/command.ts';
import { agrees, commandsOf, type Example, examplesOf } from './examples.ts';
import { type SmallStore, smallStore } from '../support/small-store.ts';
import { ROOT } from '../support/root.ts';

const inDocs = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
const paths = ['README.md', ...inDocs.map((name) => `docs/${name}`)].filter((page) => existsSync(join(ROOT, page)));
const pages = paths.map((page) => ({ page, examples: examplesOf(readFileSync(join(ROOT, page), 'utf8')) }));

const TSX = join(ROOT, 'node_modules', '.bin', 'tsx');

async function expectSession(page: string, example: Example, store: SmallStore): Promise<void> {
  for (const command of commandsOf(example)) {
    const env = { PATH: `${store.bin}:${process.env['PATH'] ?? ''}` };
    const { code, stdout } = await run('bash', ['-c', `exec 2>&1\n${command.line}`], { cwd: store.path, env });
    const place = `${page}:${command.at} $ ${command.line}`;
    expect(code, `${place}\n${stdout}`).toBe(command.exitCode);
    // Compared as text where it disagrees, so that the difference is shown.
    if (!agrees(command.output, stdout)) expect(`${place}\n${stdout}`).toBe(`${place}\n${command.output.join('\n')}`);
  }
}

async function expectModule(page: string, example: Example, store: SmallStore): Promise<void> {
  const file = join(store.path, `example-${example.at}.ts`);
  writeFileSync(file, example.text);
  const { code, stderr } = await run(TSX, [file], { cwd: store.path });
  expect([code, stderr], `${page}:${example.at}`).toEqual([0, '']);
}

describe('README.md', () => {
  it('shows the command and the library in use', () => {
    const languages = (pages.find(({ page }) => page === 'README.md')?.examples ?? []).map(({ language }) => language);
    expect(languages).toEqual(expect.arrayContaining(['console', 'ts']));
  });
});

describe.each(pages.filter(({ examples }) => examples.length > 0))('the examples of $page', ({ page, examples }) => {
  let store: SmallStore;
  beforeAll(async () => {
    store = await smallStore();
  });
  afterAll(() => store[Symbol.dispose]());

  it.each(examples)('at line $at', async (example) => {
    if (example.language === 'console') await expectSession(page, example, store);
    else await expectModule(page, example, store);
  });
});

describe('agrees()', () => {
  it.each([
    ['a b', 'a b\n', true],
    ['a b', 'a c\n', false],
    ['a\n...\nz', 'a\nz\n', true],
    ['a\n...\nz', 'a\nb\nc\nz\n', true],
    ['a\n...\nz', 'a\nb\n', false],
    ['size ... GiB  total', 'size      1.5 GiB  total\n', true],
    ['size ... GiB  total', 'size 1.5 MiB  total\n', false],
    ['a.b', 'axb\n', false],
    ['', '', true],
    ['', 'a\n', false],
    ['a', '', false],
    ['...', 'a\nb\n', true],
  ])('%j and %j: %j', (expected, printed, verdict) => {
    expect(agrees(expected.split('\n'), printed)).toBe(verdict);
  });
});

describe('commandsOf()', () => {
  it('splits a session into commands, their exit codes and their output', () => {
    const [example] = examplesOf('# Page\n\n```console\n$ a \\\n  b\nx\n\ny\n$ c # exit 10\n```\n');
    expect(commandsOf(example as Example)).toEqual([
      { line: 'a \\\n  b', exitCode: 0, output: ['x', '', 'y'], at: 4 },
      { line: 'c # exit 10', exitCode: 10, output: [], at: 9 },
    ]);
  });
});

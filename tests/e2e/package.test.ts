/** The package as npm packs it, installed without any other package: library, command and types work. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ended, ROOT, run } from '../support/command.ts';

let project = '';
let installed = '';
beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'plimsoll-package-'));
  installed = join(project, 'node_modules', 'plimsoll');
  mkdirSync(installed, { recursive: true });
  // The scripts would build dist/ anew, under the other tests.
  const packed = await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', project], { cwd: ROOT });
  const tarball = join(project, packed.stdout.trim());
  const unpacked = await run('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  if (unpacked.code !== 0) throw new Error(`${packed.stderr}${unpacked.stderr}`);
  writeFileSync(join(project, 'package.json'), '{"type": "module"}');
  writeFileSync(join(project, 'disk.raw'), 'x');
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

const command = (...words: string[]): Promise<Ended> =>
  run(process.execPath, [join(installed, 'dist', 'main.js'), ...words], { cwd: project });

describe('the package', () => {
  it('depends on native packages only, and those are optional', () => {
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Record<string, object | undefined>;
    expect([manifest['dependencies'], Object.keys(manifest['optionalDependencies'] ?? {})]).toEqual([undefined, ['koffi', 'libsql']]);
  });

  it('carries the licences of the packages that are bundled into it', () => {
    const licences = readFileSync(join(installed, 'dist', 'LICENCES'), 'utf8');
    for (const name of ['commander', 'fastify', 'pino', 'preact', 'typebox', 'zstddec'])
      expect(licences).toMatch(new RegExp(`^${name} \\d`, 'm'));
    expect(licences).toContain('Permission is hereby granted');
  });

  it('works as a library', async () => {
    const program = `import { figures, scan } from 'plimsoll';
      const { capacity } = await figures('disk.raw', { format: 'raw' });
      for await (const event of scan(['.'])) if (event.type === 'report') console.log(capacity, event.report.stores.length);`;
    writeFileSync(join(project, 'library.js'), program);
    expect(await run(process.execPath, ['library.js'], { cwd: project })).toEqual({ code: 0, stdout: '512 1\n', stderr: '' });
  });

  it('recognises the errors of another copy of itself', async () => {
    const other = JSON.stringify(join(ROOT, 'dist', 'index.js'));
    const program = `import { figures, PlimsollError } from 'plimsoll';
      import { PlimsollError as Other } from ${other};
      const error = await figures('missing.raw').catch((thrown) => thrown);
      console.log(Other === PlimsollError, error instanceof PlimsollError, error instanceof Other);`;
    writeFileSync(join(project, 'copies.js'), program);
    expect((await run(process.execPath, ['copies.js'], { cwd: project })).stdout).toBe('false true true\n');
  });

  it('works as a command', async () => {
    const { code, stdout } = await command('info', '-f', 'raw', 'disk.raw');
    expect([code, stdout]).toEqual([0, expect.stringContaining('capacity')]);
  });

  it.each([
    ['koffi', ['vet', '-f', 'raw', 'disk.raw']],
    ['libsql', ['serve', '.', '--state', 'state', '--socket', 'socket', '--listen', 'off']],
  ])('names %s where a command needs it', async (name, words) => {
    const { code, stderr } = await command(...words);
    expect([code, stderr]).toEqual([14, expect.stringContaining(name)]);
  });

  it('has types', async () => {
    const program = `import { figures, type ImageReport } from 'plimsoll';
      const report: ImageReport = await figures('disk.raw');
      export const commitment: number | null = report.commitment;
      // @ts-expect-error: a number is not a text
      export const text: string = report.commitment;`;
    writeFileSync(join(project, 'types.ts'), program);
    const words = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
    const types = ['--typeRoots', join(ROOT, 'node_modules', '@types')];
    expect(await run(join(ROOT, 'node_modules', '.bin', 'tsc'), [...words, ...types, 'types.ts'], { cwd: project })).toMatchObject({
      code: 0,
      stdout: '',
    });
  });
});

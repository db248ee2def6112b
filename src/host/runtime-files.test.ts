import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readElfNeeds } from './elf.ts';
import { fileBeside, runtimeFiles } from './runtime-files.ts';

describe('runtimeFiles()', () => {
  it('names the libraries that the dynamic loader itself would load', () => {
    const { loader, libraries, packages } = runtimeFiles();
    const binary = join(packages.get(`@koromix/koffi-linux-${process.arch}`) ?? '', `linux_${process.arch}`, 'koffi.node');
    const judged = [process.execPath, binary].flatMap((path) => spawnSync('ldd', [path], { encoding: 'utf8' }).stdout.split('\n'));
    const names = judged.flatMap((line) => /^\s*(\S+) => \S/.exec(line)?.[1] ?? []).filter((name) => name !== basename(loader?.path ?? ''));
    expect([...libraries.keys()].sort()).toEqual([...new Set(names)].sort());
    for (const path of [...libraries.values(), ...packages.values()]) expect(existsSync(path)).toBe(true);
  });
});

describe('readElfNeeds()', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a script', Buffer.from('#!/bin/sh\n'.repeat(20))],
    ['a header alone', Buffer.concat([Buffer.from('\u007fELF\u0002\u0001', 'latin1'), Buffer.alloc(58, 1)])],
  ])('refuses %s', (_, content) => {
    const directory = mkdtempSync(join(tmpdir(), 'plimsoll-elf-'));
    const path = join(directory, 'file');
    writeFileSync(path, content);
    expect(() => readElfNeeds(path)).toThrow(expect.objectContaining({ kind: 'unsupported', code: 'SANDBOX_UNAVAILABLE' }));
    rmSync(directory, { recursive: true });
  });
});

describe('fileBeside()', () => {
  it('is the first that exists', () => {
    expect(fileBeside(import.meta.url, ['./nothing.ts', './elf.ts', './ffi.ts'])).toBe(join(import.meta.dirname, 'elf.ts'));
    expect(() => fileBeside(import.meta.url, ['./nothing.ts'])).toThrow(expect.objectContaining({ code: 'SANDBOX_UNAVAILABLE' }));
  });
});

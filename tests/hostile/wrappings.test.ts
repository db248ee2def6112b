/**
 * Files that are not disks: archives, compressed data and backups as their own programs make them, and files without any
 * sign of a disk. Every command uses the same signatures.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, figures, vetFile } from '#sandbox';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-wrappings-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const at = (name: string): string => join(directory, name);

beforeAll(() => {
  mkdirSync(at('in'));
  writeFileSync(at('in/disk.img'), Buffer.alloc(200_000, 'some bytes of a disk'));
  writeFileSync(at('in/machine.ovf'), '<Envelope/>');
});

const python = (script: string): readonly string[] => ['python3', '-c', script];

/** By shell commands in a directory with in/disk.img; each writes `out`. */
const MADE: readonly (readonly [string, readonly string[]])[] = [
  ['gzip', ['sh', '-c', 'gzip -c in/disk.img >out']],
  ['xz', ['sh', '-c', 'xz -c in/disk.img >out']],
  ['lzma', ['sh', '-c', 'xz --format=lzma -c in/disk.img >out']],
  ['lzma', ['sh', '-c', 'xz --format=lzma -9e -c in/disk.img >out']],
  ['bzip2', ['sh', '-c', 'bzip2 -c in/disk.img >out']],
  ['zstd', ['sh', '-c', 'zstd -q -c in/disk.img >out']],
  ['lz4', ['sh', '-c', 'lz4 -q -c in/disk.img >out']],
  ['lz4', ['sh', '-c', 'lz4 -q -l -c in/disk.img >out']],
  ['skippable-frame', python("open('out','wb').write(bytes.fromhex('502a4d1804000000')+b'abcd'+b'x'*4096)")],
  ['tar', ['tar', '-cf', 'out', 'in/disk.img']],
  ['tar', ['tar', '--format=v7', '-cf', 'out', 'in/disk.img']],
  ['tar', ['tar', '--format=gnu', '-cf', 'out', 'in/disk.img']],
  ['tar', ['tar', '--format=pax', '-cf', 'out', 'in/disk.img']],
  ['ova', ['tar', '-C', 'in', '-cf', 'out', 'machine.ovf', 'disk.img']],
  ['zip', ['sh', '-c', 'rm -f out; zip -q - in/disk.img >out']],
  ['zip', python("import zipfile; zipfile.ZipFile('out','w').close()")],
  ['cpio', ['sh', '-c', 'ls in/disk.img | cpio -o --quiet -H newc >out']],
  ['cpio', ['sh', '-c', 'ls in/disk.img | cpio -o --quiet -H crc >out']],
  ['cpio', ['sh', '-c', 'ls in/disk.img | cpio -o --quiet -H odc >out']],
  ['cpio', ['sh', '-c', 'ls in/disk.img | cpio -o --quiet -H bin >out']],
  // As on a machine of the other byte order: the names stay.
  [
    'cpio',
    python(
      "import struct,subprocess; b=subprocess.run(['cpio','-o','--quiet','-H','bin'],input=b'in/disk.img\\n',capture_output=True).stdout; " +
        "open('out','wb').write(struct.pack('>13H',*struct.unpack('<13H',b[:26]))+b[26:])",
    ),
  ],
  ['ar', ['sh', '-c', 'rm -f out; ar cr out in/disk.img']],
];

function made(words: readonly string[]): string {
  const [program = '', ...rest] = words;
  execFileSync(program, rest, { cwd: directory });
  return at('out');
}

describe('a file created by another program', () => {
  it.each(MADE)('is recognised as %s: %j', async (name, words) => {
    const path = made(words);
    const refused = await vetFile(path, { unconfined: true });
    expect([refused.verdict, refused.reasons[0]?.code]).toEqual(['refused', 'WRAPPED']);
    expect(refused.signs.map((sign) => sign.name)).toContain(name);
    // Declared raw it could be a guest's own bytes, but it has no sign of a disk.
    const asRaw = await vetFile(path, { unconfined: true, declared: 'raw' });
    expect([asRaw.verdict, asRaw.use]).toEqual(['unrecognised', 'attach']);
    await expect(figures(path)).rejects.toMatchObject({ code: 'FORMAT_NOT_READ' });
  });

  /** No program for them here: the first bytes as their specifications have them. */
  it.each([
    ['7z', '377abcaf271c0004'],
    ['rar', '526172211a070100'],
    ['rar', '526172211a0700cf'],
    ['cab', '4d53434600000000'],
    ['vma', '564d4100000000010000'],
    ['lzop', '894c5a4f000d0a1a0a1040'],
    ['lzip', '4c5a49500114'],
    ['rpm', 'edabeedb03000000'],
    ['wim', '4d5357494d000000d0000000'],
    ['ewf', '455646090d0a ff00'.replace(' ', '')],
    ['aff', '41464631300d0a00'],
    ['partclone', Buffer.from('partclone-image').toString('hex')],
    ['ntfsclone', Buffer.from('\0ntfsclone-image').toString('hex')],
    ['android-sparse', '3aff26ed01000000'],
    ['zip', '504b070850 4b0304'.replace(' ', '')],
    ['zstd', '25b52ffd'],
  ])('is recognised as %s by %s', async (name, hex) => {
    writeFileSync(at('out'), Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(8192, 7)]));
    const report = await vetFile(at('out'), { unconfined: true });
    expect([report.verdict, report.reasons[0]?.code, report.signs[0]?.name]).toEqual(['refused', 'WRAPPED', name]);
    await expect(figures(at('out'))).rejects.toMatchObject({ code: 'FORMAT_NOT_READ' });
  });

  it('is recognised as a DMG by its trailer, by info as by vet', async () => {
    const bytes = Buffer.alloc(2 ** 20, 1);
    bytes.write('koly', bytes.length - 512, 'latin1');
    writeFileSync(at('out'), bytes);
    expect((await vetFile(at('out'), { unconfined: true })).reasons[0]?.code).toBe('FORMAT_NOT_READ');
    await expect(figures(at('out'))).rejects.toMatchObject({ code: 'FORMAT_NOT_READ', message: expect.stringContaining('dmg') as string });
  });
});

describe('a raw file', () => {
  it.each([
    ['a text of 5 bytes', Buffer.from('text\n')],
    ['zeros', Buffer.alloc(2 ** 20)],
    ['noise', Buffer.alloc(2 ** 20, '\x93\x17\x5e')],
    ['a shell script', Buffer.from('#!/bin/sh\nexit 0\n'.padEnd(4096, '#'))],
    ['a picture', Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')],
  ])('of %s is unrecognised, and refused where the policy wants a disk', async (_, bytes) => {
    writeFileSync(at('out'), bytes);
    const { verdict, use, next, reasons } = await vetFile(at('out'), { unconfined: true });
    expect([verdict, use, next?.qemuImg]).toEqual(['unrecognised', 'attach', ['-f', 'raw']]);
    expect(reasons.map(({ code }) => code)).toContain('NOT_RECOGNISED');
    const strict = await vetFile(at('out'), { unconfined: true, policy: { ...DEFAULT_POLICY, unrecognised: false } });
    expect([strict.verdict, strict.use, strict.next]).toEqual(['refused', 'refuse', null]);
  });

  it('without any storage is noted as blank', async () => {
    writeFileSync(at('blank'), '');
    truncateSync(at('blank'), 2 ** 30);
    const { verdict, reasons } = await vetFile(at('blank'), { unconfined: true });
    expect([verdict, reasons.map(({ code }) => code)]).toEqual(['unrecognised', ['NOT_RECOGNISED', 'BLANK']]);
  });

  it.each([
    ['ext4', ['mkfs.ext4', '-q', '-F']],
    ['XFS', ['mkfs.xfs', '-q', '-f']],
    ['swap', ['mkswap', '-q']],
  ])('of a filesystem (%s) is a disk', async (_, [program = '', ...words]) => {
    writeFileSync(at('disk'), '');
    truncateSync(at('disk'), 512 * 2 ** 20);
    execFileSync(program, [...words, at('disk')], { stdio: 'ignore' });
    expect((await vetFile(at('disk'), { unconfined: true })).verdict).toBe('safe');
  });

  it('of squashfs is a disk, not an archive', async () => {
    execFileSync('mksquashfs', [at('in'), at('squashed'), '-noappend', '-quiet', '-no-progress']);
    expect(readFileSync(at('squashed')).subarray(0, 4).toString()).toBe('hsqs');
    expect((await vetFile(at('squashed'), { unconfined: true })).verdict).toBe('safe');
  });

  it('of a boot sector without partitions is a disk', async () => {
    const bytes = Buffer.alloc(2 ** 20);
    bytes.write('\x55\xaa', 510, 'latin1');
    writeFileSync(at('out'), bytes);
    expect((await vetFile(at('out'), { unconfined: true })).verdict).toBe('safe');
  });
});

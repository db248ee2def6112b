/** Captured allocation figures of sysfs; real fills are in tests/e2e/btrfs-metadata.test.ts. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GiB, MiB } from '#base';
import { btrfsMetadata } from './btrfs-metadata.ts';
import { SystemTree } from './system-tree.ts';

const DIRECTORY = '/sys/fs/btrfs/uuid';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'plimsoll-btrfs-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, value: number): void {
  const file = `${root}${DIRECTORY}/${path}`;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${value}\n`);
}

function metadata(figures: Readonly<Record<string, number>>, globalReserve = 0): void {
  for (const [name, value] of Object.entries(figures)) put(`allocation/metadata/${name}`, value);
  put('allocation/global_rsv_size', globalReserve);
}

function remaining(size: number, available: number): number | undefined {
  return btrfsMetadata(new SystemTree(root), DIRECTORY, { size, available }).limits[0]?.remaining;
}

function caveats(size: number, available: number): string[] {
  return btrfsMetadata(new SystemTree(root), DIRECTORY, { size, available }).caveats.map(({ code }) => code);
}

describe('the metadata of a btrfs', () => {
  it('limits nothing where its chunks have room for extents of one sector each', () => {
    metadata({ total_bytes: 512 * MiB, bytes_used: 100 * MiB });
    expect(remaining(10 * GiB, 4 * GiB)).toBeUndefined();
  });

  it('limits data to what its chunks have room for, where data can take all the rest first', () => {
    metadata({ total_bytes: 30 * MiB, bytes_used: 5 * MiB, bytes_pinned: 3 * MiB, bytes_reserved: 2 * MiB });
    expect(remaining(GiB, 300 * MiB)).toBe(256 * MiB);
  });

  it.each([
    ['its global reserve', { bytes_may_use: 0 }, 10 * MiB],
    ['reservations', { bytes_may_use: 10 * MiB }, 4 * MiB],
  ])('keeps %s out of that room', (_what, figures, globalReserve) => {
    metadata({ total_bytes: 20 * MiB, bytes_used: 0, ...figures }, globalReserve);
    expect(remaining(GiB, 300 * MiB)).toBe(128 * MiB);
  });

  it('counts new chunks, with their copies, of what is left beside a chunk of data', () => {
    metadata({ total_bytes: 256 * MiB, bytes_used: 256 * MiB, disk_total: 512 * MiB });
    // 20 GiB of data take 1.56 GiB of metadata at the most: seven chunks of 256 MiB, twice.
    expect(remaining(40 * GiB, 20 * GiB)).toBe(20 * GiB - GiB - 7 * 512 * MiB);
  });

  it('takes its part of the available space in mixed block groups', () => {
    put('allocation/mixed/total_bytes', GiB);
    expect(remaining(GiB, 232 * MiB)).toBe(Math.floor((216 * MiB) / (1 + 320 / 4096)));
  });

  it.each([
    ['no space for a further chunk', 0, ['BTRFS_METADATA_SHORT']],
    ['space for a further chunk', 900 * MiB, []],
  ])('leaves overwrites open with 2 MiB free and %s', (_what, available, codes) => {
    metadata({ total_bytes: 8 * MiB, bytes_used: 0 }, 6 * MiB);
    expect(caveats(GiB, available)).toEqual(codes);
  });
});

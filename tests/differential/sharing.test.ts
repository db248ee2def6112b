/**
 * Blocks shared between files, judged by the filesystem itself: what `df` says was consumed, and what it gets back when
 * a file is deleted.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, statfsSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MiB } from '#base';
import { scan } from '#pool';
import { type ScannedImage, type StoreReport, sumOfComponents } from '#wire';
import { canMount, type MountedFilesystem, withFilesystem } from '../support/loop-mount.ts';

const KINDS = ['xfs', 'btrfs'] as const;
const IMAGE_BYTES = 32 * MiB;
/** The filesystem's own metadata: extent maps, reference counts, directories. */
const METADATA_BYTES = 2 * MiB;
const isRoot = canMount('shared blocks on XFS and btrfs');

/** Bytes the filesystem has given out, everything on disk and deleted files' blocks given back (XFS does that later). */
async function consumed(path: string): Promise<number> {
  let last = -1;
  for (let unchanged = 0; unchanged < 5; ) {
    execFileSync('sync', ['-f', path]);
    const { blocks, bfree, bsize } = statfsSync(path);
    const now = (blocks - bfree) * bsize;
    unchanged = now === last ? unchanged + 1 : 0;
    last = now;
    await setTimeout(50);
  }
  return last;
}

function write(path: string, at: number, byteLength: number): void {
  const fd = openSync(path, 'a');
  closeSync(fd);
  const file = openSync(path, 'r+');
  for (let done = 0; done < byteLength; done += MiB)
    writeSync(file, randomBytes(Math.min(MiB, byteLength - done)), 0, Math.min(MiB, byteLength - done), at + done);
  fsyncSync(file);
  closeSync(file);
}

function clone(from: string, to: string): void {
  execFileSync('cp', ['--reflink=always', from, to]);
}

async function storeOf(directory: string): Promise<StoreReport> {
  for await (const event of scan([directory])) {
    if (event.type === 'report') {
      expect(event.report.stores).toHaveLength(1);
      return event.report.stores[0] as StoreReport;
    }
  }
  throw new Error('The scan ended without a report');
}

function imageNamed(store: StoreReport, name: string): ScannedImage {
  const found = store.images.find((image) => image.path.endsWith(`/${name}`));
  if (found === undefined) throw new Error(`The scan did not find ${name}`);
  return found;
}

/** An original, a clone, a clone with every fourth MiB rewritten, a clone of that, and an image that shares nothing. */
function fillStore(directory: string): void {
  const at = (name: string): string => join(directory, name);
  write(at('original.raw'), 0, IMAGE_BYTES);
  clone(at('original.raw'), at('clone.raw'));
  clone(at('original.raw'), at('rewritten.raw'));
  for (let offset = 0; offset < IMAGE_BYTES; offset += 4 * MiB) write(at('rewritten.raw'), offset, MiB);
  clone(at('rewritten.raw'), at('second.raw'));
  write(at('alone.raw'), 0, 8 * MiB);
  truncateSync(at('alone.raw'), IMAGE_BYTES);
}

interface FreshStore extends AsyncDisposable {
  readonly filesystem: MountedFilesystem;
  readonly directory: string;
  readonly before: number;
}

async function freshStore(kind: (typeof KINDS)[number]): Promise<FreshStore> {
  const filesystem = await withFilesystem(kind, 1024 * MiB);
  const directory = join(filesystem.path, 'images');
  mkdirSync(directory);
  return { filesystem, directory, before: await consumed(filesystem.path), [Symbol.asyncDispose]: () => filesystem.unmount() };
}

describe.skipIf(!isRoot).each(KINDS)('shared blocks on %s', (kind) => {
  it("the allocation of a store is the filesystem's own consumption", async () => {
    await using fresh = await freshStore(kind);
    const { filesystem, directory, before } = fresh;
    fillStore(directory);
    const grown = (await consumed(filesystem.path)) - before;
    const store = await storeOf(directory);
    const apparent = store.images.reduce((sum, image) => sum + (image.allocation ?? 0), 0);
    // XFS charges its own map of a file in pieces to the file.
    expect(apparent).toBeGreaterThanOrEqual(4 * IMAGE_BYTES + 8 * MiB);
    // btrfs without NOCOW keeps replaced parts of an extent while any part of it is used: here all parts still are.
    expect(Math.abs(grown - store.allocation)).toBeLessThan(METADATA_BYTES);
    expect(store.shared).toBe(IMAGE_BYTES + 8 * MiB);
  });

  it('exclusive is the space that deleting the image frees', async () => {
    await using fresh = await freshStore(kind);
    const { filesystem, directory } = fresh;
    fillStore(directory);
    const store = await storeOf(directory);
    expect(imageNamed(store, 'alone.raw').exclusive).toBe(8 * MiB);
    expect(imageNamed(store, 'clone.raw').exclusive).toBe(0);
    expect(imageNamed(store, 'clone.raw').shared).toBe(IMAGE_BYTES);
    rmSync(join(directory, 'second.raw'));
    const full = await consumed(filesystem.path);
    const { exclusive } = imageNamed(await storeOf(directory), 'rewritten.raw');
    expect(Math.abs((exclusive ?? 0) - 8 * MiB)).toBeLessThan(64 * 1024);
    rmSync(join(directory, 'rewritten.raw'));
    expect(Math.abs(full - (await consumed(filesystem.path)) - (exclusive ?? 0))).toBeLessThan(METADATA_BYTES);
  });

  it('the residual counts what clones can still un-share: rewriting all of them takes that much', async () => {
    await using fresh = await freshStore(kind);
    const { filesystem, directory, before } = fresh;
    fillStore(directory);
    const store = await storeOf(directory);
    for (const name of ['original.raw', 'clone.raw', 'rewritten.raw', 'second.raw', 'alone.raw'])
      write(join(directory, name), 0, IMAGE_BYTES);
    const grown = (await consumed(filesystem.path)) - before;
    expect(store.commitment ?? 0).toBeGreaterThanOrEqual(grown - METADATA_BYTES);
    expect(store.residual).toBe((store.commitment ?? 0) - store.allocation);
    if (kind === 'xfs') expect((store.commitment ?? 0) - grown).toBeLessThan(METADATA_BYTES);
  });

  it('counts blocks shared with files outside of the scan: overwritten, they need space', async () => {
    await using fresh = await freshStore(kind);
    const { filesystem, directory } = fresh;
    write(join(filesystem.path, 'backup.raw'), 0, IMAGE_BYTES);
    clone(join(filesystem.path, 'backup.raw'), join(directory, 'live.raw'));
    const store = await storeOf(directory);
    expect(store.residual).toBeGreaterThanOrEqual(IMAGE_BYTES);
    expect(imageNamed(store, 'live.raw').findings.map(({ code }) => code)).toContain('SHARED_OUTSIDE');
    const before = await consumed(filesystem.path);
    write(join(directory, 'live.raw'), 0, IMAGE_BYTES);
    expect((await consumed(filesystem.path)) - before).toBeLessThanOrEqual((store.residual ?? 0) + METADATA_BYTES);
  });

  it('a commitment covers the copies that XFS takes ahead of writes to shared blocks', async () => {
    if (kind !== 'xfs') return expect(kind).toBe('btrfs');
    await using fresh = await freshStore(kind);
    const { directory } = fresh;
    const path = join(directory, 'clone.raw');
    write(join(directory, 'original.raw'), 0, IMAGE_BYTES);
    clone(join(directory, 'original.raw'), path);
    const { commitment, components, reclaimable } = imageNamed(await storeOf(directory), 'clone.raw');
    expect(components.map(({ code }) => code)).toContain('host-cow-preallocation');
    const file = openSync(path, 'r+');
    for (let at = 0; at < IMAGE_BYTES; at += 128 * 1024) writeSync(file, randomBytes(4096), 0, 4096, at);
    fsyncSync(file);
    const reached = statSync(path).blocks * 512;
    closeSync(file);
    expect(reached).toBeGreaterThan(IMAGE_BYTES * 1.5);
    expect(commitment).toBeGreaterThanOrEqual(reached);
    expect(commitment).toBeLessThan(reached * 1.05);
    expect(reclaimable).toBe(IMAGE_BYTES);
    // The part that exists now has a component of its own.
    const after = imageNamed(await storeOf(directory), 'clone.raw');
    expect(after.commitment).toBeGreaterThanOrEqual(reached);
    expect(sumOfComponents(after.components, 'host-map')).toBeLessThan(MiB);
  });

  it('never answers yes on btrfs without NOCOW, and does with it', async () => {
    await using fresh = await freshStore(kind);
    const { directory } = fresh;
    if (kind === 'xfs') return expect((await storeOf(directory)).fits).toBe(true);
    write(join(directory, 'plain.raw'), 0, MiB);
    const store = await storeOf(directory);
    expect(store.fits).toBeNull();
    expect(store.findings.map(({ code }) => code)).toContain('STORE_COPY_ON_WRITE');
    rmSync(join(directory, 'plain.raw'));
    execFileSync('chattr', ['+C', directory]);
    write(join(directory, 'in-place.raw'), 0, MiB);
    expect((await storeOf(directory)).fits).toBe(true);
  });
});

describe.skipIf(!isRoot)('speculative preallocation on xfs', () => {
  it('is reported as storage past the end, and counted in the allocation', async () => {
    await using fresh = await freshStore('xfs');
    const { directory } = fresh;
    const path = join(directory, 'growing.img');
    const fd = openSync(path, 'w');
    for (let at = 0; at < 16 * MiB; at += 64 * 1024) writeSync(fd, randomBytes(64 * 1024), 0, 64 * 1024, at);
    fsyncSync(fd);
    const image = imageNamed(await storeOf(directory), 'growing.img');
    closeSync(fd);
    expect(image.allocation ?? 0).toBeGreaterThan(image.length ?? 0);
    expect(image.commitment ?? 0).toBeGreaterThanOrEqual(image.allocation ?? 0);
    expect(image.findings.map(({ code }) => code)).toContain('ALLOCATION_ABOVE_LENGTH');
  });
});

import { describe, expect, it } from 'vitest';
import { GiB, KiB, MiB } from '#base';
import type { FileFacts, FilesystemKind, StoredRange } from '#block';
import { component, sumOfComponents } from '#wire';
import { type Growth, hostCharges, hostChargesOfNew, mapBytesAtMost, mapExcess } from './host-charge.ts';

const BLOCK = 4 * KiB;

function range(fileOffset: number, byteLength: number, more: Partial<StoredRange> = {}): StoredRange {
  return { fileOffset, byteLength, physicalOffset: undefined, unwritten: false, shared: false, encoded: false, ...more };
}

function facts(filesystem: FilesystemKind, map: readonly StoredRange[], more: Partial<FileFacts> = {}): FileFacts {
  const allocation = map.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const quiet = { extentSizeHint: BLOCK, cowExtentSize: 0, noCow: undefined, openForWriting: undefined };
  return { ...quiet, identity: '1:1', length: 128 * MiB, allocation, filesystem, fsBlockSize: BLOCK, map, ...more };
}

/** A raw disk of 128 MiB. */
function rawGrowth(scattered: number): Growth {
  return { storage: 128 * MiB, maxLength: 128 * MiB, grain: BLOCK, scattered };
}

function charged(file: FileFacts, growth: Growth): number {
  return hostCharges(file, growth).reduce((sum, { bytes }) => sum + bytes, 0);
}

describe('the map of a file', () => {
  it('takes what an even and an odd sweep were seen to take on ext4, and less than 2 % of the capacity', () => {
    const bytes = charged(facts('ext4', []), rawGrowth(128 * MiB));
    expect(bytes).toBeGreaterThan(435 * BLOCK);
    expect(bytes).toBeLessThan(0.02 * 128 * MiB);
  });

  it('takes more with smaller blocks', () => {
    const small = { fsBlockSize: KiB, geometry: { blockSize: KiB, indirect: false, stripe: 0, fixedPreallocation: 0 } };
    expect(charged(facts('ext4', [], small), rawGrowth(128 * MiB)) / (128 * MiB)).toBeGreaterThan(0.045);
    expect(charged(facts('xfs', [], small), rawGrowth(128 * MiB)) / (128 * MiB)).toBeGreaterThan(0.03);
  });

  it('grows by writing into unwritten storage, and into shared blocks', () => {
    for (const more of [{ unwritten: true }, { shared: true }]) {
      const file = facts('ext4', [range(0, 128 * MiB, more)]);
      expect(charged(file, rawGrowth(0))).toBeGreaterThan(435 * BLOCK);
    }
    expect(charged(facts('ext4', [range(0, 128 * MiB)]), rawGrowth(0))).toBe(0);
  });

  it('can take about three blocks for each block of a file on ext4, and less than a hundredth on XFS', () => {
    const worst = (kind: FilesystemKind, map: readonly StoredRange[] = []): number =>
      mapExcess(facts(kind, map), rawGrowth(128 * MiB), [component('guest-data', 128 * MiB)]);
    expect(worst('ext4') / (128 * MiB)).toBeCloseTo(3.04, 2);
    expect(worst('xfs') / (128 * MiB)).toBeCloseTo(0.0081, 3);
    // Zero writes and discards cut what is stored.
    expect(worst('ext4', [range(0, 128 * MiB)])).toBe(worst('ext4'));
    for (const kind of ['ext2', 'ext3', 'btrfs', 'tmpfs'] as const) expect(worst(kind)).toBe(0);
  });

  it('is counted beside the components of the commitment that are for the map already', () => {
    const components = [component('guest-data', 128 * MiB), component('host-map', 40 * KiB), component('host-map-growth', 2 * MiB)];
    const growth = rawGrowth(128 * MiB);
    const file = facts('ext4', []);
    expect(mapExcess(file, growth, components.slice(0, 1)) - mapExcess(file, growth, components)).toBe(2 * MiB + 40 * KiB);
    expect(mapExcess(file, { ...growth, isFixed: true }, components)).toBe(0);
  });

  it('stays small where pieces are appended whole, unless unwritten storage is cut', () => {
    const growth = { ...rawGrowth(0), wholePieces: true, grain: 2 * MiB };
    const components = [component('blocks', 128 * MiB)];
    expect(mapExcess(facts('ext4', [range(0, MiB)]), growth, components)).toBeLessThan(0.01 * 128 * MiB);
    expect(mapExcess(facts('ext4', [range(0, MiB, { unwritten: true })]), growth, components)).toBeGreaterThan(128 * MiB);
  });

  it('takes more for many files than for one with as much in all', () => {
    const rules = { filesystem: 'ext4', fsBlockSize: BLOCK } as const;
    const [one, many] = [1, 1000].map((files) => mapBytesAtMost(rules, 40 * GiB, files)) as [number, number];
    expect([one / (40 * GiB), many / (40 * GiB)]).toEqual([expect.closeTo(2.04, 1), expect.closeTo(3.13, 1)]);
    expect(mapBytesAtMost(rules, 0, 0)).toBe(0);
  });

  it('costs a whole cluster for each node on ext4 with clusters', () => {
    const geometry = { blockSize: BLOCK, indirect: false, stripe: 0, fixedPreallocation: 0 };
    const clustered = charged(facts('ext4', [], { fsBlockSize: 64 * KiB, geometry }), rawGrowth(128 * MiB));
    expect(clustered).toBe(16 * charged(facts('ext4', []), rawGrowth(128 * MiB)));
  });
});

describe('an extent size hint', () => {
  it('counts a hint beside the end of the file, which XFS reserves for a write although the file keeps none of it', () => {
    const growing: Growth = { storage: 40 * MiB, maxLength: 40 * MiB, grain: 64 * KiB, scattered: 0 };
    const file = facts('xfs', [], { length: 256 * KiB, extentSizeHint: MiB });
    const hint = hostCharges(file, growing).find(({ code }) => code === 'host-size-hint');
    expect(hint?.bytes).toBe(2 * MiB);
  });
});

describe('storage ahead of a file that grows on XFS', () => {
  const growing: Growth = { storage: 64 * MiB, maxLength: 64 * MiB, grain: 64 * KiB, scattered: 0 };
  const young = { length: 256 * KiB, extentSizeHint: 0 };
  const ahead = (more: Partial<FileFacts>): number =>
    sumOfComponents(hostCharges(facts('xfs', [], { ...young, ...more }), growing), 'host-speculative-preallocation');

  it('follows its size, or the mount option allocsize, and is rounded to a stripe also with a hint', () => {
    const geometry = { blockSize: BLOCK, indirect: false, stripe: 0, fixedPreallocation: 0 };
    expect(ahead({ geometry })).toBe(64 * MiB);
    expect(ahead({ geometry: { ...geometry, fixedPreallocation: GiB } })).toBe(GiB);
    expect(ahead({ geometry: { ...geometry, stripe: 256 * KiB }, extentSizeHint: BLOCK })).toBe(256 * KiB);
    expect(ahead({ geometry, extentSizeHint: BLOCK })).toBe(0);
  });
});

describe('a file that is not there yet', () => {
  it('counts both kinds of map where an ext4 directory has no extents', () => {
    const geometry = { blockSize: BLOCK, indirect: true, stripe: 0, fixedPreallocation: 0 };
    const file = { stored: 0, unwritten: 0, growth: rawGrowth(128 * MiB), extentSizeHint: 0 };
    const extents = hostChargesOfNew({ filesystem: 'ext4', fsBlockSize: BLOCK }, file);
    expect(hostChargesOfNew({ filesystem: 'ext4', fsBlockSize: BLOCK, geometry }, file)).toBe(extents);
    expect(hostChargesOfNew({ filesystem: 'ext3', fsBlockSize: BLOCK, geometry }, file)).toBeLessThan(extents / 10);
  });
});

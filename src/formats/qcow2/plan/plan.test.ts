import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GiB, MiB, TiB } from '#base';
import { storedBytes } from '#block';
import { newQcow2Chunks } from './chunks.ts';
import { FreeRuns } from './free-runs.ts';
import { NEW_QCOW2_DEFAULTS, type NewQcow2Options } from './options.ts';
import { planNewQcow2 } from './layout.ts';
import { storedRangesOf } from './storage.ts';

function plan(options: Partial<NewQcow2Options>, capacity: number) {
  return planNewQcow2({ ...NEW_QCOW2_DEFAULTS, ...options }, capacity);
}

describe('planNewQcow2()', () => {
  /** Length and storage of files that qemu-img 7.2.22 made on tmpfs. */
  it.each([
    ['40 GiB', {}, 40 * GiB, 197248, 200704],
    ['40 GiB, metadata', { preallocation: 'metadata' }, 40 * GiB, 42956488704, 6754304],
    ['128 GiB of 512-byte clusters', { clusterSize: 512 }, 128 * GiB, 33691648, 33693696],
    ['10 GiB of 512-byte clusters, 64-bit refcounts', { clusterSize: 512, refcountBits: 64 }, 10 * GiB, 2665984, 2666496],
    [
      '3 TiB and a sector, 2 MiB clusters, metadata',
      { clusterSize: 2 * MiB, preallocation: 'metadata' },
      3 * TiB + 512,
      3298562146304,
      25169920,
    ],
    ['nothing, reserved', { preallocation: 'falloc' }, 0, 262144, 262144],
    ['40 GiB, reserved', { preallocation: 'falloc' }, 40 * GiB, 42956488704, 42956427264],
  ] as const)('%s: length and storage as QEMU has them', (_name, options, capacity, length, stored) => {
    const made = plan(options, capacity);
    expect(made.length).toBe(length);
    expect(storedBytes([...storedRangesOf(made, 4096)])).toBe(stored);
  });

  it.each([
    [{ clusterSize: 512 }, 128 * GiB + 1],
    [{}, 2048 * TiB + 1],
    [{ extendedL2: true }, 1024 * TiB + 1],
  ])('refuses an L1 table beyond 32 MiB: %j', (options, capacity) => {
    expect(() => plan(options, capacity)).toThrow(expect.objectContaining({ kind: 'usage', code: 'CREATE_CAPACITY' }));
  });

  it('refuses a refcount table beyond 8 MiB', () => {
    expect(() => plan({ clusterSize: 512, refcountBits: 64, preallocation: 'falloc' }, 60 * GiB)).toThrow(
      expect.objectContaining({ kind: 'usage', code: 'CREATE_REFCOUNT_TABLE' }),
    );
  });
});

describe('newQcow2Chunks()', () => {
  it.each([
    ['1 TiB with all its metadata', { preallocation: 'metadata' }, TiB],
    ['2 MiB clusters', { clusterSize: 2 * MiB, preallocation: 'metadata', refcountBits: 64 }, 4 * TiB],
  ] as const)('gives out at most 1 MiB at a time, and exactly what is stored: %s', (_name, options, capacity) => {
    const made = plan(options, capacity);
    let total = 0;
    for (const { fileOffset, bytes } of newQcow2Chunks(made)) {
      if (bytes.byteLength > MiB || fileOffset + bytes.byteLength > made.length)
        throw new Error(`chunk of ${bytes.byteLength} at ${fileOffset}`);
      total += bytes.byteLength;
    }
    const l1Bytes = made.geometry.l2Count * 8;
    expect(total).toBe(storedBytes([...storedRangesOf(made, 4096)]) - (Math.ceil(l1Bytes / 4096) * 4096 - l1Bytes));
    expect(process.memoryUsage().arrayBuffers).toBeLessThan(150 * MiB);
  });
});

describe('FreeRuns', () => {
  it('finds what a list of single clusters finds', () => {
    const step = fc.record({ at: fc.nat(60), count: fc.integer({ min: 1, max: 9 }), takes: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const runs = new FreeRuns();
        const used = new Set<number>();
        for (const { at, count, takes } of steps) {
          const clusters = Array.from({ length: count }, (_, index) => at + index);
          if (takes && clusters.every((cluster) => !used.has(cluster))) {
            runs.take(at, at + count);
            for (const cluster of clusters) used.add(cluster);
          } else if (!takes && clusters.every((cluster) => used.has(cluster))) {
            runs.release(at, at + count);
            for (const cluster of clusters) used.delete(cluster);
          }
          let first = at;
          while (clusters.some((_, index) => used.has(first + index))) first += 1;
          expect(runs.firstRun(at, count)).toBe(first);
          expect(runs.freeAt(at, count)).toBe(
            clusters.findIndex((cluster) => used.has(cluster)) === -1 ? count : clusters.findIndex((cluster) => used.has(cluster)),
          );
          expect(runs.frontier).toBe(used.size === 0 ? 0 : Math.max(...used) + 1);
        }
      }),
    );
  });
});

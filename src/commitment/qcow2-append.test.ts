/** Appended clusters: the count in one step equals the count step by step. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RefcountGeometry } from '#formats';
import { NaiveAllocator } from '../../tests/support/naive-allocator.ts';
import { appendOnlyBound } from './qcow2-append.ts';

const geometryOf = (clusterSize: number, refcountBits: number): RefcountGeometry => ({
  clusterSize,
  blockEntries: (clusterSize * 8) / refcountBits,
  tableEntries: clusterSize / 8,
  tableCluster: 1,
});

const highestOf = (clusters: Iterable<number>): number => Math.max(...clusters) + 1;

describe('appendOnlyBound()', () => {
  it.each([
    [512, 16],
    [512, 64],
    [4096, 16],
    [65536, 16],
    [65536, 1],
  ])('counts whole ranges at once as it counts them one by one: clusters of %i bytes, %i bits', (clusterSize, refcountBits) => {
    const geometry = geometryOf(clusterSize, refcountBits);
    const { blockEntries } = geometry;
    for (const count of [1, 2, blockEntries - 2, blockEntries - 1, blockEntries, 3 * blockEntries + 7, 400 * blockEntries + 1])
      for (const from of [3, blockEntries - 1, blockEntries, 2 * blockEntries + 5])
        for (const run of [1, 5, 60]) {
          const blocks = Math.ceil(from / blockEntries);
          const hasBlock = (range: number): boolean => range < blocks;
          const stepped = appendOnlyBound(from, count, run, geometry, hasBlock);
          expect([from, count, run, appendOnlyBound(from, count, run, geometry, hasBlock, blocks)]).toEqual([from, count, run, stepped]);
        }
  });

  it('asks for few ranges, however many clusters come', () => {
    let asked = 0;
    const hasBlock = (range: number): boolean => {
      asked += 1;
      return range < 1;
    };
    // 128 GiB in clusters of 512 bytes: a million ranges.
    appendOnlyBound(3, 2 ** 28, 1, geometryOf(512, 16), hasBlock, 1);
    expect(asked).toBeLessThan(2 ** 17);
  });

  it('with requests of one cluster ends where the allocator ends that fills a file without holes', () => {
    const packed = fc.record({
      blockEntries: fc.constantFrom(64, 128, 256),
      end: fc.integer({ min: 4, max: 3000 }),
      count: fc.nat({ max: 20_000 }),
    });
    fc.assert(
      fc.property(packed, ({ blockEntries, end, count }) => {
        const geometry = { clusterSize: 512, blockEntries, tableEntries: 64, tableCluster: 1 };
        const ranges = Array.from({ length: Math.ceil(end / blockEntries) }, (_, range) => range);
        const used = Array.from({ length: end }, (_, cluster) => cluster);
        const naive = new NaiveAllocator(
          used,
          ranges.map((range) => [range, 2 + range] as const),
          geometry,
        );
        for (let done = 0; done < count; done += 1) naive.allocate(1);
        const appended = appendOnlyBound(end, count, 1, geometry, (range) => range < ranges.length);
        expect(appended.end).toBeGreaterThanOrEqual(highestOf(naive.used));
        if (!naive.tableMoved)
          expect(appended).toEqual({ end: highestOf(naive.used), metadata: naive.blocks.size - ranges.length, tableMoves: false });
        else expect(appended.end).toBeLessThanOrEqual(highestOf(naive.used) + 2 * blockEntries);
      }),
      { numRuns: 60 },
    );
  });
});

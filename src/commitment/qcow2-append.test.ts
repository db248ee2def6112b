/** Appended clusters: what is counted at once is what is counted step by step. */
import { describe, expect, it } from 'vitest';
import type { RefcountGeometry } from './cluster-allocator.ts';
import { append } from './qcow2-append.ts';

const geometryOf = (clusterSize: number, refcountBits: number): RefcountGeometry => ({
  clusterSize,
  blockEntries: (clusterSize * 8) / refcountBits,
  tableEntries: clusterSize / 8,
  tableCluster: 1,
});

describe('append()', () => {
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
          const stepped = append(from, count, run, geometry, hasBlock);
          expect([from, count, run, append(from, count, run, geometry, hasBlock, blocks)]).toEqual([from, count, run, stepped]);
        }
  });

  it('asks for few ranges, however many clusters come', () => {
    let asked = 0;
    const hasBlock = (range: number): boolean => {
      asked += 1;
      return range < 1;
    };
    // 128 GiB in clusters of 512 bytes: a million ranges.
    append(3, 2 ** 28, 1, geometryOf(512, 16), hasBlock, 1);
    expect(asked).toBeLessThan(2 ** 17);
  });
});

import { describe, expect, it } from 'vitest';
import { KiB } from '#base';
import { chainedOrder, splittingOrder, WRITE_ORDERS } from '../../tests/support/write-orders.ts';
import { ExtentTree } from '../../tests/support/extent-tree.ts';
import {
  appendedTreeBlocks,
  extentsPerBlock,
  extentTreeAtMost,
  extentTreeBlocks,
  indirectBlocks,
  xfsRecordsPerBlock,
  xfsTreeBlocks,
} from './host-map.ts';

function nodesAfter(order: readonly number[], blockSize: number): { readonly nodes: number; readonly depth: number } {
  const tree = new ExtentTree(extentsPerBlock(blockSize));
  for (const block of order) tree.insert(block);
  return tree;
}

describe('ext4', () => {
  it.each([
    [KiB, 84],
    [2 * KiB, 169],
    [4 * KiB, 340],
    [64 * KiB, 5460],
  ])('%i bytes hold %i extents', (blockSize, extents) => {
    expect(extentsPerBlock(blockSize)).toBe(extents);
  });

  it.each([KiB, 2 * KiB, 4 * KiB])('with blocks of %i bytes, no order of sweeps takes more nodes', (blockSize) => {
    const blocks = 8192;
    const bound = extentTreeBlocks(0, blocks, blockSize);
    for (const order of Object.values(WRITE_ORDERS)) {
      expect(nodesAfter(order(blocks).flat(), blockSize).nodes).toBeLessThanOrEqual(bound);
      expect(bound).toBeLessThan((blocks * 7) / extentsPerBlock(blockSize));
    }
  });

  it.each([
    [KiB, 16384, 3, 0.89],
    [KiB, 4096, 2, 0.56],
    [4 * KiB, 16384, 3, 0.56],
    [4 * KiB, 4096, 1, 0.25],
  ])(
    'with blocks of %i bytes, an order made to split comes near the bound of any order, and not past it',
    (blockSize, blocks, height, near) => {
      const bound = extentTreeAtMost(blocks, blockSize);
      const entries = extentsPerBlock(blockSize);
      const splitting = nodesAfter(splittingOrder(blocks, entries).flat(), blockSize);
      const chained = nodesAfter(chainedOrder(blocks, entries, height).flat(), blockSize);
      expect([splitting.depth <= 5, chained.depth <= 5]).toEqual([true, true]);
      expect(splitting.nodes).toBeLessThanOrEqual(bound);
      expect(chained.nodes).toBeLessThanOrEqual(bound);
      expect(chained.nodes).toBeGreaterThan(near * bound);
    },
  );

  it('bounds each level of a tree by its place below the root, and by the extents', () => {
    expect(extentTreeAtMost(0, 4 * KiB)).toBe(0);
    expect(extentTreeAtMost(1, 4 * KiB)).toBe(5);
    expect(extentTreeAtMost(16384, 4 * KiB)).toBe(4 + 4 * 340 + 3 * 16384);
    expect(extentTreeAtMost(10_000_000, 4 * KiB)).toBe(4 + 4 * 340 + 4 * 340 ** 2 + 2 * 10_000_000);
    expect(extentTreeAtMost(16384, 4 * KiB, 2)).toBe(8 + 8 * 340 + 3 * 16384);
  });

  it('fills the nodes of a tree to which extents are appended', () => {
    expect([0, 4, 5, 340, 341, 340 * 341].map((extents) => appendedTreeBlocks(extents, 4 * KiB))).toEqual([0, 0, 1, 1, 2, 341 + 2]);
  });

  it('counts what is new beside what is there: every full node may be cut by one extent', () => {
    expect(extentTreeBlocks(340 * 100, 100, 4 * KiB)).toBeGreaterThanOrEqual(100);
    expect(extentTreeBlocks(340 * 100, 0, 4 * KiB)).toBe(0);
    expect(extentTreeBlocks(340 * 100, 1, 4 * KiB)).toBeLessThan(4);
  });
});

describe('XFS', () => {
  it.each([
    [KiB, 59],
    [2 * KiB, 123],
    [4 * KiB, 251],
  ])('%i bytes hold %i records', (blockSize, records) => {
    expect(xfsRecordsPerBlock(blockSize)).toBe(records);
  });

  it('counts every node half full, and the nodes above', () => {
    expect(xfsTreeBlocks(125, 4 * KiB)).toBe(1);
    expect(xfsTreeBlocks(126, 4 * KiB)).toBe(2 + 1);
    expect(xfsTreeBlocks(125 * 125, 4 * KiB)).toBe(125 + 1);
    expect(xfsTreeBlocks(29 * 29 * 29, KiB)).toBe(29 * 29 + 29 + 1);
  });
});

describe('ext2 and ext3', () => {
  it.each([
    [12, 0],
    [13, 1],
    [12 + 256, 1],
    [12 + 256 + 1, 1 + 2],
    [12 + 256 + 256 * 256, 1 + 1 + 256],
    [12 + 256 + 256 * 256 + 1, 1 + 257 + 3],
  ])('a file of %i blocks of 1 KiB has %i indirect blocks', (blocks, indirect) => {
    expect(indirectBlocks(blocks, KiB)).toBe(indirect);
  });
});

import { describe, expect, it } from 'vitest';
import { KiB } from '#base';
import { extentsPerBlock, extentTreeBlocks, indirectBlocks, xfsRecordsPerBlock, xfsTreeBlocks } from './host-map.ts';

/** A model of ext4's leaves: a full one is cut where the new extent goes, behind the extent before it. */
class Leaves {
  readonly #capacity: number;
  readonly #leaves: number[][] = [[]];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get count(): number {
    return this.#leaves.length;
  }

  insert(block: number): void {
    const index = Math.max(
      0,
      this.#leaves.findLastIndex((leaf) => (leaf[0] ?? 0) <= block),
    );
    const leaf = this.#leaves[index] as number[];
    const place = leaf.findLastIndex((one) => one < block) + 1;
    if (leaf.length < this.#capacity) leaf.splice(place, 0, block);
    else if (place === leaf.length) this.#addBehind(index, block);
    else {
      this.#leaves.splice(index + 1, 0, leaf.splice(Math.max(1, place)));
      this.insert(block);
    }
  }

  /** Behind the last extent of a full leaf: into the next leaf while that has room, else into a new one. */
  #addBehind(index: number, block: number): void {
    const next = this.#leaves[index + 1];
    if (next !== undefined && next.length < this.#capacity) next.unshift(block);
    else this.#leaves.splice(index + 1, 0, [block]);
  }
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

  it.each([KiB, 2 * KiB, 4 * KiB])('with blocks of %i bytes, no order of sweeps takes more leaves', (blockSize) => {
    const blocks = 8192;
    const ascending = Array.from({ length: blocks }, (_, index) => index);
    const even = ascending.filter((block) => block % 2 === 0);
    const odd = ascending.filter((block) => block % 2 === 1);
    const third = [0, 1, 2].flatMap((first) => ascending.filter((block) => block % 3 === first));
    const bound = extentTreeBlocks(0, blocks, blockSize);
    for (const order of [ascending, [...even, ...odd], [...even, ...odd.reverse()], [...even.reverse(), ...odd], third, third.reverse()]) {
      const leaves = new Leaves(extentsPerBlock(blockSize));
      for (const block of order) leaves.insert(block);
      expect(leaves.count).toBeLessThanOrEqual(bound);
      expect(bound).toBeLessThan((blocks * 7) / extentsPerBlock(blockSize));
    }
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

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClusterSet } from '../../clusters/index.ts';
import { addUsedClusters, refcountOf } from './refcount.ts';

const BLOCK_BYTES = 512;

/** The entry by the words of the specification, one bit at a time. */
function naiveRefcount(block: Uint8Array, order: number, entry: number): bigint {
  const bits = 2 ** order;
  if (bits >= 8)
    return block.subarray((entry * bits) / 8, ((entry + 1) * bits) / 8).reduce((value, byte) => value * 256n + BigInt(byte), 0n);
  let value = 0n;
  for (let bit = 0; bit < bits; bit += 1) {
    const position = entry * bits + bit;
    if ((((block[Math.floor(position / 8)] as number) >>> (position % 8)) & 1) === 1) value += 1n << BigInt(bit);
  }
  return value;
}

/** Mostly zeros, some entries of every size. */
const block = fc.array(fc.tuple(fc.nat({ max: BLOCK_BYTES - 1 }), fc.integer({ min: 1, max: 255 })), { maxLength: 40 }).map((bytes) => {
  const content = new Uint8Array(BLOCK_BYTES);
  for (const [at, value] of bytes) content[at] = value;
  return content;
});

describe.each([0, 1, 2, 3, 4, 5, 6])('refcounts of order %i', (order) => {
  const entryCount = (BLOCK_BYTES * 8) / 2 ** order;

  it('are used where they are not 0', () => {
    fc.assert(
      fc.property(block, fc.nat({ max: 1000 }), (content, range) => {
        const used = new ClusterSet();
        addUsedClusters(content, order, range * entryCount, used);
        const expected = Array.from({ length: entryCount }, (_, entry) => entry).filter(
          (entry) => naiveRefcount(content, order, entry) !== 0n,
        );
        expect(used.count()).toBe(expected.length);
        for (const entry of expected) expect(used.has(range * entryCount + entry)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('have the value the specification says', () => {
    fc.assert(
      fc.property(block, fc.nat({ max: entryCount - 1 }), (content, entry) => {
        expect(refcountOf(content, order, entry)).toBe(Number(naiveRefcount(content, order, entry)));
      }),
    );
  });

  it('are all used when all bits are set', () => {
    const used = new ClusterSet();
    addUsedClusters(new Uint8Array(BLOCK_BYTES).fill(0xff), order, entryCount, used);
    expect([...used.runs()]).toEqual([{ start: entryCount, end: 2 * entryCount }]);
  });
});

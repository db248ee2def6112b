import { describe, expect, it } from 'vitest';
import {
  compressedData,
  hasReservedL1Bits,
  hasReservedL2Bits,
  hasReservedRefcountTableBits,
  isCompressed,
  isCopied,
  isWrittenInPlace,
  isZeroFlagSet,
  offsetOf,
  refcountBlockOffset,
  withCopied,
  withoutCopied,
} from './entry.ts';

const BITS = Array.from({ length: 64 }, (_, bit) => bit);

/** The two halves of an entry with only this bit set. */
const only = (bit: number): [high: number, low: number] => (bit < 32 ? [0, 2 ** bit] : [2 ** (bit - 32), 0]);

/** The bits that make `test` true when set alone. */
const bitsOf = (test: (high: number, low: number) => boolean): number[] => BITS.filter((bit) => test(...only(bit)));

const range = (first: number, last: number): number[] => BITS.slice(first, last + 1);

describe('entries of qcow2 tables, bit by bit as the specification numbers them', () => {
  it('takes the offset from bits 9-55 of an L1 or L2 entry, from bits 9-63 of a refcount table entry', () => {
    for (const bit of BITS) {
      expect(offsetOf(...only(bit)), `bit ${bit}`).toBe(bit >= 9 && bit <= 55 ? 2 ** bit : 0);
      expect(refcountBlockOffset(...only(bit)), `bit ${bit}`).toBe(bit >= 9 ? 2 ** bit : 0);
    }
  });

  it('finds COPIED in bit 63, compression in bit 62, the zero flag in bit 0', () => {
    expect(bitsOf((high) => isCopied(high))).toEqual([63]);
    expect(bitsOf((high) => isCompressed(high))).toEqual([62]);
    expect(bitsOf((_, low) => isZeroFlagSet(low))).toEqual([0]);
    expect([0xc0000000, 0x80000000, 0x40000000, 0].map((high) => isWrittenInPlace(high))).toEqual([false, true, false, false]);
  });

  it('finds the reserved bits of each table', () => {
    expect(bitsOf(hasReservedL1Bits)).toEqual([...range(0, 8), ...range(56, 62)]);
    expect(bitsOf((high, low) => hasReservedL2Bits(high, low, true))).toEqual([...range(1, 8), ...range(56, 61)]);
    expect(bitsOf((high, low) => hasReservedL2Bits(high, low, false))).toEqual([...range(0, 8), ...range(56, 61)]);
    expect(bitsOf((_, low) => hasReservedRefcountTableBits(low))).toEqual(range(0, 8));
  });

  it.each([9, 12, 16, 21])('splits a compressed cluster descriptor where cluster_bits %i puts the border', (clusterBits) => {
    const border = 62 - (clusterBits - 8);
    for (const bit of range(0, 61)) {
      const { offset, byteLength } = compressedData(...only(bit), clusterBits);
      const isOffset = bit < border;
      expect(offset, `bit ${bit}`).toBe(isOffset ? 2 ** bit : 0);
      expect(byteLength, `bit ${bit}`).toBe(isOffset ? 512 - (offset % 512) : (2 ** (bit - border) + 1) * 512);
    }
    expect(compressedData(0xc0000000, 0, clusterBits)).toEqual({ offset: 0, byteLength: 512 });
  });

  it('sets and clears COPIED and nothing else', () => {
    expect(withCopied(0x00123456)).toBe(0x80123456);
    expect(withoutCopied(0xffffffff)).toBe(0x7fffffff);
  });
});

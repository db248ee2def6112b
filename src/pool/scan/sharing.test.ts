import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoredRange } from '#block';
import { countSharing, physicalRangesOf, type StoredFile } from './sharing.ts';

const BLOCK = 4096;

interface Piece {
  readonly physical: number;
  readonly count: number;
  readonly flagged: boolean;
}

/** A file of these pieces of physical blocks, one behind the other; its allocation with something for the host's own map. */
function fileOf(pieces: readonly Piece[], extra = 0): StoredFile {
  const map: StoredRange[] = [];
  let fileOffset = 0;
  for (const { physical, count, flagged } of pieces) {
    map.push({
      fileOffset,
      byteLength: count * BLOCK,
      physicalOffset: physical * BLOCK,
      shared: flagged,
      unwritten: false,
      encoded: false,
    });
    fileOffset += count * BLOCK;
  }
  return { allocation: fileOffset + extra, ranges: physicalRangesOf(map) };
}

/** Block by block: how often each file refers to it. */
function referencesTo(files: readonly (readonly Piece[])[]): Map<number, Map<number, number>> {
  const blocks = new Map<number, Map<number, number>>();
  for (const [file, pieces] of files.entries()) {
    for (const { physical, count } of pieces) {
      for (let block = physical; block < physical + count; block += 1) {
        const users = blocks.get(block) ?? new Map<number, number>();
        users.set(file, (users.get(file) ?? 0) + 1);
        blocks.set(block, users);
      }
    }
  }
  return blocks;
}

const piece = fc.record({ physical: fc.nat({ max: 60 }), count: fc.integer({ min: 1, max: 12 }), flagged: fc.constant(true) });
const files = fc.array(fc.array(piece, { maxLength: 4 }), { maxLength: 5 });

describe('countSharing()', () => {
  it('counts what several files use once, block by block', () => {
    fc.assert(
      fc.property(files, (all) => {
        const blocks = [...referencesTo(all).values()];
        const sharing = countSharing(all.map((pieces) => fileOf(pieces)));
        expect(sharing.allocation).toBe(blocks.length * BLOCK);
        expect(sharing.shared).toBe(blocks.filter((users) => users.size > 1).length * BLOCK);
        for (const [file, one] of sharing.files.entries()) {
          const between = blocks.filter((users) => users.size > 1 && users.has(file)).length * BLOCK;
          const outside = blocks.filter((users) => users.size === 1 && users.get(file) === 1).length * BLOCK;
          const exclusive = blocks.filter((users) => users.size === 1 && (users.get(file) ?? 0) > 1).length * BLOCK;
          expect(one).toEqual({ shared: between + outside, sharedOutside: outside, exclusive });
        }
        expect(sharing.sharedOutside).toBe(sharing.files.reduce((sum, one) => sum + one.sharedOutside, 0));
      }),
    );
  });

  it('without the flag, a block of one file is exclusive', () => {
    const [one, two] = [fileOf([{ physical: 0, count: 4, flagged: false }]), fileOf([{ physical: 2, count: 4, flagged: false }])];
    expect(countSharing([one, two])).toEqual({
      allocation: 6 * BLOCK,
      shared: 2 * BLOCK,
      sharedOutside: 0,
      files: [
        { shared: 2 * BLOCK, sharedOutside: 0, exclusive: 2 * BLOCK },
        { shared: 2 * BLOCK, sharedOutside: 0, exclusive: 2 * BLOCK },
      ],
    });
  });

  it('knows nothing of files without a map, and keeps what the host charges for its own map', () => {
    const sharing = countSharing([
      { allocation: 5 * BLOCK, ranges: undefined },
      fileOf([{ physical: 0, count: 1, flagged: false }], BLOCK),
    ]);
    expect(sharing).toMatchObject({ allocation: 7 * BLOCK, shared: 0, files: [{ exclusive: 5 * BLOCK }, { exclusive: 2 * BLOCK }] });
  });

  it('passes over ranges whose place is not known', () => {
    const range = { fileOffset: 0, byteLength: BLOCK, physicalOffset: undefined, shared: false, unwritten: false, encoded: false };
    expect(
      countSharing([
        { allocation: BLOCK, ranges: physicalRangesOf([range]) },
        { allocation: BLOCK, ranges: physicalRangesOf([range]) },
      ]),
    ).toMatchObject({ allocation: 2 * BLOCK, shared: 0 });
  });
});

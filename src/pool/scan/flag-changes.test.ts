import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { liesIn, changedSharedRanges } from './flag-changes.ts';

/** Blocks of a file as ranges of one block each, all marked. */
function rangesOf(blocks: readonly number[]): Float64Array {
  return Float64Array.from(blocks.flatMap((block) => [block * 10, block * 10 + 10, 1]));
}

function turned(files: Parameters<typeof changedSharedRanges>[0]): Float64Array {
  const steps = changedSharedRanges(files);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

const blocks = fc.uniqueArray(fc.nat({ max: 8 }), { maxLength: 6 });

describe('changedSharedRanges()', () => {
  it('are the blocks whose users became more than one or no longer are, block by block', () => {
    const file = fc.record({ before: blocks, after: blocks, isSame: fc.boolean() });
    fc.assert(
      fc.property(fc.array(file, { maxLength: 5 }), (files) => {
        const changes = files.map(({ before, after, isSame }) => {
          const ranges = rangesOf(before);
          return { before: ranges, after: isSame ? ranges : rangesOf(after) };
        });
        const runs = turned(changes);
        for (let block = 0; block <= 8; block += 1) {
          const users = (when: 'before' | 'after'): number =>
            changes.filter((one) => one[when].includes(block * 10) && isStart(one[when], block * 10)).length;
          const [before, after] = [users('before'), users('after')];
          const isTouched = changes.some((one) => isStart(one.before, block * 10) !== isStart(one.after, block * 10));
          const expected = isTouched && before !== after && Math.min(before, after) <= 1;
          expect([block, liesIn(rangesOf([block]), runs)]).toEqual([block, expected]);
        }
      }),
    );
  });

  it('are none when unmarked blocks change hands', () => {
    expect(turned([{ before: Float64Array.of(0, 10, 0), after: undefined }])).toHaveLength(0);
  });
});

function isStart(ranges: Float64Array, at: number): boolean {
  return ranges.some((value, index) => index % 3 === 0 && value === at);
}

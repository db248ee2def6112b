import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinRanges, type Range, RangeSet, sortRanges, subtractRanges, totalLength, uniteRanges } from './ranges.ts';

const MOST = 200;
const run = fc.tuple(fc.nat({ max: MOST }), fc.nat({ max: 30 })).map(([start, length]) => ({ start, end: start + length }));
const ascending = fc.array(run, { maxLength: 12 }).map((runs) => runs.toSorted((a, b) => a.start - b.start));
/** Ascending, no two touching the same byte. */
const disjoint = ascending.map((runs) => {
  const kept: Range[] = [];
  for (const one of runs) if (one.start >= (kept.at(-1)?.end ?? 0)) kept.push(one);
  return kept;
});

/** The model: one boolean a byte. */
function bytesOf(runs: Iterable<Range>): Set<number> {
  const bytes = new Set<number>();
  for (const { start, end } of runs) for (let at = start; at < end; at += 1) bytes.add(at);
  return bytes;
}

describe('subtractRanges()', () => {
  it('leaves what no hole covers', () => {
    fc.assert(
      fc.property(disjoint, disjoint, (runs, holes) => {
        const gone = bytesOf(holes);
        const left = [...subtractRanges(runs, holes)];
        expect(bytesOf(left)).toEqual(new Set([...bytesOf(runs)].filter((at) => !gone.has(at))));
        expect(totalLength(left)).toBe(bytesOf(left).size);
        for (const { start, end } of left) expect(end).toBeGreaterThanOrEqual(start);
      }),
    );
  });

  it('takes a hole that spans several runs out of each', () => {
    expect([
      ...subtractRanges(
        [
          { start: 0, end: 10 },
          { start: 20, end: 30 },
          { start: 40, end: 50 },
        ],
        [{ start: 5, end: 45 }],
      ),
    ]).toEqual([
      { start: 0, end: 5 },
      { start: 45, end: 50 },
    ]);
  });
});

describe('uniteRanges()', () => {
  it.each([1, 4, 16])('is what any source has, in whole blocks of %i', (block) => {
    fc.assert(
      fc.property(fc.array(ascending, { maxLength: 5 }), (sources) => {
        const nonEmpty = sources.map((runs) => runs.filter(({ start, end }) => end > start));
        const merged = [...uniteRanges(nonEmpty, block)];
        const blocks = new Set([...bytesOf(nonEmpty.flat())].map((at) => Math.floor(at / block)));
        expect(totalLength(merged)).toBe(blocks.size * block);
        expect(new Set([...bytesOf(merged)].map((at) => Math.floor(at / block)))).toEqual(blocks);
        for (const [index, { start }] of merged.entries()) if (index > 0) expect(start).toBeGreaterThan((merged[index - 1] as Range).end);
      }),
    );
  });
});

describe('sortRanges()', () => {
  it('drops empty runs and sorts', () => {
    expect(
      sortRanges([
        { start: 9, end: 12 },
        { start: 3, end: 3 },
        { start: 1, end: 2 },
      ]),
    ).toEqual([
      { start: 1, end: 2 },
      { start: 9, end: 12 },
    ]);
  });
});

describe('joinRanges()', () => {
  it('joins what touches or overlaps', () => {
    fc.assert(
      fc.property(ascending, (ranges) => {
        const joined = [...joinRanges(sortRanges(ranges))];
        expect(bytesOf(joined)).toEqual(bytesOf(ranges));
        for (const [index, { start }] of joined.entries()) if (index > 0) expect(start).toBeGreaterThan((joined[index - 1] as Range).end);
      }),
    );
  });
});

describe('RangeSet', () => {
  const steps = fc.array(fc.tuple(fc.boolean(), run), { maxLength: 30 });

  it('holds what was added and not subtracted later, as few ranges', () => {
    fc.assert(
      fc.property(steps, (changes) => {
        const set = new RangeSet();
        const model = new Set<number>();
        for (const [isAdded, { start, end }] of changes) {
          if (isAdded) set.add(start, end);
          else set.subtract(start, end);
          for (let at = start; at < end; at += 1) {
            if (isAdded) model.add(at);
            else model.delete(at);
          }
        }
        const ranges = [...set];
        expect(bytesOf(ranges)).toEqual(model);
        expect([set.total, set.count]).toEqual([model.size, ranges.length]);
        for (const [index, { start }] of ranges.entries()) if (index > 0) expect(start).toBeGreaterThan((ranges[index - 1] as Range).end);
      }),
    );
  });

  it('divides any range into what it holds and the gaps', () => {
    fc.assert(
      fc.property(ascending, run, (ranges, { start, end }) => {
        const set = new RangeSet(ranges);
        const [held, gaps] = [[...set.intersect(start, end)], [...set.gaps(start, end)]];
        const inside = [...bytesOf([{ start, end }])];
        const all = bytesOf(ranges);
        expect(bytesOf(held)).toEqual(new Set(inside.filter((at) => all.has(at))));
        expect(bytesOf(gaps)).toEqual(new Set(inside.filter((at) => !all.has(at))));
        expect(set.intersects(start, end)).toBe(held.length > 0);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Run } from '#block';
import { sortedRuns, totalBytes, union, without } from './byte-runs.ts';

const MOST = 200;
const run = fc.tuple(fc.nat({ max: MOST }), fc.nat({ max: 30 })).map(([start, length]) => ({ start, end: start + length }));
const ascending = fc.array(run, { maxLength: 12 }).map((runs) => runs.toSorted((a, b) => a.start - b.start));
/** Ascending, no two touching the same byte. */
const disjoint = ascending.map((runs) => {
  const kept: Run[] = [];
  for (const one of runs) if (one.start >= (kept.at(-1)?.end ?? 0)) kept.push(one);
  return kept;
});

/** The model: one boolean a byte. */
function bytesOf(runs: Iterable<Run>): Set<number> {
  const bytes = new Set<number>();
  for (const { start, end } of runs) for (let at = start; at < end; at += 1) bytes.add(at);
  return bytes;
}

describe('without()', () => {
  it('leaves what no hole covers', () => {
    fc.assert(
      fc.property(disjoint, disjoint, (runs, holes) => {
        const gone = bytesOf(holes);
        const left = [...without(runs, holes)];
        expect(bytesOf(left)).toEqual(new Set([...bytesOf(runs)].filter((at) => !gone.has(at))));
        expect(totalBytes(left)).toBe(bytesOf(left).size);
        for (const { start, end } of left) expect(end).toBeGreaterThanOrEqual(start);
      }),
    );
  });

  it('takes a hole that spans several runs out of each', () => {
    expect([
      ...without(
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

describe('union()', () => {
  it.each([1, 4, 16])('is what any source has, in whole blocks of %i', (block) => {
    fc.assert(
      fc.property(fc.array(ascending, { maxLength: 5 }), (sources) => {
        const nonEmpty = sources.map((runs) => runs.filter(({ start, end }) => end > start));
        const merged = [...union(nonEmpty, block)];
        const blocks = new Set([...bytesOf(nonEmpty.flat())].map((at) => Math.floor(at / block)));
        expect(totalBytes(merged)).toBe(blocks.size * block);
        expect(new Set([...bytesOf(merged)].map((at) => Math.floor(at / block)))).toEqual(blocks);
        for (const [index, { start }] of merged.entries()) if (index > 0) expect(start).toBeGreaterThan((merged[index - 1] as Run).end);
      }),
    );
  });
});

describe('sortedRuns()', () => {
  it('drops empty runs and sorts', () => {
    expect(
      sortedRuns([
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

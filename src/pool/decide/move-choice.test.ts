import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Candidate, chooseCover, EXACT_CANDIDATES, type Gain, type Room } from './move-choice.ts';

function candidate(path: string, copied: number, sum: number, part: Partial<Candidate> = {}): Candidate {
  return { path, copied, sum, level: 0, inUse: false, ...part };
}

const total = (some: readonly Candidate[], part: 'sum' | 'level' | 'copied'): number => some.reduce((all, one) => all + one[part], 0);

/** Room for what `fits` allows together. */
function roomFor(fits: (some: readonly Candidate[]) => boolean, taken: readonly Candidate[] = []): Room<Candidate> {
  return { take: (one) => (fits([...taken, one]) ? roomFor(fits, [...taken, one]) : undefined) };
}

const UNLIMITED_ROOM = roomFor(() => true);

function choose(candidates: readonly Candidate[], need: Partial<Gain>, room = UNLIMITED_ROOM): string[] {
  return chooseCover(candidates, { sum: 0, level: 0, ...need }, room).chosen.map(({ path }) => path);
}

describe('chooseCover()', () => {
  it('takes one that is enough rather than two of more worth', () => {
    const candidates = [candidate('a', 10, 20), candidate('b', 10, 20), candidate('c', 15, 25)];
    expect(choose(candidates, { sum: 25 })).toEqual(['c']);
  });

  it('takes two small ones rather than a large one', () => {
    expect(choose([candidate('a', 100, 100), candidate('b', 30, 30), candidate('c', 30, 30)], { sum: 60 })).toEqual(['b', 'c']);
  });

  it('covers both needs', () => {
    const candidates = [candidate('a', 10, 50), candidate('b', 10, 0, { level: 50 }), candidate('c', 25, 50, { level: 50 })];
    expect(choose(candidates, { sum: 50, level: 50 })).toEqual(['a', 'b']);
  });

  it('takes what the target can hold together', () => {
    const candidates = [candidate('a', 10, 10), candidate('b', 10, 10), candidate('c', 30, 20)];
    expect(
      choose(
        candidates,
        { sum: 20 },
        roomFor((some) => some.length < 2),
      ),
    ).toEqual(['c']);
  });

  it('prefers what is not in use, then the first path', () => {
    const alike = [candidate('b', 10, 10), candidate('c', 10, 10), candidate('a', 10, 10, { inUse: null })];
    expect(choose(alike, { sum: 10 })).toEqual(['b']);
    expect(choose(alike.reverse(), { sum: 10 })).toEqual(['b']);
  });

  it('takes all that helps where nothing is enough, and no more', () => {
    const candidates = [candidate('a', 10, 10), candidate('b', 10, 20), candidate('c', 5, 0, { level: 5 })];
    expect(choose(candidates, { sum: 50 })).toEqual(['b', 'a']);
  });

  it('chooses nothing from nothing', () => {
    expect(choose([], { sum: 5 })).toEqual([]);
  });

  it('beyond what it compares, is still enough and has nothing to spare', () => {
    const many = Array.from({ length: EXACT_CANDIDATES + 40 }, (_, index) => candidate(`p${index}`, 10 + (index % 7), 5 + (index % 11)));
    const { chosen, isBest } = chooseCover(many, { sum: 100, level: 0 }, UNLIMITED_ROOM);
    expect(isBest).toBe(false);
    expect(total(chosen, 'sum')).toBeGreaterThanOrEqual(100);
    for (const one of chosen) expect(total(chosen, 'sum') - one.sum).toBeLessThan(100);
  });

  it('ends, and says so, where comparing takes too long', () => {
    // Even sizes, and an odd need: no bound ever rules anything out.
    const even = Array.from({ length: EXACT_CANDIDATES }, (_, index) => 2 * (5000 + ((index * 7919) % 1301)));
    const candidates = even.map((size, index) => candidate(`p${index}`, size, size));
    const { chosen, isBest } = chooseCover(candidates, { sum: 130_001, level: 0 }, UNLIMITED_ROOM);
    expect(isBest).toBe(false);
    expect(total(chosen, 'sum')).toBeGreaterThanOrEqual(130_001);
  });

  it('copies as little as the best of all sets', () => {
    const amount = fc.integer({ min: 0, max: 40 });
    const some = fc.array(fc.record({ copied: amount, sum: amount, level: amount }), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(some, amount, amount, fc.integer({ min: 20, max: 200 }), (parts, sum, level, room) => {
        const candidates = parts.map((part, index) => ({ ...part, path: `p${index}`, inUse: false }));
        const fits = (together: readonly Candidate[]): boolean => total(together, 'copied') <= room;
        const sets = Array.from({ length: 2 ** candidates.length }, (_, set) =>
          candidates.filter((_one, index) => Math.floor(set / 2 ** index) % 2 === 1),
        );
        const covering = sets.filter((set) => fits(set) && total(set, 'sum') >= sum && total(set, 'level') >= level);
        const { chosen } = chooseCover(candidates, { sum, level }, roomFor(fits));
        expect(fits(chosen)).toBe(true);
        if (covering.length > 0) {
          expect(total(chosen, 'sum')).toBeGreaterThanOrEqual(sum);
          expect(total(chosen, 'level')).toBeGreaterThanOrEqual(level);
          expect(total(chosen, 'copied')).toBe(Math.min(...covering.map((set) => total(set, 'copied'))));
        }
      }),
      { numRuns: 300 },
    );
  });
});

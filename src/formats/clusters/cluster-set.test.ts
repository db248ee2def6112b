import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkBudget } from './chunk-budget.ts';
import { ClusterSet } from './cluster-set.ts';

const CHUNK = 8192;
const GROUP = 1024 * CHUNK;

type Step =
  | { readonly do: 'add'; readonly at: number }
  | { readonly do: 'delete'; readonly at: number }
  | { readonly do: 'has'; readonly at: number }
  | { readonly do: 'run'; readonly at: number; readonly count: number }
  | { readonly do: 'word'; readonly at: number; readonly mask: number };

/** Places near the borders of words, chunks and groups, and near each other. */
const place = fc
  .tuple(fc.constantFrom(0, 32, CHUNK, 3 * CHUNK, GROUP), fc.integer({ min: -40, max: 40 }))
  .map(([base, by]) => Math.max(0, base + by));
const step: fc.Arbitrary<Step> = fc.oneof(
  ...(['add', 'delete', 'has'] as const).map((what) => fc.record({ do: fc.constant(what), at: place })),
  fc.record({ do: fc.constant('run' as const), at: place, count: fc.oneof(fc.nat({ max: 70 }), fc.constantFrom(CHUNK, 2 * CHUNK + 5)) }),
  fc.record({ do: fc.constant('word' as const), at: place.map((at) => at - (at % 32)), mask: fc.integer({ min: 0, max: 0xffffffff }) }),
);

interface Both {
  readonly set: ClusterSet;
  readonly model: Set<number>;
}

/** Empty, and with so many runs that a list would not hold them. */
const BEGINNINGS: readonly { readonly name: string; readonly begin: () => Both }[] = [
  { name: 'as a list', begin: () => ({ set: new ClusterSet(), model: new Set() }) },
  {
    name: 'in chunks',
    begin: () => {
      const [set, model] = [new ClusterSet(), new Set<number>()];
      for (let at = 4 * GROUP; at < 4 * GROUP + 8400; at += 2) {
        set.add(at);
        model.add(at);
      }
      return { set, model };
    },
  },
];

function apply(steps: readonly Step[], { set, model }: Both): Both {
  for (const one of steps) {
    if (one.do === 'add') {
      set.add(one.at);
      model.add(one.at);
    } else if (one.do === 'delete') {
      set.delete(one.at);
      model.delete(one.at);
    } else if (one.do === 'has') expect(set.has(one.at)).toBe(model.has(one.at));
    else if (one.do === 'run') {
      set.addRun(one.at, one.at + one.count);
      for (let at = one.at; at < one.at + one.count; at += 1) model.add(at);
    } else {
      set.addWord(one.at, one.mask);
      for (let bit = 0; bit < 32; bit += 1) if (((one.mask >>> bit) & 1) === 1) model.add(one.at + bit);
    }
  }
  return { set, model };
}

function runsOf(model: ReadonlySet<number>): { start: number; end: number }[] {
  const runs: { start: number; end: number }[] = [];
  for (const at of [...model].toSorted((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last?.end === at) last.end = at + 1;
    else runs.push({ start: at, end: at + 1 });
  }
  return runs;
}

const steps = fc.array(step, { maxLength: 40 });

describe('ClusterSet', () => {
  it.each(BEGINNINGS)('is a set of numbers: $name', ({ begin }) => {
    fc.assert(
      fc.property(steps, (all) => {
        const { set, model } = apply(all, begin());
        expect([...set.runs()]).toEqual(runsOf(model));
        expect(set.count()).toBe(model.size);
        expect(set.end()).toBe(Math.max(0, ...[...model].map((at) => at + 1)));
      }),
      { numRuns: 200 },
    );
  });

  it.each(BEGINNINGS)('compares with another like a set of numbers: $name', ({ begin }) => {
    for (const other of BEGINNINGS) {
      fc.assert(
        fc.property(steps, steps, (mine, theirs) => {
          const [a, b] = [apply(mine, begin()), apply(theirs, other.begin())];
          const common = [...a.model].filter((at) => b.model.has(at));
          expect(a.set.countWithout(b.set)).toBe(a.model.size - common.length);
          expect(a.set.firstCommon(b.set)).toBe(common.length === 0 ? undefined : Math.min(...common));
        }),
        { numRuns: 50 },
      );
    }
  });

  it('holds whole groups of chunks, filled in any way, and lets go of single clusters of them', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 * GROUP }), fc.integer({ min: 1, max: 2 * GROUP }), fc.nat({ max: 1000 }), (start, length, by) => {
        const set = new ClusterSet();
        for (let at = start; at < start + length; at += 1_000_003) set.addRun(at, Math.min(start + length, at + 1_000_003));
        expect([...set.runs()]).toEqual([{ start, end: start + length }]);
        expect([set.count(), set.end()]).toEqual([length, start + length]);
        const hole = start + Math.min(by, length - 1);
        set.delete(hole);
        expect(set.has(hole)).toBe(false);
        expect(set.count()).toBe(length - 1);
        set.add(hole);
        expect([...set.runs()]).toEqual([{ start, end: start + length }]);
      }),
      { numRuns: 50 },
    );
  });

  it('costs next to nothing where it is full: 2 PiB of 64 KiB clusters', () => {
    const set = new ClusterSet();
    for (let at = 0; at < 2 ** 35; at += 32769) {
      set.add(at + 1);
      set.addRun(at, at + 1);
      set.addRun(at + 2, at + 32769);
    }
    expect([...set.runs()]).toHaveLength(1);
  });

  it('refuses clusters scattered over more chunks than its memory', () => {
    const set = new ClusterSet();
    const scatter = (): void => {
      for (let index = 0; index < 200_000; index += 1) set.add(index * CHUNK);
    };
    expect(scatter).toThrow(expect.objectContaining({ kind: 'over-budget', code: 'QCOW2_CLUSTERS_SCATTERED' }));
  });

  it('shares that memory with the sets it lives with', () => {
    const budget = new ChunkBudget();
    const [a, b] = [new ClusterSet(budget), new ClusterSet(budget)];
    for (let index = 0; index < 100_000; index += 1) a.add(index * CHUNK);
    const scatter = (): void => {
      for (let index = 0; index < 100_000; index += 1) b.add(index * CHUNK);
    };
    expect(scatter).toThrow(expect.objectContaining({ code: 'QCOW2_CLUSTERS_SCATTERED' }));
  });

  it('gets memory back from chunks that have become full word by word', () => {
    const full = new ClusterSet();
    for (let word = 0; word < (150_000 * CHUNK) / 32; word += 1) full.addWord(word * 32, 0xffffffff);
    expect(full.count()).toBe(150_000 * CHUNK);
  });
});

import { GiB, MiB } from '#base';
import type { Growth, Policy } from '#wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type StoreFacts, sumOf } from './admission.ts';
import { type MoveGroup, type MoveInput, planMoves } from './moves.ts';
import { DEFAULT_RULES, mergeRules } from './rules.ts';

const QUIET: Growth = { low: 0, high: 0, samples: 1000, spanSeconds: 604_800, unknown: null };
const NO_LEVEL = { bytes: null, percent: null, seconds: null };
const RULES = mergeRules(DEFAULT_RULES, { warning: NO_LEVEL, critical: NO_LEVEL });

/** 40 GiB are shortfall: 100 available, 140 may still be written. */
const FACTS: StoreFacts = {
  store: 'uuid:here',
  size: 500 * GiB,
  available: 100 * GiB,
  allocation: 400 * GiB,
  residual: 140 * GiB,
  reserved: 0,
  growth: QUIET,
  otherGrowth: QUIET,
  caveat: null,
};
const TARGET: StoreFacts = { ...FACTS, store: 'uuid:there', available: 80 * GiB, allocation: 0, residual: 0 };

/** A group of one image, in GiB: `copied` of it allocated, all of it its own. */
function group(name: string, copied: number, commitment: number, part: Partial<MoveGroup> = {}): MoveGroup {
  return {
    images: [{ id: name, path: `/vm/${name}`, allocation: copied * GiB }],
    machine: null,
    copied: copied * GiB,
    freed: copied * GiB,
    counted: commitment * GiB,
    commitment: commitment * GiB,
    growthHigh: 0,
    inUse: false,
    ...part,
  };
}

function input(groups: readonly MoveGroup[], part: Partial<MoveInput> = {}): MoveInput {
  return { facts: FACTS, rules: RULES, groups, bandwidth: null, ...part };
}

function names(of: MoveInput): string[] {
  return planMoves(of).moves.flatMap(({ images }) => images.map(({ id }) => id));
}

describe('planMoves(): what is chosen', () => {
  it('500 groups at most, and says that more are to come', () => {
    const groups = Array.from({ length: 600 }, (_, index) => group(`g${index}`, 0.01, 0.05));
    const { moves, shortfallAfter, remark } = planMoves(input(groups));
    expect([moves.length, shortfallAfter]).toEqual([500, 40 * GiB - moves.reduce((sum, { relief }) => sum + relief, 0)]);
    expect(remark).toContain('A plan has at most 500 moves: request another plan after them.');
  });

  it('nothing where nothing lacks', () => {
    expect(planMoves(input([group('a', 10, 50)], { facts: { ...FACTS, residual: 100 * GiB } }))).toEqual({
      store: 'uuid:here',
      shortfall: 0,
      moves: [],
      shortfallAfter: 0,
      remark: null,
    });
  });

  it('the sparse image rather than the full one: its residual goes too', () => {
    expect(planMoves(input([group('full', 60, 60), group('sparse', 2, 50)]))).toEqual({
      store: 'uuid:here',
      shortfall: 40 * GiB,
      moves: [
        {
          images: [{ id: 'sparse', path: '/vm/sparse', allocation: 2 * GiB }],
          machine: null,
          from: 'uuid:here',
          to: null,
          copied: 2 * GiB,
          freed: 2 * GiB,
          relief: 50 * GiB,
          remainingOnTarget: null,
          inUse: false,
          reason: 'The image relieves the store by 50 GiB; 2 GiB to copy. It is not in use.',
        },
      ],
      shortfallAfter: 0,
      remark: null,
    });
  });

  it('all that helps where it is not enough, and what lacks then', () => {
    const plan = planMoves(input([group('a', 2, 5), group('b', 10, 12), group('empty', 0, 0)]));
    expect(plan.moves.map(({ images }) => images[0]?.id)).toEqual(['a', 'b']);
    expect(plan).toMatchObject({
      shortfallAfter: 23 * GiB,
      remark: 'Not enough: 23 GiB would still be missing. 1 group of images would not relieve the store.',
    });
  });

  it('no beneficial move', () => {
    expect(planMoves(input([])).remark).toBe('No beneficial move.');
    expect(planMoves(input([group('empty', 0, 0)]))).toMatchObject({ moves: [], shortfall: 40 * GiB, shortfallAfter: 40 * GiB });
  });

  it('the same in whatever order the groups come', () => {
    const groups = [group('c', 10, 20), group('a', 10, 20), group('b', 10, 20), group('d', 10, 20)];
    expect(names(input(groups))).toEqual(['a', 'b']);
    expect(names(input([...groups].reverse()))).toEqual(['a', 'b']);
  });

  it('nothing where the lack is not known', () => {
    expect(planMoves(input([group('a', 10, 50)], { facts: { ...FACTS, residual: null } }))).toEqual({
      store: 'uuid:here',
      shortfall: null,
      moves: [],
      shortfallAfter: null,
      remark: 'The shortfall of the store is unknown. The residual of at least one image is unknown.',
    });
  });

  it('nothing on a filesystem without a size', () => {
    const rules = mergeRules(RULES, { warning: { bytes: 5 } });
    expect(planMoves(input([group('a', 10, 50)], { rules, facts: { ...FACTS, size: 0, available: 0 } }))).toMatchObject({
      shortfall: null,
      moves: [],
      remark: 'The shortfall of the store is unknown. The filesystem reports no size.',
    });
  });

  it('counts of an image that could not be read what it frees', () => {
    const facts = { ...FACTS, residual: null, residualAtLeast: 105 * GiB };
    expect(planMoves(input([group('a', 10, 0, { counted: null, commitment: null })], { facts }))).toMatchObject({
      shortfall: 5 * GiB,
      moves: [{ relief: 10 * GiB }],
      shortfallAfter: null,
      remark: 'The shortfall may be larger than known. The residual of at least one image is unknown.',
    });
  });
});

describe('planMoves(): blocks that are shared', () => {
  it('copies all of a clone, and frees what it alone uses', () => {
    const clone = group('clone', 30, 40, { freed: 5 * GiB });
    const [move] = planMoves(input([clone])).moves;
    expect(move).toMatchObject({ copied: 30 * GiB, freed: 5 * GiB, relief: 40 * GiB });
    expect(move?.reason).toContain('25 GiB of it remain, because other images share them.');
  });

  it('gains available space only what is freed', () => {
    const rules = mergeRules(RULES, { policy: 'entitled', idleShare: 0, floor: 110 * GiB });
    const groups = [group('clone', 30, 40, { freed: 5 * GiB }), group('own', 32, 40)];
    expect(names(input(groups, { rules }))).toEqual(['own']);
  });

  it('are its own on the target', () => {
    const clone = group('clone', 30, 40, { freed: 5 * GiB, counted: 40 * GiB });
    expect(planMoves(input([clone], { target: { facts: TARGET, rules: RULES } })).moves[0]).toMatchObject({
      to: 'uuid:there',
      remainingOnTarget: 40 * GiB,
    });
  });
});

describe('planMoves(): by policy', () => {
  it('entitled: what is freed and a share of the rest', () => {
    const rules = mergeRules(RULES, { policy: 'entitled', idleShare: 0.5, floor: 40 * GiB });
    expect(planMoves(input([group('a', 10, 30)], { rules }))).toMatchObject({ shortfall: 10 * GiB, moves: [{ relief: 20 * GiB }] });
  });

  it('growth: what is freed and the share of the growth', () => {
    const rules = mergeRules(RULES, { policy: 'growth', noticeSeconds: 24, relieveSeconds: 1000 });
    const facts = { ...FACTS, available: 60 * GiB, growth: { ...QUIET, high: 64 * MiB } };
    const groups = [
      // Both together have grown by 128 MiB/s, though never at the same time: a quarter of 64 GiB is the first one's.
      group('slow', 10, 60, { growthHigh: 32 * MiB }),
      group('fast', 20, 60, { growthHigh: 96 * MiB }),
    ];
    const plan = planMoves(input(groups, { facts, rules }));
    expect(plan).toMatchObject({ shortfall: 4 * GiB, moves: [{ images: [{ id: 'slow' }], relief: 26 * GiB }] });
  });

  it('growth: no more growth than the group may still write', () => {
    const rules = mergeRules(RULES, { policy: 'growth', noticeSeconds: 24, relieveSeconds: 1000 });
    const facts = { ...FACTS, available: 60 * GiB, growth: { ...QUIET, high: 64 * MiB } };
    const full = group('full', 10, 11, { growthHigh: 64 * MiB });
    expect(planMoves(input([full], { facts, rules })).moves[0]).toMatchObject({ relief: 11 * GiB });
  });

  it.each<[string, object, number]>([
    ['bytes', { bytes: 110 * GiB }, 10 * GiB + 1],
    ['percent', { percent: 25 }, 25 * GiB + 1],
  ])('the warning by %s is to be passed, whatever the sum', (_, warning, shortfall) => {
    const rules = mergeRules(RULES, { policy: 'entitled', idleShare: 0, warning });
    const plan = planMoves(input([group('sparse', 2, 90), group('full', 30, 30)], { rules }));
    expect(plan).toMatchObject({ shortfall, shortfallAfter: 0, moves: [{ images: [{ id: 'full' }] }] });
  });

  it('the warning by seconds is to be passed', () => {
    const rules = mergeRules(RULES, { policy: 'entitled', idleShare: 0, warning: { seconds: 2048 } });
    const facts = { ...FACTS, growth: { ...QUIET, low: 0, high: 64 * MiB } };
    const plan = planMoves(input([group('full', 30, 30)], { facts, rules }));
    expect(plan).toMatchObject({ shortfall: 28 * GiB + 1, shortfallAfter: 0 });
    const after = { ...facts, available: facts.available + 28 * GiB + 1 };
    expect(planMoves(input([], { facts: after, rules })).shortfall).toBe(0);
  });

  it('the warning can be passed where the sum is not known', () => {
    const rules = mergeRules(RULES, { warning: { bytes: 110 * GiB } });
    const plan = planMoves(input([group('full', 30, 30)], { rules, facts: { ...FACTS, residual: null } }));
    expect(plan).toMatchObject({ shortfall: 10 * GiB + 1, shortfallAfter: null, moves: [{ copied: 30 * GiB }] });
    expect(plan.remark).toMatch(/^The shortfall is unknown; this plan is for the warning level alone\./);
  });
});

describe('planMoves(): onto a target', () => {
  const target = { facts: TARGET, rules: RULES };

  it('takes what the target can promise, not what is best here', () => {
    expect(names(input([group('large', 1, 90), group('small', 20, 60)], { target }))).toEqual(['small']);
  });

  it('says what would break its rules', () => {
    const plan = planMoves(input([group('large', 1, 90)], { target }));
    expect(plan.moves).toEqual([]);
    expect(plan.remark).toBe(
      'No beneficial move. 1 group of images would break the rules of the target. There, as it is now: The committed content of the store fits if every image is filled (policy promise): 80 GiB remain.',
    );
  });

  it('tells what is left after each', () => {
    const plan = planMoves(input([group('a', 5, 25), group('b', 10, 30)], { target }));
    expect(plan.moves.map(({ remainingOnTarget }) => (remainingOnTarget ?? 0) / GiB)).toEqual([55, 25]);
  });

  it('takes no more together than it holds', () => {
    const plan = planMoves(
      input([group('a', 5, 30), group('b', 10, 30), group('c', 10, 30)], { target, facts: { ...FACTS, available: 60 * GiB } }),
    );
    expect(plan.moves).toHaveLength(2);
    expect(plan).toMatchObject({ shortfall: 80 * GiB, shortfallAfter: 20 * GiB });
    expect(plan.remark).toContain('1 group of images would not fit on the target beside the others.');
  });

  it('takes none whose future is not known, and none onto a target in caveat', () => {
    expect(names(input([group('a', 5, 50, { commitment: null })], { target }))).toEqual([]);
    expect(names(input([group('a', 5, 50)], { target: { ...target, facts: { ...TARGET, caveat: 'An estimate.' } } }))).toEqual([]);
  });

  it('watches the growth that comes there', () => {
    const watching = { facts: { ...TARGET, available: 20 * GiB }, rules: mergeRules(RULES, { policy: 'growth' }) };
    const grows = (growthHigh: number | null): MoveGroup => group('a', 5, 50, { growthHigh });
    expect(names(input([grows(MiB)], { target: watching }))).toEqual(['a']);
    expect(names(input([grows(64 * MiB)], { target: watching }))).toEqual([]);
    expect(names(input([grows(null)], { target: watching }))).toEqual([]);
  });

  it('is another store', () => {
    expect(planMoves(input([group('a', 5, 50)], { target: { facts: FACTS, rules: RULES } }))).toMatchObject({
      moves: [],
      remark: 'No beneficial move. The target is the store itself.',
    });
  });
});

describe('planMoves(): in time', () => {
  const filling = { ...FACTS, growth: { ...QUIET, low: 10 * MiB, high: 100 * MiB } };

  it('says how long a copy takes, beside what is written meanwhile', () => {
    const running = group('a', 10, 60, { inUse: true, machine: 'web', growthHigh: 28 * MiB });
    expect(planMoves(input([running], { bandwidth: 128 * MiB })).moves[0]?.reason).toBe(
      'The VM web relieves the store by 60 GiB; 10 GiB to copy. Copying takes 103 s or more. It is in use: move it live, with its VM.',
    );
  });

  it('leaves what grows faster than it can be copied', () => {
    const running = group('a', 10, 60, { inUse: true, growthHigh: 128 * MiB });
    expect(planMoves(input([running], { bandwidth: 128 * MiB })).remark).toBe(
      'No beneficial move. 1 group of images cannot be moved in time.',
    );
    expect(names(input([{ ...running, inUse: false }], { bandwidth: 128 * MiB }))).toEqual(['a']);
  });

  it('leaves what takes longer than the store has', () => {
    // 100 GiB at 100 MiB/s: 1024 s.
    const groups = [group('a', 10, 60)];
    expect(names(input(groups, { facts: filling, bandwidth: 10 * MiB }))).toEqual(['a']);
    expect(names(input(groups, { facts: filling, bandwidth: 9 * MiB }))).toEqual([]);
  });

  it('says when all together take longer than that', () => {
    const groups = [group('a', 10, 20), group('b', 10, 20)];
    const plan = planMoves(input(groups, { facts: filling, bandwidth: 15 * MiB }));
    expect(plan.moves).toHaveLength(2);
    expect(plan.remark).toBe('One after the other they take 22 min, and the store may be full in 17 min.');
  });
});

describe('every plan', () => {
  const size = fc.integer({ min: 0, max: 100 });
  const groups = fc
    .array(fc.record({ copied: size, more: size, shared: size, growth: size, inUse: fc.boolean() }), { maxLength: 12 })
    .map((all) =>
      all.map(({ copied, more, shared, growth, inUse }, index) =>
        group(`g${index}`, copied, copied + more, { freed: Math.min(copied, shared) * GiB, growthHigh: growth * MiB, inUse }),
      ),
    );
  const policies = fc.constantFrom<Policy>('promise', 'growth', 'entitled');

  /** The store without what a plan moved, as a scan would find it. */
  function without(facts: StoreFacts, gone: readonly MoveGroup[]): StoreFacts {
    const freed = gone.reduce((sum, one) => sum + one.freed, 0);
    const residual = gone.reduce((sum, one) => sum + (one.counted ?? 0) - one.freed, 0);
    return { ...facts, available: facts.available + freed, residual: (facts.residual ?? 0) - residual };
  }

  it('keeps what it says: the sum afterwards lacks no more, and the target is in order', () => {
    fc.assert(
      fc.property(groups, policies, size, fc.integer({ min: 0, max: 400 }), (some, policy, available, room) => {
        const residual = some.reduce((sum, one) => sum + (one.counted ?? 0) - one.freed, 0);
        const highs = some.reduce((sum, one) => sum + (one.growthHigh ?? 0), 0);
        const facts = { ...FACTS, available: available * GiB, residual, growth: { ...QUIET, high: highs } };
        const rules = mergeRules(RULES, { policy, floor: 50 * GiB });
        const target = { facts: { ...TARGET, available: room * GiB }, rules: RULES };
        const plan = planMoves({ facts, rules, groups: some, target, bandwidth: null });
        const gone = some.filter((one) => plan.moves.some(({ images }) => images === one.images));
        const kept = without(facts, gone);
        const growth = { ...QUIET, high: highs - gone.reduce((sum, one) => sum + (one.growthHigh ?? 0), 0) };
        const left = sumOf({ ...kept, growth }, rules).remaining as number;
        // A share of the residual is rounded for each group.
        expect(Math.max(0, -left)).toBeLessThanOrEqual((plan.shortfallAfter as number) + 12);
        const needed = gone.reduce((sum, one) => sum + (one.commitment ?? 0), 0);
        expect(needed).toBeLessThanOrEqual(room * GiB);
        for (const { relief } of plan.moves) expect(relief).toBeGreaterThan(0);
      }),
    );
  });
});

describe('planMoves(): growth in files that are not images', () => {
  const WARNING = mergeRules(DEFAULT_RULES, { warning: { ...NO_LEVEL, seconds: 86_400 }, critical: NO_LEVEL });
  const busy = (rate: number): StoreFacts => ({
    ...FACTS,
    size: 252 * GiB,
    allocation: 100 * GiB,
    residual: 0,
    otherGrowth: { ...QUIET, high: rate },
  });

  it('is named, and nothing is proposed, where no move can help', () => {
    const groups = Array.from({ length: 9 }, (_, index) => group(`g${index}`, 10, 12));
    const plan = planMoves(input(groups, { facts: busy(45 * MiB), rules: WARNING }));
    expect(plan).toEqual({ store: 'uuid:here', shortfall: 0, moves: [], shortfallAfter: 0, remark: expect.any(String) });
    expect(plan.remark).toMatch(
      /^The growth is in files that are not images: up to 45 MiB\/s, and the floor may be reached in .*find the process that writes there\.$/,
    );
  });

  it('is named under the policy growth, where it alone exceeds the sum', () => {
    const rules = mergeRules(WARNING, { policy: 'growth', warning: NO_LEVEL });
    const plan = planMoves(input([group('a', 10, 12)], { facts: busy(200 * MiB), rules }));
    expect([plan.shortfall, plan.moves, plan.remark]).toEqual([0, [], expect.stringContaining('files that are not images')]);
  });

  it('leaves the moves that help against another shortfall', () => {
    const rules = mergeRules(WARNING, { warning: { bytes: 105 * GiB, percent: null, seconds: 86_400 } });
    const plan = planMoves(input([group('a', 10, 12), group('b', 2, 2)], { facts: busy(45 * MiB), rules }));
    expect([plan.shortfall, plan.moves.map(({ freed }) => freed)]).toEqual([5 * GiB + 1, [10 * GiB]]);
    expect(plan.remark).toMatch(/^The growth is in files that are not images/);
  });

  it('is no reason against moves that are enough', () => {
    const plan = planMoves(input([group('a', 60, 60)], { facts: busy(1.5 * MiB), rules: WARNING }));
    expect([plan.moves.length, plan.shortfallAfter, plan.remark]).toEqual([1, 0, null]);
  });
});

import type { Growth } from '#wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoreFacts } from './admission.ts';
import { EXTRAPOLATION, forecastStore, outlookTo } from './forecast.ts';
import { DEFAULT_RULES, mergeRules } from './rules.ts';

const DAY = 24 * 3600;

const STEADY: Growth = { low: 10, high: 20, samples: 1000, spanSeconds: DAY, unknown: null };

describe('outlookTo()', () => {
  it.each<[string, number | null, Partial<Growth>, number | null, object]>([
    ['between the bounds', 7200, {}, null, { outcome: 'expected', earliest: 360, latest: 720, reason: null }],
    ['rounded away from each other', 7205, { low: 11 }, null, { earliest: 360, latest: 655 }],
    ['reached', 0, {}, null, { outcome: 'reached', earliest: 0, latest: 0 }],
    ['reached long ago', -5, { low: null, high: null }, 0, { outcome: 'reached' }],
    ['never: less is to come', 7200, {}, 7199, { outcome: 'never', earliest: null, latest: null }],
    ['never, whatever the growth', 7200, { low: null, high: null, unknown: 'Too short.' }, 7199, { outcome: 'never' }],
    ['just so', 7200, {}, 7200, { outcome: 'expected', earliest: 360, latest: 720 }],
    ['distance not known', null, {}, 5, { outcome: 'unknown', reason: 'The distance to it is unknown.' }],
    ['growth not known', 5, { low: null, high: null, unknown: 'Too short.' }, null, { outcome: 'unknown', reason: 'Too short.' }],
    ['no growth', 5, { low: -3, high: 0 }, null, { outcome: 'unknown', reason: expect.stringContaining('No growth in the 24 h') }],
    [
      'low growth does not lead there',
      7200,
      { low: 0 },
      null,
      { earliest: 360, latest: null, reason: 'At the low growth it is never reached.' },
    ],
    [
      'low growth leads there too late to tell',
      20 * EXTRAPOLATION * DAY,
      {},
      null,
      { outcome: 'expected', earliest: EXTRAPOLATION * DAY, latest: null, reason: 'At the low growth not within 10 days.' },
    ],
    [
      'too far away to tell',
      20 * EXTRAPOLATION * DAY + 20,
      {},
      null,
      {
        outcome: 'unknown',
        earliest: null,
        reason: 'Not within 10 days at the observed growth; 24 h of history do not support a longer forecast.',
      },
    ],
  ])('%s', (_, distance, growth, mostToCome, expected) => {
    expect(outlookTo(distance, { ...STEADY, ...growth }, mostToCome)).toMatchObject(expected);
  });

  it('is earlier at the high growth, never later than at the low one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 45 }), fc.integer({ min: -9, max: 2 ** 30 }), fc.nat(2 ** 30), (distance, low, more) => {
        const { earliest, latest } = outlookTo(distance, { ...STEADY, low, high: Math.max(0, low) + more }, null);
        if (latest !== null) expect(earliest).toBeLessThanOrEqual(latest);
      }),
    );
  });
});

const QUIET: Growth = { ...STEADY, low: 0, high: 0 };
const FACTS: StoreFacts = {
  store: 'uuid:1',
  size: 1_000_000,
  available: 500_000,
  allocation: 500_000,
  residual: 400_000,
  reserved: 0,
  growth: STEADY,
  otherGrowth: QUIET,
  caveat: null,
};
const RULES = mergeRules(DEFAULT_RULES, {
  policy: 'entitled',
  idleShare: 0,
  floor: 200_000,
  warning: { bytes: null, percent: null, seconds: null },
  critical: { bytes: null, percent: null, seconds: null },
});

describe('forecastStore()', () => {
  it('leads to the floor, and never past the commitments', () => {
    expect(forecastStore(FACTS, RULES)).toMatchObject({
      growth: { low: 10, high: 20, unknown: null },
      toFloor: { outcome: 'expected', earliest: 15_000, latest: 30_000 },
      toFull: { outcome: 'never' },
    });
  });

  it('goes on at the growth of other files when the images are full', () => {
    const { toFull, growth } = forecastStore({ ...FACTS, residual: 200_000, otherGrowth: { ...QUIET, low: 1, high: 5 } }, RULES);
    expect(growth).toMatchObject({ low: 11, high: 25 });
    // 300,000 of others at 5/s, and 200,000 of images meanwhile; at the low bound 300,000 at 1/s.
    expect(toFull).toMatchObject({ outcome: 'expected', earliest: 60_000, latest: 300_000 });
  });

  it('is never full of files that grow, while other files shrink as fast', () => {
    const { toFull } = forecastStore({ ...FACTS, residual: null, otherGrowth: { ...QUIET, low: -10 } }, RULES);
    expect(toFull).toMatchObject({ earliest: 25_000, latest: null });
  });

  it.each([
    ['bytes', { bytes: 100_000 }, 10_000],
    ['percent', { percent: 40 }, 5_000],
    ['seconds', { seconds: 12_000 }, 3_000],
    ['the first of them', { bytes: 100_000, percent: 40, seconds: 14_000 }, 1_000],
  ])('to warning by %s', (_, warning, earliest) => {
    expect(forecastStore(FACTS, mergeRules(RULES, { warning })).toWarning).toMatchObject({ outcome: 'expected', earliest });
  });

  it('to warning by seconds, where images are full before: by what the others bring', () => {
    const facts = { ...FACTS, residual: 200_000, otherGrowth: { ...QUIET, low: 1, high: 5 } };
    // The floor is 300,000 away. At 5/s the others bring 100,000 of it in 20,000 s; 10,000 s before, 50,000 are left to them.
    expect(forecastStore(facts, mergeRules(RULES, { warning: { seconds: 10_000 } })).toWarning).toMatchObject({
      outcome: 'expected',
      earliest: 10_000,
      latest: 50_000,
    });
  });

  it.each([
    ['bytes', { bytes: 300_000 }],
    ['percent', { percent: 50 }],
    ['seconds', { seconds: 15_000 }],
  ])('in warning by %s', (_, warning) => {
    expect(forecastStore(FACTS, mergeRules(RULES, { warning })).toWarning.outcome).toBe('reached');
  });

  it('in warning where the sum is short', () => {
    const { toWarning, toCritical } = forecastStore(FACTS, mergeRules(RULES, { policy: 'promise', warning: { percent: 10 } }));
    expect([toWarning.outcome, toCritical.outcome]).toEqual(['reached', 'unknown']);
  });

  it('knows what is reached without any history', () => {
    const unseen: Growth = { low: null, high: null, samples: 0, spanSeconds: 0, unknown: 'No history.' };
    const { toWarning, toCritical, growth } = forecastStore(
      { ...FACTS, residual: null, growth: unseen },
      mergeRules(RULES, { warning: { percent: 50 }, critical: { percent: 5 } }),
    );
    expect([toWarning.outcome, toCritical.outcome, toCritical.reason, growth.unknown]).toEqual([
      'reached',
      'unknown',
      'No history.',
      'No history.',
    ]);
  });

  it('knows nothing of a filesystem without a size', () => {
    const { toFloor, toWarning } = forecastStore({ ...FACTS, size: 0, available: 0 }, mergeRules(RULES, { warning: { seconds: 60 } }));
    expect([toFloor.outcome, toWarning.outcome]).toEqual(['unknown', 'unknown']);
  });

  it('comes to full no sooner than to the floor, and to critical no sooner than to warning', () => {
    const rate = fc.nat(1000);
    fc.assert(
      fc.property(rate, rate, rate, fc.option(fc.nat(600_000), { nil: null }), (low, more, other, residual) => {
        const facts = { ...FACTS, residual, growth: { ...STEADY, low, high: low + more }, otherGrowth: { ...QUIET, high: other } };
        const levels = { warning: { percent: 40, seconds: 700 }, critical: { percent: 30, seconds: 70 } };
        const { toWarning, toCritical, toFloor, toFull } = forecastStore(facts, mergeRules(RULES, levels));
        const at = ({ earliest }: { earliest: number | null }): number => earliest ?? Infinity;
        expect(at(toFloor)).toBeLessThanOrEqual(at(toFull));
        expect(at(toWarning)).toBeLessThanOrEqual(at(toCritical));
        for (const { earliest, latest } of [toWarning, toCritical, toFloor, toFull]) {
          if (latest !== null) expect(earliest).toBeLessThanOrEqual(latest);
        }
      }),
    );
  });
});

describe('forecastStore() where data is copied on write', () => {
  it('never says never: the residual does not bound what is taken', () => {
    const quiet = { ...STEADY, low: 0, high: 0 };
    const facts: StoreFacts = { ...FACTS, residual: 0, reserved: 0, growth: quiet, otherGrowth: quiet, caveat: 'It copies on write.' };
    expect(forecastStore(facts, DEFAULT_RULES).toFull.outcome).toBe('never');
    const { toFloor, toFull } = forecastStore({ ...facts, copyOnWriteReserve: 0 }, DEFAULT_RULES);
    expect([toFloor.outcome, toFull.outcome]).toEqual(['unknown', 'unknown']);
  });
});

import { GiB, MiB } from '#base';
import type { Growth } from '#wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoreFacts } from './admission.ts';
import { EXTRAPOLATION, forecastStore, growthOf, outlookTo, type SizePoint } from './forecast.ts';
import { DEFAULT_RULES, mergeRules } from './rules.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;
const NOW = Date.UTC(2026, 8, 1);

/** Samples of `bytesAt` (seconds since the first) every `step` seconds, the last of them now. */
function history(seconds: number, step: number, bytesAt: (second: number) => number): SizePoint[] {
  const count = Math.floor(seconds / step);
  return Array.from({ length: count + 1 }, (_, index) => ({
    atMs: NOW - (count - index) * step * 1000,
    bytes: Math.round(bytesAt(index * step)),
  }));
}

/** Bytes at `second` when `rate` is written for `on` of each `period` seconds. */
function bursts(second: number, { rate, on, period }: { rate: number; on: number; period: number }): number {
  return rate * (Math.floor(second / period) * on + Math.min(second % period, on));
}

function bounds(points: readonly SizePoint[], nowMs = NOW): [number, number] {
  const { low, high } = growthOf(points, nowMs);
  return [low ?? Number.NaN, high ?? Number.NaN];
}

describe('growthOf(): patterns', () => {
  it('constant: none', () => {
    expect(
      growthOf(
        history(DAY, 60, () => 5 * GiB),
        NOW,
      ),
    ).toEqual({ low: 0, high: 0, samples: 1441, spanSeconds: DAY, unknown: null });
  });

  it('linear: its rate', () => {
    const [low, high] = bounds(history(DAY, 60, (second) => second * MiB));
    expect([low, high]).toEqual([MiB, MiB]);
  });

  it('bursts of 6 minutes an hour: the average below, no more than the burst above', () => {
    const [low, high] = bounds(history(2 * DAY, 60, (second) => bursts(second, { rate: 10 * MiB, on: 360, period: HOUR })));
    expect(low).toBeGreaterThan(0.8 * MiB);
    expect(low).toBeLessThanOrEqual(MiB);
    // As much as half an hour can bring, which is what has to be relieved.
    expect(high).toBeGreaterThanOrEqual((10 * MiB * 360) / 1800);
    expect(high).toBeLessThanOrEqual(10 * MiB);
  });

  it('bursts of an hour in ten: the burst itself above', () => {
    const [low, high] = bounds(history(4 * DAY, 60, (second) => bursts(second, { rate: 10 * MiB, on: HOUR, period: 10 * HOUR })));
    expect(high).toBe(10 * MiB);
    expect(low).toBeGreaterThan(0);
    expect(low).toBeLessThanOrEqual(MiB);
  });

  it('a daily pattern: the working hours above, the nights in the average below', () => {
    const [low, high] = bounds(history(6 * DAY, 300, (second) => bursts(second, { rate: 2 * MiB, on: 12 * HOUR, period: DAY })));
    expect(high).toBe(2 * MiB);
    expect(low).toBeGreaterThan(0.5 * MiB);
    expect(low).toBeLessThanOrEqual(MiB);
  });

  it('a sawtooth of writing and discarding: the rise above, no growth below', () => {
    const [low, high] = bounds(history(2 * DAY, 60, (second) => (second % (6 * HOUR)) * MiB));
    expect(high).toBe(MiB);
    expect(low).toBeLessThanOrEqual(0);
  });

  it('shrinking: less than nothing below, nothing above', () => {
    expect(bounds(history(DAY, 60, (second) => GiB * 1000 - second * MiB))).toEqual([-MiB, 0]);
  });

  it('one step: spread over a quarter of the history at most, not taken for growth', () => {
    const [low, high] = bounds(history(DAY, 60, (second) => (second < DAY / 2 ? 0 : 10 * GiB)));
    expect(low).toBe(0);
    expect(high).toBeLessThanOrEqual(Math.ceil((10 * GiB) / (DAY / 4)));
  });

  it('one step just now: the same', () => {
    const [low, high] = bounds(history(DAY, 60, (second) => (second < DAY - 300 ? 0 : 10 * GiB)));
    expect(low).toBe(0);
    expect(high).toBeLessThanOrEqual(Math.ceil((10 * GiB) / (DAY / 4)));
  });

  it('a step a day, every day: their average above', () => {
    const [, high] = bounds(history(7 * DAY, 300, (second) => Math.floor(second / DAY) * 10 * GiB));
    expect(high).toBeGreaterThanOrEqual((10 * GiB) / DAY);
    expect(high).toBeLessThanOrEqual((2 * 10 * GiB) / DAY);
  });

  it('a burst that has just begun: counts after four minutes', () => {
    const quiet = history(7 * DAY, 60, () => 0);
    const since = (minutes: number): SizePoint[] => [
      ...quiet,
      ...Array.from({ length: minutes }, (_, index) => ({ atMs: NOW + (index + 1) * 60_000, bytes: (index + 1) * 60 * 100 * MiB })),
    ];
    expect(bounds(since(1), NOW + 60_000)[1]).toBeLessThan(MiB);
    expect(bounds(since(4), NOW + 240_000)[1]).toBe(100 * MiB);
  });

  it('noise of 64 MiB round a line: both bounds round its rate', () => {
    const noise = (second: number): number => Math.sin(second * second) * 64;
    const [low, high] = bounds(history(2 * DAY, 60, (second) => second * 64 * 1024 + noise(second) * MiB));
    expect(low).toBeLessThanOrEqual(64 * 1024);
    expect(low).toBeGreaterThan(50 * 1024);
    expect(high).toBeGreaterThanOrEqual(64 * 1024);
    expect(high).toBeLessThan(1024 * 1024);
  });

  it('samples by the hour: enough for a line, not for bursts', () => {
    expect(bounds(history(2 * DAY, HOUR, (second) => second * MiB))).toEqual([MiB, MiB]);
  });
});

describe('growthOf(): what is not known', () => {
  it.each([
    [0, 60, 'The history has 1 sample over 0 s; growth is told from 10 samples over 10 min on.'],
    [8 * 60, 60, 'The history has 9 samples over 8 min; growth is told from 10 samples over 10 min on.'],
    [590, 1, 'The history has 591 samples over 9 min; growth is told from 10 samples over 10 min on.'],
  ])('a history of %d s, sampled every %d s', (seconds, step, unknown) => {
    expect(
      growthOf(
        history(seconds, step, () => 7),
        NOW,
      ),
    ).toMatchObject({ low: null, high: null, spanSeconds: seconds, unknown });
  });

  it('no history', () => {
    expect(growthOf([], NOW)).toMatchObject({ samples: 0, unknown: expect.stringContaining('has no samples') });
  });

  it('a history whose latest sample is old', () => {
    const points = history(DAY, 60, () => 7);
    expect(growthOf(points, NOW + HOUR * 1000).unknown).toBeNull();
    expect(growthOf(points, NOW + HOUR * 1000 + 1000).unknown).toBe('The latest sample is 60 min old.');
    expect(
      growthOf(
        history(20 * HOUR, HOUR, () => 7),
        NOW + 3 * HOUR * 1000,
      ).unknown,
    ).toBeNull();
  });

  it('the shortest history that will do is one', () => {
    expect(
      growthOf(
        history(600, 60, (second) => second),
        NOW,
      ),
    ).toMatchObject({ low: 1, high: 1, samples: 11, spanSeconds: 600 });
  });

  it('what is older than a week is left out', () => {
    expect(
      growthOf(
        history(10 * DAY, HOUR, (second) => (second < 2 * DAY ? second * GiB : 0)),
        NOW,
      ),
    ).toMatchObject({
      low: 0,
      high: 0,
      spanSeconds: 7 * DAY,
    });
  });
});

describe('growthOf(): a clock that jumps, and bad samples', () => {
  const line = history(DAY, 60, (second) => second * MiB);

  it('samples of the future do not count', () => {
    expect(growthOf([...line, { atMs: NOW + 1, bytes: 1e15 }], NOW)).toEqual(growthOf(line, NOW));
  });

  it('a clock set back: what was recorded later stands', () => {
    const early = line.map(({ atMs, bytes }) => ({ atMs: atMs + HOUR * 1000, bytes }));
    const after = line.map(({ bytes }, index) => ({ atMs: NOW + index * 60_000, bytes: bytes + DAY * MiB }));
    const growth = growthOf([...early, ...after], NOW + DAY * 1000);
    // The hour that was taken back is a single step.
    expect(growth).toMatchObject({ low: MiB, samples: 2 * line.length - 61 });
    expect(growth.high).toBeGreaterThanOrEqual(MiB);
    expect(growth.high).toBeLessThan(1.2 * MiB);
  });

  it('a clock set forward by an hour: slower for a while, never faster', () => {
    const points = line.map(({ atMs, bytes }, index) => ({ atMs: atMs + (index > 700 ? HOUR * 1000 : 0), bytes }));
    const [low, high] = bounds(points, NOW + HOUR * 1000);
    expect(high).toBe(MiB);
    expect(low).toBeGreaterThan(0.8 * MiB);
  });

  it('a sample twice, or twice at one time: the later one stands', () => {
    const twice = line.flatMap((point) => [{ ...point, bytes: 0 }, point, point]);
    expect(growthOf(twice, NOW)).toEqual(growthOf(line, NOW));
  });

  it('what is no number is left out', () => {
    const bad = [
      { atMs: Number.NaN, bytes: 1 },
      { atMs: NOW - 5, bytes: Number.NaN },
      { atMs: NOW - 5, bytes: Infinity },
    ];
    expect(growthOf([...line.slice(0, -1), ...bad, ...line.slice(-1)], NOW)).toEqual(growthOf(line, NOW));
  });

  it('a gap of eight hours: its average', () => {
    const points = line.filter((_, index) => index < 300 || index > 780);
    expect(bounds(points)).toEqual([MiB, MiB]);
  });
});

/** Irregular times, at least 10 of them over more than 10 minutes. */
const times = fc
  .array(fc.integer({ min: 1, max: 1200 }), { minLength: 20, maxLength: 200 })
  .filter((steps) => steps.reduce((sum, step) => sum + step, 0) > 1200)
  .map((steps) => {
    const ends: number[] = [];
    let last = 0;
    for (const step of steps) ends.push((last += step));
    return ends.map((second) => ({ atMs: NOW - (last - second) * 1000, second }));
  });
const walk = fc
  .tuple(times, fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 200, maxLength: 200 }))
  .map(([at, moves]) => at.map(({ atMs }, index) => ({ atMs, bytes: moves.slice(0, index).reduce((sum, move) => sum + move * MiB, GiB) })));

describe('growthOf(): of any history', () => {
  it('the bounds of a line are next to its rate', () => {
    fc.assert(
      fc.property(times, fc.integer({ min: -1000, max: 100_000_000 }), (at, rate) => {
        const [low, high] = bounds(at.map(({ atMs, second }) => ({ atMs, bytes: second * rate })));
        expect(low).toBeLessThanOrEqual(rate);
        expect(low).toBeGreaterThanOrEqual(rate - 1);
        expect(high).toBeGreaterThanOrEqual(Math.max(0, rate));
        expect(high).toBeLessThanOrEqual(Math.max(0, rate + 1));
      }),
    );
  });

  it('low is not above high, and high not below 0', () => {
    fc.assert(
      fc.property(walk, (points) => {
        const [low, high] = bounds(points);
        expect(low).toBeLessThanOrEqual(high);
        expect(high).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('is the same wherever it begins, in bytes and in time', () => {
    fc.assert(
      fc.property(walk, fc.integer({ min: 0, max: 2 ** 40 }), fc.integer({ min: 0, max: 1e6 }), (points, bytes, seconds) => {
        const moved = points.map((point) => ({ atMs: point.atMs + seconds * 1000, bytes: point.bytes + bytes }));
        const [[low, high], [movedLow, movedHigh]] = [bounds(points), bounds(moved, NOW + seconds * 1000)];
        expect(Math.abs(low - movedLow)).toBeLessThanOrEqual(1);
        expect(Math.abs(high - movedHigh)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('is as many times as fast as the sizes are large', () => {
    fc.assert(
      fc.property(walk, fc.integer({ min: 2, max: 100 }), (points, factor) => {
        const scaled = points.map(({ atMs, bytes }) => ({ atMs, bytes: bytes * factor }));
        const [[low, high], [scaledLow, scaledHigh]] = [bounds(points), bounds(scaled)];
        expect(Math.abs(low * factor - scaledLow)).toBeLessThanOrEqual(factor + 1);
        expect(Math.abs(high * factor - scaledHigh)).toBeLessThanOrEqual(factor + 1);
      }),
    );
  });
});

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
    ['distance not known', null, {}, 5, { outcome: 'unknown', reason: 'How far away it is, is not known.' }],
    ['growth not known', 5, { low: null, high: null, unknown: 'Too short.' }, null, { outcome: 'unknown', reason: 'Too short.' }],
    ['no growth', 5, { low: -3, high: 0 }, null, { outcome: 'unknown', reason: expect.stringContaining('Nothing grew in the 24 h') }],
    [
      'low growth does not lead there',
      7200,
      { low: 0 },
      null,
      { earliest: 360, latest: null, reason: 'The low growth does not lead there.' },
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
        reason: 'Not within 10 days at the growth that was seen; 24 h of history support no further look.',
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
  doubt: null,
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

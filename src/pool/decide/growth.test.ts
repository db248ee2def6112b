import { GiB, MiB } from '#base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { growthOf, type SizePoint } from './growth.ts';

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
    [0, 60, 'The history has 1 sample over 0 s; estimating growth needs 10 samples over 10 min.'],
    [8 * 60, 60, 'The history has 9 samples over 8 min; estimating growth needs 10 samples over 10 min.'],
    [590, 1, 'The history has 591 samples over 9 min; estimating growth needs 10 samples over 10 min.'],
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

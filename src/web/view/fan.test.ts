import { describe, expect, it } from 'vitest';
import type { Growth, StoreSample, StoreView } from '#wire';
import { fanOf, promisedOf, summarizeTrend, thin, trendOf } from './fan.ts';

const HOUR_MS = 3_600_000;
const NOW = Date.parse('2026-11-23T12:00:00Z');
const growth = (low: number | null, high: number | null): Growth => ({
  low,
  high,
  samples: 9,
  spanSeconds: 9,
  unknown: low === null ? 'too short' : null,
});

describe('fanOf()', () => {
  it('starts at the current use, between the low and the high growth', () => {
    const fan = fanOf(1000, growth(1, 3), null, NOW, NOW + 100_000);
    expect(fan[0]).toEqual({ atMs: NOW, low: 1000, high: 1000 });
    expect(fan.at(-1)).toEqual({ atMs: NOW + 100_000, low: 1100, high: 1300 });
  });

  it('never exceeds the use with every promise written', () => {
    const fan = fanOf(1000, growth(1, 300), 1200, NOW, NOW + 1_000_000);
    expect(Math.max(...fan.map(({ high }) => high))).toBe(1200);
    expect(fan.at(-1)?.low).toBe(1200);
  });

  it('never falls below zero', () => {
    expect(fanOf(10, growth(-5, -1), null, NOW, NOW + 100_000).at(-1)).toMatchObject({ low: 0, high: 0 });
  });

  it('is absent without a known growth or a future', () => {
    expect([fanOf(1, growth(null, null), null, NOW, NOW + 1), fanOf(1, growth(1, 1), null, NOW, NOW)]).toEqual([[], []]);
  });
});

function aStore(speed: Growth): StoreView {
  const outlook = { outcome: 'expected', earliest: 7200, latest: 10_800, reason: null };
  return {
    size: 1000,
    available: 600,
    allocation: 300,
    residual: 350,
    reserved: 50,
    floor: 100,
    forecast: { growth: speed, toFloor: outlook },
  } as unknown as StoreView;
}

const sample = (hoursAgo: number): StoreSample => ({
  at: new Date(NOW - hoursAgo * HOUR_MS).toISOString(),
  size: 1000,
  available: 700,
  allocation: 200,
  commitment: 550,
  residual: null,
  reserved: 0,
});

describe('trendOf()', () => {
  it('has columns of equal length, ascending in time, the future after the past', () => {
    const { noFan, ...columns } = trendOf([sample(2), sample(1)], aStore(growth(0.001, 0.002)), NOW, 24 * HOUR_MS);
    expect(new Set(Object.values(columns).map((column) => column.length)).size).toBe(1);
    expect(columns.at).toEqual([...columns.at].sort((one, other) => one - other));
    expect(columns.at.at(-1)).toBe((NOW + HOUR_MS) / 1000);
    expect(columns.used.slice(0, 4)).toEqual([300, 300, 400, null]);
    expect(columns.low.slice(0, 3)).toEqual([null, null, 400]);
    expect(columns.promised.slice(0, 4)).toEqual([null, null, 800, null]);
    expect(new Set(columns.loadLine)).toEqual(new Set([900]));
    expect(noFan).toBeNull();
  });

  it('ends now, with the reason, without a forecast', () => {
    const trend = trendOf([sample(1)], aStore(growth(null, null)), NOW, HOUR_MS);
    expect([trend.at.at(-1), trend.noFan]).toEqual([NOW / 1000, 'too short']);
  });

  it('leaves out samples with a time in the future', () => {
    expect(trendOf([sample(-5)], aStore(growth(null, null)), NOW, HOUR_MS).at).toEqual([NOW / 1000]);
  });
});

it('summarizeTrend() describes the chart, and why there is no forecast', () => {
  expect(summarizeTrend([sample(1)], aStore(growth(1, 2)), NOW)).toMatch(
    /^Used: 300 B at .*, 400 B now\. The load line is at 900 B of 1000 B\. .* in 2 to 3 h\.$/,
  );
  expect(summarizeTrend([], aStore(growth(null, null)), NOW)).toContain(
    'no history yet. The load line is at 900 B of 1000 B. No forecast: too short.',
  );
});

it('promisedOf() is unknown without a residual', () => {
  expect(promisedOf({ size: 10, available: 4, residual: null, reserved: 0 })).toBeNull();
});

it.each([
  [[1, 2, 3], 5, [1, 2, 3]],
  [[1, 2, 3, 4, 5, 6, 7, 8, 9], 3, [1, 5, 9]],
])('thin(%j, %d) is %j', (rows, count, expected) => {
  expect(thin(rows, count)).toEqual(expected);
});

import { describe, expect, it } from 'vitest';
import type { Outlook } from '#wire';
import { describeAge, describeGrowth, describeOutlook, describeUntil, formatDuration, parseDuration } from './durations.ts';

const DAY = 86_400;

it.each([
  [0, '0 s'],
  [-5, '0 s'],
  [89, '89 s'],
  [720, '12 min'],
  [3 * 3600, '3 h'],
  [9 * DAY, '9 days'],
  [200 * DAY, '7 months'],
  [12 * 365 * DAY, '12 years'],
  [1e12, 'more than 100 years'],
])('formatDuration(%d) is %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

describe('describeOutlook()', () => {
  const expected = (earliest: number | null, latest: number | null): Outlook => ({ outcome: 'expected', earliest, latest, reason: null });
  it.each([
    [expected(9 * DAY, 21 * DAY), 'in 9 to 21 days'],
    [expected(3 * 3600, 2 * DAY), 'in 3 h to 2 days'],
    [expected(9 * DAY, 9 * DAY), 'in 9 days'],
    [expected(9 * DAY, null), 'in 9 days at the earliest'],
    [expected(null, 9 * DAY), 'in 9 days at the latest'],
    [expected(null, null), 'unknown'],
    [{ ...expected(0, 0), outcome: 'reached' } as const, 'now'],
    [{ ...expected(null, null), outcome: 'never' } as const, 'never'],
    [{ ...expected(null, null), outcome: 'unknown', reason: 'too short' } as const, 'unknown'],
  ])('of %j is %s', (outlook, text) => {
    expect(describeOutlook(outlook)).toBe(text);
  });
});

it.each([
  [{ low: null, high: null }, 'unknown'],
  [{ low: 0, high: 0 }, 'none'],
  [{ low: 1024 / DAY, high: 2048 / DAY }, '1\u00a0KiB to 2\u00a0KiB'],
  [{ low: 1024 / DAY, high: 1024 / DAY }, '1\u00a0KiB'],
])('describeGrowth(%j) is %s', (bounds, text) => {
  expect(describeGrowth({ ...bounds, samples: 9, spanSeconds: DAY, unknown: null })).toBe(text);
});

it.each([
  ['15m', 900],
  ['2h', 7200],
  ['1d', DAY],
  ['90', 90],
  [' 45 s ', 45],
  ['0m', undefined],
  ['', undefined],
  ['m', undefined],
  ['1w', undefined],
  ['1.5h', undefined],
  ['-1h', undefined],
])('parseDuration(%j) is %j', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds);
});

it('ages and deadlines are relative to now', () => {
  expect([describeAge(0, 2000), describeAge(0, 600_000), describeUntil(600_000, 0), describeUntil(0, 1)]).toEqual([
    'just now',
    '10 min ago',
    'in 10 min',
    'over',
  ]);
});

import { describe, expect, it } from 'vitest';
import { formatDuration, progressBar, progressText, RateMeter } from './progress.ts';

const GiB = 2 ** 30;
const half = { doneBytes: 20 * GiB, totalBytes: 40 * GiB, rate: GiB / 2 };

describe('progressBar()', () => {
  it('shows share, amount, rate and time left in the width given', () => {
    const bar = progressBar(half, 79);
    expect(bar).toMatch(/^\[=+> +\] {3}50 % {2}20 GiB of 40 GiB {2}512 MiB\/s {2}40 s left$/);
    expect(bar.length).toBeLessThanOrEqual(79);
  });

  it('is full at the end', () => expect(progressBar({ ...half, doneBytes: 40 * GiB }, 79)).toMatch(/^\[=+\] {2}100 % .* 0 s left$/));
  it('drops the bar on a narrow line', () => expect(progressBar(half, 40)).toBe(' 50 %  20 GiB of 40 GiB  512 MiB/s  40 s'));
  it('omits an unknown rate', () => expect(progressText({ ...half, rate: null })).toBe(' 50 %  20 GiB of 40 GiB'));
  it('never claims 100 % before the end', () => expect(progressText({ doneBytes: 999, totalBytes: 1000, rate: null })).toMatch(/^ 99 %/));
  it('is complete when there is nothing to do', () => expect(progressText({ doneBytes: 0, totalBytes: 0, rate: null })).toMatch(/^100 %/));
});

describe('formatDuration()', () => {
  it.each([
    [0.2, '1 s'],
    [59, '59 s'],
    [61, '1 min 01 s'],
    [7500, '2 h 05 min'],
  ])('%d s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));
});

describe('RateMeter', () => {
  it('reports no rate before a quarter of a second has passed', () => {
    const meter = new RateMeter();
    expect(meter.add(0, 0)).toBeNull();
    expect(meter.add(100, 1000)).toBeNull();
    expect(meter.add(500, 1000)).toBe(2000);
  });

  it('weights only the last few seconds', () => {
    const meter = new RateMeter();
    meter.add(0, 0);
    meter.add(1000, 1_000_000);
    for (let atMs = 2000; atMs <= 12_000; atMs += 100) meter.add(atMs, 1_000_000 + atMs);
    expect(meter.add(12_100, 1_000_000 + 12_100)).toBeCloseTo(1000, 0);
  });
});

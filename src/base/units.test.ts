import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBytes, formatExact, parseDuration, parseSize } from './units.ts';

describe('parseSize()', () => {
  it.each([
    ['0', 0],
    ['512', 512],
    ['512b', 512],
    ['1k', 1024],
    ['40G', 40 * 2 ** 30],
    ['40g', 40 * 2 ** 30],
    ['64KiB', 65536],
    ['1.5T', 1.5 * 2 ** 40],
    [' 2 MiB ', 2 ** 21],
    ['7P', 7 * 2 ** 50],
    ['9007199254740991', 2 ** 53 - 1],
  ])('%j is %i bytes', (text, bytes) => {
    expect(parseSize(text, 'SIZE')).toBe(bytes);
  });

  it.each([
    ['', 'SIZE_SYNTAX'],
    ['G', 'SIZE_SYNTAX'],
    ['-1', 'SIZE_SYNTAX'],
    ['1e3', 'SIZE_SYNTAX'],
    ['0x10', 'SIZE_SYNTAX'],
    ['1,5G', 'SIZE_SYNTAX'],
    ['1.G', 'SIZE_SYNTAX'],
    ['1 G B', 'SIZE_SYNTAX'],
    ['12X', 'SIZE_SYNTAX'],
    ['NaN', 'SIZE_SYNTAX'],
    ['40GB', 'SIZE_AMBIGUOUS'],
    ['40 kb', 'SIZE_AMBIGUOUS'],
    ['8P', 'SIZE_RANGE'],
    ['1E', 'SIZE_RANGE'],
    ['9007199254740992', 'SIZE_RANGE'],
    ['0.5', 'SIZE_RANGE'],
    ['1.0001k', 'SIZE_RANGE'],
    ['9'.repeat(400), 'SIZE_RANGE'],
  ])('%j is refused with %s', (text, code) => {
    expect(() => parseSize(text, 'SIZE')).toThrow(expect.objectContaining({ kind: 'usage', code }));
  });

  it('reads back what formatExact prints, without its commas', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(formatExact(bytes).replaceAll(',', ''), 'SIZE') === bytes));
  });
});

describe('formatBytes()', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.50 KiB'],
    [197248, '192.63 KiB'],
    [2 ** 20 - 1, '1.00 MiB'],
    [-(2 ** 30), '-1 GiB'],
    [2 ** 60, '1 EiB'],
    [2 ** 70, '1024 EiB'],
  ])('%i is %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('is never off by more than half of the last digit', () => {
    const powers: Readonly<Record<string, number>> = { B: 0, KiB: 1, MiB: 2, GiB: 3, TiB: 4, PiB: 5 };
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        const [value, unit] = formatBytes(bytes).split(' ') as [string, string];
        const scale = 1024 ** (powers[unit] as number);
        expect(Number(value)).toBeLessThan(1024);
        expect(Math.abs(Number(value) * scale - bytes)).toBeLessThanOrEqual(0.0051 * scale);
      }),
    );
  });
});

describe('formatExact()', () => {
  it.each([
    [0, '0'],
    [999, '999'],
    [1000, '1,000'],
    [42956488704, '42,956,488,704'],
    [-1234567, '-1,234,567'],
  ])('%i is %s', (bytes, text) => {
    expect(formatExact(bytes)).toBe(text);
  });
});

describe('parseDuration()', () => {
  it.each([
    ['90s', 90],
    ['15m', 900],
    ['24h', 86_400],
    ['7d', 604_800],
    ['2w', 1_209_600],
    ['1h30m', 5400],
    ['1.5h', 5400],
    ['0s', 0],
    [' 5M ', 300],
  ])('%s is %d seconds', (text, seconds) => expect(parseDuration(text, '--ttl')).toBe(seconds));
  it.each(['', ' ', '90', 's', '-5m', '5 m', '1m1h', '1e3s', '5min', '99999999999s'])('%j is refused', (text) =>
    expect(() => parseDuration(text, '--ttl')).toThrow(/^Cannot parse --ttl: /),
  );
});

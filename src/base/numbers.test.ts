import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { divideUp, readUint64, roundDown, roundUp, safeInteger } from './numbers.ts';

describe('rounding', () => {
  it('agrees with exact arithmetic', () => {
    const value = fc.integer({ min: 0, max: 2 ** 50 });
    const step = fc.oneof(
      fc.integer({ min: 1, max: 2 ** 22 }),
      fc.nat({ max: 21 }).map((bits) => 2 ** bits),
    );
    fc.assert(
      fc.property(value, step, (a, b) => {
        const [exact, by] = [BigInt(a), BigInt(b)];
        expect(BigInt(divideUp(a, b))).toBe((exact + by - 1n) / by);
        expect(BigInt(roundUp(a, b))).toBe(((exact + by - 1n) / by) * by);
        expect(BigInt(roundDown(a, b))).toBe((exact / by) * by);
      }),
    );
  });

  it('is exact at the largest numbers', () => {
    expect(divideUp(Number.MAX_SAFE_INTEGER, 1)).toBe(Number.MAX_SAFE_INTEGER);
    expect(divideUp(Number.MAX_SAFE_INTEGER, 2)).toBe(2 ** 52);
    expect(divideUp(2 ** 52 + 1, 3)).toBe(Number((2n ** 52n + 3n) / 3n));
  });
});

describe('readUint64()', () => {
  const viewOf = (value: bigint): DataView => {
    const view = new DataView(new ArrayBuffer(12));
    view.setBigUint64(4, value);
    return view;
  };

  it('reads what is below 2^53', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (value) => readUint64(viewOf(BigInt(value)), 4, 'test', 'field') === value));
  });

  it.each([2n ** 53n, 2n ** 56n + 1n, 2n ** 64n - 1n])('refuses %s', (value) => {
    expect(() => readUint64(viewOf(value), 4, 'test', 'field', 1000)).toThrow(
      expect.objectContaining({
        kind: 'corrupt',
        code: 'NUMBER_TOO_LARGE',
        where: expect.objectContaining({ at: 1004, found: `0x${value.toString(16)}` }),
      }),
    );
  });
});

describe('safeInteger()', () => {
  it.each([2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, 0.5])('calls %d a bug', (value) => {
    expect(() => safeInteger(value, 'add')).toThrow(expect.objectContaining({ kind: 'bug', code: 'UNSAFE_INTEGER' }));
  });

  it('lets everything exact through', () => {
    expect(safeInteger(Number.MAX_SAFE_INTEGER, 'add')).toBe(Number.MAX_SAFE_INTEGER);
  });
});

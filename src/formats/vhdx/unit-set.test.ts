import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UnitSet } from './unit-set.ts';

describe('UnitSet', () => {
  it('gives what was added as runs, across its pieces', () => {
    const set = new UnitSet();
    expect([set.add(65530, 65540), set.add(3, 5), set.add(5, 6), set.add(200_000, 200_001)]).toEqual([true, true, true, true]);
    expect([...set.runs()]).toEqual([
      { start: 3, end: 6 },
      { start: 65530, end: 65540 },
      { start: 200_000, end: 200_001 },
    ]);
  });

  it('says when a unit was there already', () => {
    const set = new UnitSet();
    expect([set.add(10, 12), set.add(11, 12), set.add(8, 11), set.add(12, 13), set.add(5, 5)]).toEqual([true, false, false, true, true]);
  });

  it('agrees with a Set', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat({ max: 70_000 }), { maxLength: 60 }), (units) => {
        const set = new UnitSet();
        for (const unit of units) expect(set.add(unit, unit + 1)).toBe(true);
        const listed = [...set.runs()].flatMap(({ start, end }) => Array.from({ length: end - start }, (_, by) => start + by));
        expect(listed).toEqual(units.toSorted((a, b) => a - b));
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clearRuns } from './sector-bitmap.ts';

describe('clearRuns()', () => {
  it('takes the most significant bit of a byte first', () => {
    expect([...clearRuns(Uint8Array.of(0b1011_1101), 0, 8)]).toEqual([
      { startSector: 1, endSector: 2 },
      { startSector: 6, endSector: 7 },
    ]);
  });

  it('finds the same as looking at each bit', () => {
    const bytes = fc.array(fc.oneof(fc.constant(0), fc.constant(255), fc.nat(255)), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(bytes, fc.nat(160), fc.nat(160), (content, one, other) => {
        const start = Math.min(one, other, content.length * 8);
        const end = Math.min(Math.max(one, other), content.length * 8);
        const clear: number[] = [];
        for (const { startSector, endSector } of clearRuns(Uint8Array.from(content), start, end)) {
          expect(endSector).toBeGreaterThan(startSector);
          expect(clear.at(-1)).not.toBe(startSector - 1);
          for (let sector = startSector; sector < endSector; sector += 1) clear.push(sector);
        }
        const expected: number[] = [];
        for (let sector = start; sector < end; sector += 1) {
          if ((((content[sector >> 3] as number) << (sector & 7)) & 0x80) === 0) expected.push(sector);
        }
        expect(clear).toEqual(expected);
      }),
    );
  });
});

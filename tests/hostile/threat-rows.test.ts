/** No row of the threat table without something that tries it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FORMAT_VECTORS } from './format-vectors.ts';
import { THREAT_ROWS } from './threat-rows.ts';
import { VET_VECTORS } from './vet-vectors.ts';

const ROWS = [...Array.from({ length: 26 }, (_, index) => index + 1), 56, 57, 58, 59];
const VERDICT_TESTS = readFileSync(join(import.meta.dirname, 'vet.test.ts'), 'utf8');

describe('the threat table', () => {
  it('has the rows 1 to 26 and 56 to 59, once each', () => {
    expect(THREAT_ROWS.map(({ row }) => row)).toEqual(ROWS);
  });

  it.each(THREAT_ROWS)('row $row, $attack: is tested', ({ row, vectors = [], tests = [] }) => {
    const own = VET_VECTORS.filter((vector) => vector.row === row);
    expect(own.length + vectors.length + tests.length).toBeGreaterThan(0);
    const names = new Set(FORMAT_VECTORS.map(({ name }) => name));
    expect(vectors.filter((name) => !names.has(name))).toEqual([]);
    expect(tests.filter((title) => !VERDICT_TESTS.includes(`'${title}'`))).toEqual([]);
  });

  it('has no vector for a row that is not in it', () => {
    expect(VET_VECTORS.filter(({ row }) => row !== 0 && !ROWS.includes(row))).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import type { Extent } from '#block';
import { packExtents, unpackExtents } from './extent-rows.ts';

const SOUND: readonly Extent[] = [
  { start: 512, end: 4096, status: 'data', depth: 0, compressed: false, fileOffset: 0 },
  { start: 4096, end: 2 ** 40, status: 'unallocated', depth: 3, compressed: false, fileOffset: undefined },
  { start: 2 ** 40, end: 2 ** 40 + 1, status: 'data', depth: 1, compressed: true, fileOffset: undefined },
  { start: 2 ** 40 + 1, end: 2 ** 52, status: 'zero', depth: 0, compressed: false, fileOffset: undefined },
];

describe('extents of a confined worker', () => {
  it('arrive as they were sent', () => {
    expect(unpackExtents(packExtents(SOUND), 512, 2 ** 53)).toEqual(SOUND);
  });

  it.each<[string, (rows: Float64Array) => void]>([
    ['begin elsewhere', (rows) => (rows[0] = 0)],
    ['leave a gap', (rows) => (rows[6] = 8192)],
    ['are empty', (rows) => (rows[1] = 512)],
    ['end past the range', (rows) => (rows[19] = 2 ** 53)],
    ['end between two bytes', (rows) => (rows[1] = 4095.5)],
    ['have an unknown status', (rows) => (rows[2] = 3)],
    ['have a negative depth', (rows) => (rows[3] = -1)],
    ['have a negative place', (rows) => (rows[5] = -2)],
    ['have no number', (rows) => (rows[5] = Number.NaN)],
  ])('are refused where they %s', (_, change) => {
    const data = packExtents(SOUND);
    change(new Float64Array(data.buffer));
    expect(() => unpackExtents(data, 512, 2 ** 52)).toThrow(expect.objectContaining({ code: 'WORKER_PROTOCOL' }));
  });

  it('are refused where a row is cut short', () => {
    expect(() => unpackExtents(packExtents(SOUND).subarray(1), 512, 2 ** 52)).toThrow(expect.objectContaining({ code: 'WORKER_PROTOCOL' }));
  });
});

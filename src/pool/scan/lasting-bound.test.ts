import { describe, expect, it } from 'vitest';
import { type ImageReport, component } from '#wire';
import { anImage } from '../../../tests/support/reports.ts';
import { carryOverBound } from './lasting-bound.ts';

const open = (changes: Partial<ImageReport>): ImageReport => anImage({ openForWriting: true, allocation: 40, commitment: 100, ...changes });

describe('carryOverBound', () => {
  it('keeps to what bounded the image before, and says what the difference is', () => {
    const now = carryOverBound(open({ allocation: 10 }), open({ commitment: 130 }));
    expect([now.commitment, now.residual, now.components.at(-1)]).toEqual([100, 60, component('unflushed-tables', -30)]);
  });

  it('never goes below what is allocated', () => {
    expect(carryOverBound(open({}), open({ allocation: 120, commitment: 130 })).commitment).toBe(120);
  });

  it.each<[string, Partial<ImageReport>]>([
    ['not open for writing', { openForWriting: false }],
    ['it was resized', { capacity: 7 }],
    ['it has another snapshot', { details: { newestSnapshot: '2 of 1.0' } }],
    ['it is less', { commitment: 90 }],
  ])('takes the new figure where %s', (_, changes) => {
    const now = open({ commitment: 130, ...changes });
    expect(carryOverBound(open({}), now)).toBe(now);
  });
});

import { describe, expect, it } from 'vitest';
import type { ChainLink } from '#wire';
import { commitRowFindings, commitStoreFindings, type CountedRow, largerCommit, uncountedByCommit } from './commits.ts';

const link = (commitGrowth: number | null): ChainLink => ({
  role: 'backing',
  depth: 1,
  name: 'base',
  path: '/base',
  declaredFormat: 'raw',
  format: 'raw',
  status: 'opened',
  capacity: 0,
  length: 0,
  allocation: 0,
  commitGrowth,
});

const counted = (more: Partial<CountedRow> = {}): CountedRow => ({
  row: { commitment: 1000, allocation: 100 },
  counted: 1000,
  staysAsItIs: false,
  largestCommit: { growth: 500, from: '/top' },
  ...more,
});

describe('largerCommit()', () => {
  it('keeps the largest of several overlays, and of equal ones the first by name', () => {
    const first = largerCommit(undefined, link(5), '/b');
    const second = largerCommit(first, link(9), '/c');
    const third = largerCommit(largerCommit(second, link(7), '/a'), link(9), '/a');
    expect([first, second, third]).toEqual([
      { growth: 5, from: '/b' },
      { growth: 9, from: '/c' },
      { growth: 9, from: '/a' },
    ]);
  });

  it('leaves a growth that is not known aside', () => {
    expect(largerCommit(undefined, link(null), '/a')).toBeUndefined();
  });
});

describe('uncountedByCommit()', () => {
  it('is what goes beyond the sums, not beyond the allocation', () => {
    expect(uncountedByCommit(counted())).toBe(500);
  });

  it('holds the whole commitment where the sums count what the file holds now', () => {
    expect(uncountedByCommit(counted({ counted: 100, staysAsItIs: true }))).toBe(1400);
  });

  it('is not known for a file that is no backing file, or that could not be read', () => {
    expect(uncountedByCommit(counted({ largestCommit: undefined }))).toBeUndefined();
    expect(uncountedByCommit(counted({ row: { commitment: null, allocation: 1 } }))).toBeUndefined();
  });
});

describe('the findings', () => {
  it('name the overlay on a base that it outgrows', () => {
    expect(commitRowFindings(counted())).toMatchObject([
      { level: 'warning', code: 'COMMIT_GROWS_BASE', message: expect.stringContaining('/top') },
    ]);
  });

  it('are notes on a base that counts with what it holds, of any capacity above', () => {
    const same = counted({ counted: 100, staysAsItIs: true, largestCommit: { growth: 0, from: '/top' } });
    expect(commitRowFindings(same)).toMatchObject([{ level: 'info', message: expect.stringContaining('(900 bytes)') }]);
    expect(commitStoreFindings([same])).toEqual([]);
  });

  it('are none where the commitment covers the commit', () => {
    const covered = counted({ largestCommit: { growth: 0, from: '/top' } });
    expect([commitRowFindings(covered), commitStoreFindings([covered])]).toEqual([[], []]);
  });

  it('add up the largest commit of each backing file of the store', () => {
    expect(commitStoreFindings([counted(), counted(), counted({ largestCommit: undefined })])).toMatchObject([
      { level: 'warning', code: 'COMMITS_NOT_COUNTED', message: expect.stringContaining('(1000 bytes)') },
    ]);
  });
});

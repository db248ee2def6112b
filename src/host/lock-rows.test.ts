import { describe, expect, it } from 'vitest';
import { parseLockRow, parseLockRows, readLockRows } from './lock-rows.ts';

describe('parseLockRow()', () => {
  it.each([
    ['1: OFDLCK ADVISORY  READ -1 08:02:11 100 101', ['OFDLCK', false, undefined, '8:2', '11', 100, 101]],
    ['12: POSIX  ADVISORY  WRITE 77 fd:1a:12 0 EOF', ['POSIX', true, 77, '253:26', '12', 0, Number.POSITIVE_INFINITY]],
    ['3: FLOCK  ADVISORY  WRITE 78 00:2a:18446744073709551615 0 EOF', ['FLOCK', true, 78, '0:42', '18446744073709551615', 0, Infinity]],
    ['4: LEASE  ACTIVE    READ 79 08:02:17 0 EOF', ['LEASE', false, 79, '8:2', '17', 0, Infinity]],
    ['4: LEASE  BREAKING  UNLCK 79 08:02:17 0 EOF', ['LEASE', false, 79, '8:2', '17', 0, Infinity]],
    ['2: -> POSIX  ADVISORY  WRITE 80 08:02:18 0 EOF', undefined],
    ['2:  -> POSIX  ADVISORY  WRITE 80 08:02:18 0 EOF', undefined],
    ['5: POSIX  *NOINODE* READ 80 <none>:0 0 EOF', undefined],
    ['', undefined],
    ['garbage', undefined],
  ])('reads %j', (line, expected) => {
    const row = parseLockRow(line);
    expect(row === undefined ? undefined : [row.kind, row.exclusive, row.pid, row.superblock, row.inode, row.start, row.end]).toEqual(
      expected,
    );
  });
});

describe('parseLockRows()', () => {
  it('skips rows that it cannot parse', () => {
    expect(parseLockRows('1: OFDLCK ADVISORY  READ -1 08:02:11 100 101\nnew kind of line\n')).toHaveLength(1);
  });
});

describe('readLockRows()', () => {
  it('reads the table of this host', () => {
    expect(Array.isArray(readLockRows())).toBe(true);
  });
});

import { describe, expect, it } from 'vitest';
import type { FileUse, ForeignLock, HoldingProcess, LockSearch } from '#host';
import { judgeUse, permissionBytesIn } from './use-verdict.ts';

const NO_LOCKS: LockSearch = { kernel: 'queried', table: 'read', held: [], foreign: [], possible: [] };
const FREE: FileUse = {
  path: '/a',
  identity: '1:2',
  filesystemType: 'ext4',
  locks: NO_LOCKS,
  processes: { processes: [], inaccessibleCount: 0, hidden: undefined },
  loops: { devices: [], unresolvedCount: 0 },
};

function locked(...bytes: number[]): Partial<FileUse> {
  return { locks: { ...NO_LOCKS, held: bytes.map((byte) => ({ byte, sources: ['kernel'] })) } };
}

function foreign(lock: Partial<ForeignLock>): Partial<FileUse> {
  const whole = { kind: 'POSIX', exclusive: false, pid: 7, start: 0, end: Infinity, sources: ['table'] } as const;
  return { locks: { ...NO_LOCKS, foreign: [{ ...whole, ...lock }] } };
}

function opened(access: HoldingProcess['access'], ...lockedRanges: HoldingProcess['lockedRanges']): Partial<FileUse> {
  const process = { pid: 7, uid: 0, name: 'a', program: 'a', commandLine: [], machine: undefined, access, descriptors: [3], lockedRanges };
  return { processes: { processes: [process], inaccessibleCount: 0, hidden: undefined } };
}

function looped(readOnly: boolean): Partial<FileUse> {
  return { loops: { devices: [{ device: '/dev/loop0', readOnly, mountPoints: [], usedBy: [] }], unresolvedCount: 0 } };
}

const INACCESSIBLE: Partial<FileUse> = { processes: { processes: [], inaccessibleCount: 3, hidden: undefined } };

describe('judgeUse()', () => {
  it.each([
    ['no user', {}, 'free'],
    ['consistent read used', locked(100), 'reader'],
    ['write not shared', locked(201, 203), 'reader'],
    ['graph changes of an old QEMU', locked(104, 204), 'reader'],
    ['write used', locked(100, 101), 'writer'],
    ['write-unchanged used', locked(102), 'writer'],
    ['resize used', locked(103), 'writer'],
    ['a process that reads', opened('read'), 'reader'],
    ['a process that writes', opened('write'), 'writer'],
    ['a process that does both', opened('read-write'), 'writer'],
    ['a loop device', looped(false), 'writer'],
    ['a loop device, read-only', looped(true), 'reader'],
    ["another program's shared lock", foreign({}), 'reader'],
    ["another program's exclusive lock", foreign({ exclusive: true }), 'writer'],
    ['flock(2), which needs no right to write', foreign({ kind: 'FLOCK', exclusive: true }), 'reader'],
    ['a file server', foreign({ kind: 'LEASE' }), 'reader'],
    ['a writer, whatever else was not seen', { ...locked(101), ...INACCESSIBLE }, 'writer'],
    ['a reader, whatever else was not seen', { ...locked(100), ...INACCESSIBLE }, 'reader'],
  ] as const)('%s', (_, part, verdict) => {
    expect(judgeUse({ ...FREE, ...part }).verdict).toBe(verdict);
  });

  it.each([
    ['LOCKS_UNKNOWN', { locks: { ...NO_LOCKS, kernel: 'absent', table: 'unreadable' } }],
    ['LOCKS_UNKNOWN', { locks: { ...NO_LOCKS, kernel: 'failed', table: 'unreadable' } }],
    [
      'LOCK_POSSIBLE',
      {
        locks: {
          ...NO_LOCKS,
          possible: [{ kind: 'OFDLCK', exclusive: false, pid: undefined, superblock: '0:40', inode: '2', start: 101, end: 101 }],
        },
      },
    ],
    ['PROCESSES_INACCESSIBLE', INACCESSIBLE],
    ['PROCESSES_HIDDEN', { processes: { processes: [], inaccessibleCount: 0, hidden: 'hidepid' } }],
    ['PROCESSES_HIDDEN', { processes: { processes: [], inaccessibleCount: 0, hidden: 'pid-namespace' } }],
    ['LOOP_DEVICES_UNKNOWN', { loops: 'unreadable' }],
    ['LOOP_DEVICES_UNKNOWN', { loops: { devices: [], unresolvedCount: 1 } }],
    ['OTHER_HOSTS_UNKNOWN', { filesystemType: 'nfs4' }],
    ['OTHER_HOSTS_UNKNOWN', { filesystemType: 'fuse.sshfs' }],
    ['OTHER_HOSTS_UNKNOWN', { filesystemType: undefined }],
  ] as readonly [string, Partial<FileUse>][])('%s: no user found does not mean free', (code, part) => {
    const judged = judgeUse({ ...FREE, ...part });
    expect(judged).toMatchObject({ verdict: 'unknown', reading: 'unknown', writing: 'unknown' });
    expect(judged.findings.map((one) => one.code)).toEqual([code]);
  });

  it.each(['ext4', 'xfs', 'btrfs', 'tmpfs', 'overlay', 'fuseblk'])('%s is of this host alone', (filesystemType) => {
    expect(judgeUse({ ...FREE, filesystemType }).verdict).toBe('free');
  });

  it.each([
    [{}, 'safe', 'safe'],
    [locked(100), 'safe', 'unsafe'],
    [locked(101), 'torn', 'unsafe'],
    [{ ...locked(100), ...INACCESSIBLE }, 'unknown', 'unsafe'],
    [INACCESSIBLE, 'unknown', 'unknown'],
  ] as const)('%j: reading is %s, writing %s', (part, reading, writing) => {
    expect(judgeUse({ ...FREE, ...part })).toMatchObject({ reading, writing });
  });

  it('one source for the locks is enough', () => {
    for (const sources of [
      { kernel: 'absent', table: 'read' },
      { kernel: 'queried', table: 'unreadable' },
    ] as const) {
      expect(judgeUse({ ...FREE, locks: { ...NO_LOCKS, ...sources } }).verdict).toBe('free');
    }
  });

  it('says of locks alone that it is locks alone', () => {
    const judged = judgeUse({ ...FREE, processes: undefined, loops: undefined });
    expect([judged.verdict, judged.findings]).toEqual(['free', []]);
    expect(judged.advice).toContain("according to QEMU's locks");
  });

  it('warns of a writer without a lock, and of no other', () => {
    const codes = (part: Partial<FileUse>): string[] => judgeUse({ ...FREE, ...part }).findings.map((one) => one.code);
    expect(codes(opened('read-write'))).toEqual(['WRITER_WITHOUT_LOCK']);
    expect(codes(opened('read-write', { start: 100, end: 100 }))).toEqual(['WRITER_WITHOUT_LOCK']);
    expect(codes(opened('read-write', { start: 100, end: 101 }))).toEqual([]);
    expect(codes(opened('read'))).toEqual([]);
  });

  it("knows libvirt's lock", () => {
    const codes = (lock: Partial<ForeignLock>): string[] => judgeUse({ ...FREE, ...foreign(lock) }).findings.map((one) => one.code);
    expect(codes({ end: 0, exclusive: true })).toEqual(['LIBVIRT_LOCK']);
    expect(codes({})).toEqual([]);
  });
});

describe('permissionBytesIn()', () => {
  it('lists the bytes of both groups that ranges cover', () => {
    const ranges = [
      { start: 0, end: 0 },
      { start: 100, end: 101 },
      { start: 203, end: Infinity },
    ];
    expect(permissionBytesIn(ranges)).toEqual([100, 101, 203, 204]);
  });
});

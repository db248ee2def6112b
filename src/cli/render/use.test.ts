import { describe, expect, it } from 'vitest';
import type { UseReport } from '#wire';
import { plainTheme } from './theme.ts';
import { useLines } from './use.ts';

const FREE: UseReport = {
  path: 'vm/web.qcow2',
  file: '1:2',
  verdict: 'free',
  reading: 'safe',
  writing: 'safe',
  advice: 'Safe to read and write.',
  processes: [],
  inaccessibleProcesses: 0,
  loopDevices: [],
  locks: { kernel: 'queried', table: 'read', held: [], others: [], possible: [] },
  findings: [],
};

describe('useLines()', () => {
  it('shows an image without users', () => {
    expect(useLines(FREE, plainTheme())).toEqual([
      'vm/web.qcow2',
      '  used by         no process',
      '  advice          Safe to read and write.',
      '  locks           none (from the kernel and /proc/locks)',
    ]);
  });

  it('shows machines, programs, loop devices and locks', () => {
    const process = { pid: 7, uid: 64055, name: 'qemu-system-x86', descriptors: [9] };
    const report: UseReport = {
      ...FREE,
      verdict: 'writer',
      advice: 'Do not write.',
      processes: [
        {
          ...process,
          program: 'qemu-system-x86_64',
          access: 'read-write',
          machine: { name: 'web', uuid: null },
          lockedBytes: [100, 101],
          commandLine: ['qemu-system-x86_64', '-name', 'web'],
        },
        {
          ...process,
          pid: 8,
          uid: null,
          program: null,
          name: 'sh',
          access: 'write',
          machine: null,
          lockedBytes: [],
          commandLine: ['sh', '-x'],
        },
      ],
      loopDevices: [{ device: '/dev/loop3', readOnly: false, mountPoints: ['/mnt/a b'], usedBy: ['dm-0'] }],
      locks: {
        kernel: 'absent',
        table: 'read',
        held: [
          { byte: 100, role: 'uses', permission: 'consistent-read', sources: ['table'] },
          { byte: 101, role: 'uses', permission: 'write', sources: ['table'] },
          { byte: 201, role: 'unshared', permission: 'write', sources: ['table'] },
        ],
        others: [
          { kind: 'POSIX', exclusive: true, pid: 77, start: 0, end: 0 },
          { kind: 'FLOCK', exclusive: false, pid: null, start: 0, end: null },
        ],
        possible: [{ device: '0:50', start: 101, end: 102 }],
      },
      findings: [{ level: 'warning', code: 'A_CODE', message: 'Something.' }],
    };
    expect(useLines(report, plainTheme())).toEqual([
      'vm/web.qcow2',
      '  used by         WRITTEN: open for writing in a process',
      '  advice          Do not write.',
      '  VM              web (qemu-system-x86_64, pid 7, uid 64055) reads and writes',
      '  process         sh (pid 8) writes, without a QEMU lock: sh -x',
      '  loop device     /dev/loop3, read-write, mounted on /mnt/a b, used by dm-0',
      "  locks           QEMU's: uses consistent-read, write; does not share write",
      '                  [bytes 100 101 201]; exclusive POSIX lock on byte 0 of pid 77;',
      '                  shared FLOCK lock on the whole file; possibly a lock on bytes',
      '                  101 to 102, as device 0:50 (from /proc/locks)',
      '  warning   Something. [A_CODE]',
    ]);
  });

  it('shows an error alone', () => {
    const error = { kind: 'refused', code: 'NOT_A_REGULAR_FILE', message: 'Cannot open image: a fifo' } as const;
    expect(useLines({ ...FREE, locks: null, verdict: 'unknown', error }, plainTheme())).toEqual([
      'vm/web.qcow2',
      '  not examined    Cannot open image: a fifo',
    ]);
  });

  it('escapes names', () => {
    const evil = '\u001b[2J\na\u202e';
    const process = { pid: 7, uid: 0, name: evil, descriptors: [9], lockedBytes: [], access: 'read' } as const;
    const lines = useLines(
      {
        ...FREE,
        path: evil,
        processes: [
          { ...process, program: evil, machine: { name: evil, uuid: evil }, commandLine: [evil] },
          { ...process, program: evil, machine: null, commandLine: [evil, evil] },
        ],
        loopDevices: [{ device: evil, readOnly: true, mountPoints: [evil], usedBy: [evil] }],
      },
      plainTheme(),
    );
    for (const line of lines) expect(line).not.toMatch(/[\p{Cc}\u202e]/u);
  });
});

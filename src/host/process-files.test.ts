/** Real processes, and a proc filesystem that is made up where a real one cannot be made to say it. */
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { aShell } from '../../tests/support/holders.ts';
import { parseDescriptorInfo, ProcessFiles, type ProcessSearch, type TargetFile, excludingFd } from './process-files.ts';

let directory: string;
let path: string;
let asking: number;
let file: TargetFile;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-process-'));
  path = join(directory, 'image');
  writeFileSync(path, 'x');
  asking = openSync(path, 'r');
  const { dev, ino } = statSync(path, { bigint: true });
  file = { fd: asking, dev, ino };
});
afterEach(() => {
  closeSync(asking);
  rmSync(directory, { recursive: true });
});

function searchOnce(proc?: string): Promise<ProcessSearch> {
  return excludingFd(asking, () => new ProcessFiles(proc).search(file));
}

describe('search() among real processes', () => {
  it.each([
    ['<', 'read'],
    ['>>', 'write'],
    ['<>', 'read-write'],
  ] as const)('finds who opened the file with %s', async (redirection, access) => {
    await using holder = await aShell(redirection, path);
    const { processes } = await searchOnce();
    expect(processes).toMatchObject([{ pid: holder.pid, uid: process.geteuid?.(), access, descriptors: [3], lockedRanges: [] }]);
    expect(processes[0]?.commandLine.slice(-2)).toEqual(['sh', path]);
    expect(processes[0]?.machine).toBeUndefined();
  });

  it('finds this very process, except for the descriptor of the query', async () => {
    expect((await searchOnce()).processes).toEqual([]);
    const other = openSync(path, 'r+');
    try {
      const found = await searchOnce();
      expect(found.processes).toMatchObject([{ pid: process.pid, access: 'read-write', descriptors: [other] }]);
    } finally {
      closeSync(other);
    }
  });

  it('does not count a process that only has an O_PATH handle', async () => {
    const place = openSync(path, 0x200000);
    try {
      expect((await searchOnce()).processes).toEqual([]);
    } finally {
      closeSync(place);
    }
  });

  it('finds a file that has lost its name', async () => {
    await using holder = await aShell('<', path);
    rmSync(path);
    expect((await searchOnce()).processes.map(({ pid }) => pid)).toEqual([holder.pid]);
  });

  it('ends when it is aborted, and can be repeated', async () => {
    const processes = new ProcessFiles();
    await expect(processes.search(file, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
    await expect(processes.search(file)).resolves.toBeDefined();
  });
});

/** A proc filesystem with process 1, in the first PID namespace; `self` is process 7. */
function madeUpProc(): string {
  const proc = join(directory, 'proc');
  aProcess(proc, 1);
  aProcess(proc, 7);
  mkdirSync(join(proc, '7', 'ns'));
  symlinkSync('pid:[4026531836]', join(proc, '7', 'ns', 'pid'));
  symlinkSync('7', join(proc, 'self'));
  return proc;
}

function aProcess(proc: string, pid: number, stat = 'S 1 1 1 0 -1 4194560'): string {
  const place = join(proc, String(pid));
  mkdirSync(join(place, 'fd'), { recursive: true });
  mkdirSync(join(place, 'fdinfo'));
  writeFileSync(join(place, 'stat'), `${pid} (a) b) ${stat} 0 0 0 0 0 0 0 0 0 0 3 0 5\n`);
  return place;
}

function aDescriptor(place: string, fd: number, target: string, info: string): void {
  symlinkSync(target, join(place, 'fd', String(fd)));
  writeFileSync(join(place, 'fdinfo', String(fd)), info);
}

describe('search() in a synthetic /proc', () => {
  it('inspects every process, and finds no user of the file', async () => {
    expect(await searchOnce(madeUpProc())).toEqual({ processes: [], inaccessibleCount: 0, hidden: undefined });
  });

  it('reports what a process shows about itself', async () => {
    const proc = madeUpProc();
    const place = aProcess(proc, 42);
    const lock = 'lock:\t1: OFDLCK ADVISORY  READ -1 08:02:11 100 101';
    aDescriptor(place, 9, path, `pos:\t0\nflags:\t02100002\nmnt_id:\t24\nino:\t${file.ino}\n${lock}\n`);
    writeFileSync(join(place, 'comm'), 'evil\nname\n');
    writeFileSync(join(place, 'status'), 'Name:\tx\nUid:\t1000\t1001\t1002\t1003\n');
    writeFileSync(join(place, 'cmdline'), 'qemu-kvm\0-name\0guest=web\0-object\0secret,id=s,data=hunter2\0');
    symlinkSync('/usr/libexec/qemu-kvm (deleted)', join(place, 'exe'));
    const { processes } = await searchOnce(proc);
    expect(processes).toEqual([
      {
        pid: 42,
        uid: 1001,
        name: 'evil\nname',
        program: 'qemu-kvm',
        commandLine: ['qemu-kvm', '-name', 'guest=web', '-object', 'secret,id=s,data=…'],
        machine: { name: 'web', uuid: undefined },
        access: 'read-write',
        descriptors: [9],
        lockedRanges: [{ start: 100, end: 101 }],
      },
    ]);
  });

  it('queries each file if an old kernel reports no inode number', async () => {
    const proc = madeUpProc();
    aDescriptor(aProcess(proc, 42), 3, path, 'pos:\t0\nflags:\t0100000\nmnt_id:\t24\n');
    aDescriptor(aProcess(proc, 43), 3, '/dev/null', 'pos:\t0\nflags:\t0100000\nmnt_id:\t24\n');
    expect((await searchOnce(proc)).processes.map(({ pid }) => pid)).toEqual([42]);
  });

  it('is not deceived by the same inode number elsewhere', async () => {
    const proc = madeUpProc();
    aDescriptor(aProcess(proc, 42), 3, '/dev/null', `flags:\t0100002\nino:\t${file.ino}\n`);
    expect((await searchOnce(proc)).processes).toEqual([]);
  });

  it('cuts a command line without end', async () => {
    const proc = madeUpProc();
    const place = aProcess(proc, 42);
    aDescriptor(place, 3, path, `flags:\t0100000\nino:\t${file.ino}\n`);
    writeFileSync(join(place, 'cmdline'), `sh\0${'x'.repeat(2 ** 20)}`);
    expect((await searchOnce(proc)).processes[0]?.commandLine).toEqual(['sh', '…']);
  });

  it('counts a process whose first thread has exited: its other threads run on, and are not visible', async () => {
    const proc = madeUpProc();
    aProcess(proc, 42, 'Z 1 1 1 0 -1 4194560');
    expect((await searchOnce(proc)).inaccessibleCount).toBe(1);
  });

  it('counts processes that it cannot inspect, kernel threads excepted', async () => {
    const proc = madeUpProc();
    for (const [pid, flags] of [
      [42, 4194560],
      [43, 2129984], // PF_KTHREAD
    ] as const) {
      const place = aProcess(proc, pid, `S 1 1 1 0 -1 ${flags}`);
      // A link that no user can read as one: a loop would do, a file in its place is simpler.
      writeFileSync(join(place, 'fd', '0'), '');
    }
    expect((await searchOnce(proc)).inaccessibleCount).toBe(1);
  });

  it('reports hidden processes', async () => {
    const hidden = madeUpProc();
    rmSync(join(hidden, '1'), { recursive: true });
    expect((await searchOnce(hidden)).hidden).toBe('hidepid');
  });

  it('reports a PID namespace of its own', async () => {
    const inside = madeUpProc();
    rmSync(join(inside, '7', 'ns', 'pid'));
    symlinkSync('pid:[4026532000]', join(inside, '7', 'ns', 'pid'));
    expect((await searchOnce(inside)).hidden).toBe('pid-namespace');
  });
});

describe('parseDescriptorInfo()', () => {
  it.each([
    ['flags:\t0100000', 'read', false],
    ['flags:\t0100001', 'write', false],
    ['flags:\t02100002', 'read-write', false],
    ['flags:\t012000000', 'read', true],
  ])('reads %j', (text, access, isPathOnly) => {
    expect(parseDescriptorInfo(`pos:\t0\n${text}\nmnt_id:\t1\nino:\t5\n`)).toEqual({ access, isPathOnly, inode: '5', ranges: [] });
  });
});

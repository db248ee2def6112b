/** `plimsoll who` as a user runs it, while real programs have the image open. */
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { UseReport, WhoReport } from '#wire';
import { inTerminal, COMMAND, type Ended, plimsoll, run, shellWord } from '../support/command.ts';
import { aMachine, aServer, aShell, aStorageDaemon, type Holder, qemuIoOn } from '../support/holders.ts';
import { canMount } from '../support/loop-mount.ts';

const UUID = '11111111-2222-3333-4444-555555555555';
const isRoot = canMount('who: loop devices');

let directory: string;
let raw: string;
let qcow2: string;
let overlay: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-who-'));
  raw = join(directory, 'disk.raw');
  qcow2 = join(directory, 'disk.qcow2');
  overlay = join(directory, 'overlay.qcow2');
  writeFileSync(raw, '');
  truncateSync(raw, 2 ** 24);
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', qcow2, '16M']);
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', qcow2, '-F', 'qcow2', overlay]);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function whoJson(path: string, env: Record<string, string> = {}): Promise<{ code: number | null; image: UseReport }> {
  const { code, stdout, stderr } = await plimsoll(['who', '--json', path], { env });
  expect(stderr).toBe('');
  const { images } = JSON.parse(stdout) as WhoReport;
  return { code, image: images[0] as UseReport };
}

/** Whether this test itself may look into every process: where it may not, nothing is ever called free. */
function canSeeAll(): boolean {
  try {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        for (const fd of readdirSync(`/proc/${pid}/fd`)) readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EACCES') return false;
      }
    }
    return readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]';
  } catch {
    return false;
  }
}

function bytesOf(image: UseReport): number[] {
  return (image.locks?.held ?? []).map((one) => one.byte);
}

/** The table of what QEMU holds, measured with QEMU 7.2. */
const HOLDERS: readonly {
  readonly what: string;
  readonly start: () => Promise<Holder>;
  readonly path: () => string;
  readonly bytes: readonly number[];
  readonly verdict: 'reader' | 'writer';
  readonly program: string;
}[] = [
  {
    what: 'a machine with a qcow2, read-write',
    start: () => aMachine('guest=web,debug-threads=on', UUID, '-drive', `file=${qcow2},format=qcow2,if=virtio`),
    path: () => qcow2,
    bytes: [100, 101, 103, 201, 203],
    verdict: 'writer',
    program: 'qemu-system-x86_64',
  },
  {
    what: 'a machine with a raw disk, read-write',
    start: () =>
      aMachine(
        'web',
        UUID,
        ...['-blockdev', `driver=file,node-name=f,filename=${raw}`, '-blockdev', 'driver=raw,node-name=d,file=f'],
        ...['-device', 'virtio-blk-pci,drive=d'],
      ),
    path: () => raw,
    bytes: [100, 101, 201],
    verdict: 'writer',
    program: 'qemu-system-x86_64',
  },
  {
    what: 'a machine with a raw disk that it shares',
    start: () => aMachine('web', UUID, '-drive', `file=${raw},format=raw,if=none,id=d`, '-device', 'virtio-blk-pci,drive=d,share-rw=on'),
    path: () => raw,
    bytes: [100, 101],
    verdict: 'writer',
    program: 'qemu-system-x86_64',
  },
  {
    what: 'a machine with a qcow2, read-only',
    start: () => aMachine('web', UUID, '-drive', `file=${qcow2},format=qcow2,if=virtio,readonly=on`),
    path: () => qcow2,
    bytes: [100, 201, 203],
    verdict: 'reader',
    program: 'qemu-system-x86_64',
  },
  {
    what: 'a machine with an overlay, of the backing file',
    start: () => aMachine('web', UUID, '-drive', `file=${overlay},format=qcow2,if=virtio`),
    path: () => qcow2,
    bytes: [100, 201, 203],
    verdict: 'reader',
    program: 'qemu-system-x86_64',
  },
  {
    what: 'qemu-nbd',
    start: () => aServer('qcow2', qcow2),
    path: () => qcow2,
    bytes: [100, 101, 103, 201, 203],
    verdict: 'writer',
    program: 'qemu-nbd',
  },
  {
    what: 'qemu-nbd -r',
    start: () => aServer('qcow2', qcow2, '-r'),
    path: () => qcow2,
    bytes: [100, 201, 203],
    verdict: 'reader',
    program: 'qemu-nbd',
  },
  {
    what: 'qemu-storage-daemon',
    start: () => aStorageDaemon('qcow2', qcow2, true),
    path: () => qcow2,
    bytes: [100, 101, 103, 201, 203],
    verdict: 'writer',
    program: 'qemu-storage-daemon',
  },
  {
    what: 'qemu-storage-daemon, read-only',
    start: () => aStorageDaemon('raw', raw, false),
    path: () => raw,
    // Its NBD export lets others write, but not resize.
    bytes: [100, 203],
    verdict: 'reader',
    program: 'qemu-storage-daemon',
  },
  {
    what: 'a QEMU with its locks off',
    start: () =>
      aMachine(
        'web',
        UUID,
        ...['-blockdev', `driver=file,node-name=f,filename=${raw},locking=off`, '-blockdev', 'driver=raw,node-name=d,file=f'],
        ...['-device', 'virtio-blk-pci,drive=d'],
      ),
    path: () => raw,
    bytes: [],
    verdict: 'writer',
    program: 'qemu-system-x86_64',
  },
  {
    what: 'a program that writes and knows of no locks',
    start: () => aShell('>>', raw),
    path: () => raw,
    bytes: [],
    verdict: 'writer',
    program: '',
  },
  {
    what: 'a program that reads and knows of no locks',
    start: () => aShell('<', raw),
    path: () => raw,
    bytes: [],
    verdict: 'reader',
    program: '',
  },
];

describe.each(HOLDERS)('$what', ({ start, path, bytes, verdict, program }) => {
  it('is found with its locks, by any user', async () => {
    await using holder = await start();
    for (const env of [{}, { PLIMSOLL_NO_FFI: '1' }] as Record<string, string>[]) {
      const { code, image } = await whoJson(path(), env);
      expect([image.verdict, code, bytesOf(image)]).toEqual([verdict, verdict === 'writer' ? 21 : 20, bytes]);
      expect(image.locks).toMatchObject({ kernel: 'PLIMSOLL_NO_FFI' in env ? 'absent' : 'queried', table: 'read' });
      const [user, ...others] = image.processes ?? [];
      expect(others).toEqual([]);
      expect(user).toMatchObject({ pid: holder.pid, uid: process.getuid?.(), lockedBytes: bytes });
      if (program !== '') expect(user?.program).toBe(program);
      if (program.startsWith('qemu-system')) expect(user?.machine).toEqual({ name: 'web', uuid: UUID });
      else expect(user?.machine).toBeNull();
      expect(image.reading === 'torn').toBe(verdict === 'writer');
      expect(image.writing).toBe('unsafe');
      const isSilent = verdict === 'writer' && bytes.length === 0;
      expect(image.findings.some((one) => one.code === 'WRITER_WITHOUT_LOCK')).toBe(isSilent);
    }
    await holder.end();
    const after = await whoJson(path());
    expect([after.image.processes, bytesOf(after.image)]).toEqual([[], []]);
  });
});

describe('an image without users', () => {
  it('is free if every process could be inspected, otherwise unknown', async () => {
    const { code, image } = await whoJson(raw);
    expect(image.locks).toMatchObject({ held: [], others: [], possible: [] });
    expect([image.processes, image.loopDevices]).toEqual([[], []]);
    if (canSeeAll()) expect([code, image.verdict, image.reading, image.writing]).toEqual([0, 'free', 'safe', 'safe']);
    else {
      expect([code, image.verdict, image.reading, image.writing]).toEqual([11, 'unknown', 'unknown', 'unknown']);
      expect(image.findings.map((one) => one.code).join()).toMatch(/PROCESSES_(INACCESSIBLE|HIDDEN)/);
    }
  });

  it("is free by QEMU's locks alone, when only these are queried", async () => {
    const { code, stdout } = await plimsoll(['who', '--json', '--locks-only', raw]);
    const [image] = (JSON.parse(stdout) as WhoReport).images;
    expect([code, image?.verdict, image?.processes, image?.loopDevices]).toEqual([0, 'free', null, null]);
    expect(image?.advice).toContain('according to');
  });

  it.skipIf(!isRoot)('is never reported as free to a user who cannot inspect the processes', async () => {
    const words = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, COMMAND, 'who', '--json', '/etc/hostname'];
    const { code, stdout, stderr } = await run('setpriv', words);
    const { images } = JSON.parse(stdout || '{}') as WhoReport;
    expect([code, stderr, images[0]?.verdict]).toEqual([11, '', 'unknown']);
    expect(images[0]?.inaccessibleProcesses).toBeGreaterThan(0);
  });

  it.skipIf(!isRoot)('is never reported as free in a PID namespace, where processes outside are hidden', async () => {
    const { code, stdout } = await run('unshare', ['--pid', '--fork', '--mount-proc', process.execPath, COMMAND, 'who', '--json', raw]);
    const { images } = JSON.parse(stdout) as WhoReport;
    expect([code, images[0]?.findings.map((one) => one.code)]).toEqual([11, ['PROCESSES_HIDDEN']]);
  });

  it('is unchanged and unlocked afterwards', async () => {
    const facts = (): unknown => {
      const { size, blocks, mtimeMs, ctimeMs, atimeMs } = statSync(qcow2);
      return { size, blocks, mtimeMs, ctimeMs, atimeMs };
    };
    const before = facts();
    await whoJson(qcow2);
    expect(facts()).toEqual(before);
  });
});

describe('one file', () => {
  it('is recognised by all its names', async () => {
    const link = join(directory, 'link.raw');
    linkSync(raw, link);
    await using holder = await aShell('<>', link);
    const { image } = await whoJson(raw);
    expect(image.processes?.map(({ pid, access }) => [pid, access])).toEqual([[holder.pid, 'read-write']]);
    rmSync(link);
  });

  it('is reported with all its users', async () => {
    await using first = await aServer('qcow2', qcow2, '-r');
    await using second = await qemuIoOn('-r', qcow2);
    await using third = await aShell('<', qcow2);
    const { image } = await whoJson(qcow2);
    expect(image.processes?.map(({ pid }) => pid)).toEqual([first.pid, second.pid, third.pid].sort((a, b) => a - b));
  });

  it('agrees with fuser(1)', async () => {
    await using holder = await aServer('raw', raw);
    // fuser finds nothing at all when a process exits while it walks /proc.
    await expect.poll(async () => (await run('fuser', [raw])).stdout.trim().split(/\s+/).map(Number)).toEqual([holder.pid]);
    expect((await whoJson(raw)).image.processes?.map(({ pid }) => pid)).toEqual([holder.pid]);
  });
});

describe.skipIf(!isRoot)('a loop device', () => {
  function attach(...options: string[]): { device: string; detach: () => void } {
    const device = execFileSync('losetup', ['--find', '--show', ...options, raw], { encoding: 'utf8' }).trim();
    return { device, detach: () => void execFileSync('losetup', ['--detach', device]) };
  }

  it('open for writing is a writer, one open for reading is a reader', async () => {
    for (const [options, verdict, code] of [
      [[], 'writer', 21],
      [['--read-only'], 'reader', 20],
    ] as const) {
      const { device, detach } = attach(...options);
      try {
        const found = await whoJson(raw);
        expect([found.code, found.image.verdict]).toEqual([code, verdict]);
        expect(found.image.loopDevices).toEqual([{ device, readOnly: verdict === 'reader', mountPoints: [], usedBy: [] }]);
        expect(found.image.processes).toEqual([]);
      } finally {
        detach();
      }
    }
  });

  it('is reported with its mount point', async () => {
    const disk = join(directory, 'with filesystem.raw');
    writeFileSync(disk, '');
    truncateSync(disk, 2 ** 24);
    execFileSync('mkfs.ext4', ['-q', '-F', disk]);
    const mountPoint = join(directory, 'mount point');
    mkdirSync(mountPoint);
    execFileSync('mount', ['-o', 'loop', disk, mountPoint]);
    try {
      expect((await whoJson(disk)).image.loopDevices).toMatchObject([{ readOnly: false, mountPoints: [mountPoint] }]);
      const { stdout } = await plimsoll(['who', disk]);
      expect(stdout.replace(/\s+/g, ' ')).toContain(`read-write, mounted on ${mountPoint}`);
    } finally {
      execFileSync('umount', [mountPoint]);
    }
  });
});

describe('a file that is not an image', () => {
  it('is an error with its own exit code: a directory, a fifo, a missing file', async () => {
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const [path, code, error] of [
      [directory, 15, 'NOT_A_REGULAR_FILE'],
      [fifo, 15, 'NOT_A_REGULAR_FILE'],
      [join(directory, 'nowhere'), 12, 'IO_ENOENT'],
    ] as const) {
      const found = await whoJson(path);
      expect([found.code, found.image.error?.code, found.image.verdict]).toEqual([code, error, 'unknown']);
      expect([found.image.file, found.image.locks, found.image.processes]).toEqual([null, null, null]);
    }
  });

  it('does not prevent the others from being queried; the highest code is the exit code', async () => {
    await using holder = await aShell('<', raw);
    const { code, stdout } = await plimsoll(['who', '--json', '-'], { input: `${join(directory, 'nowhere')}\n${raw}\n` });
    const { images } = JSON.parse(stdout) as WhoReport;
    expect([code, images.map((one) => one.verdict)]).toEqual([20, ['unknown', 'reader']]);
    expect(images[1]?.processes?.[0]?.pid).toBe(holder.pid);
  });

  it('an empty list is', async () => {
    const { code, stdout, stderr } = await plimsoll(['who', '-']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('no names on standard input');
  });
});

describe('who as text', () => {
  const HOSTILE = 'a\nb \u001b[2J\u202e\u009b31m.raw';

  function expectHarmless({ stdout }: Ended): void {
    for (const line of stdout.trimEnd().split('\n')) expect(line).not.toMatch(/[\p{Cc}\u202a-\u202e]/u);
  }

  it('fits 80 columns', async () => {
    await using holder = await aMachine(`guest=${'web '.repeat(20)}`, UUID, '-drive', `file=${qcow2},format=qcow2,if=virtio`);
    const { stdout } = await plimsoll(['who', qcow2, raw]);
    expect(stdout).toContain('WRITTEN');
    expect(stdout).toContain(`pid ${holder.pid}`);
    for (const line of stdout.split('\n')) expect(stringWidth(line)).toBeLessThanOrEqual(80);
  });

  it('escapes names of images, VMs and programs', async () => {
    const image = join(directory, HOSTILE);
    writeFileSync(image, '');
    truncateSync(image, 2 ** 20);
    await using machine = await aMachine(`guest=${HOSTILE}`, UUID, '-drive', `file=${image},format=raw,if=virtio`);
    await using shell = await aShell('<', image);
    const ended = await plimsoll(['who', '-0', '-'], { input: `${image}\0` });
    expectHarmless(ended);
    expect(ended.stdout).toContain('a\\nb');
    for (const { pid } of [machine, shell]) expect(ended.stdout).toContain(`pid ${pid}`);
    expect(ended.stdout).toMatch(/VM +a\\nb/);
    rmSync(image);
  });

  it('colours a terminal only', async () => {
    await using holder = await aShell('>>', raw);
    const line = `${shellWord(process.execPath)} ${shellWord(COMMAND)} who ${shellWord(raw)}`;
    expect((await inTerminal(line)).stdout).toContain('\u001b[31mWRITTEN');
    const { stdout } = await plimsoll(['who', raw]);
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toContain(`pid ${holder.pid}`);
  });
});

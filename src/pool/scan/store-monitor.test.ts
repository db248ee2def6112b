/** The monitor says what a fresh scan says, whatever happened since; and it opens only what changed. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StoreReport } from '#wire';
import { aMachine, qemuIoOn } from '../../../tests/support/holders.ts';
import { canMount, type MountableKind, type MountedFilesystem, withFilesystem } from '../../../tests/support/loop-mount.ts';
import { StoreMonitor, type StoreMonitorOptions } from './store-monitor.ts';
import type { StoreSnapshot } from './store-snapshot.ts';
import { scan } from './scan.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const RUNS = Number(process.env['PLIMSOLL_MONITOR_RUNS'] ?? 2);
const SEED = Number(process.env['PLIMSOLL_MONITOR_SEED'] ?? 4711);
const mountable = canMount('the monitor on ext4 and XFS, stores that vanish');

const mounts: MountedFilesystem[] = [];
const monitors: StoreMonitor[] = [];
let root: string;

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'plimsoll-monitor-')));
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const monitor of monitors.splice(0)) await monitor.close();
  for (const mount of mounts.splice(0)) await mount.unmount();
  rmSync(root, { recursive: true, force: true });
});

async function mounted(kind: MountableKind): Promise<string> {
  const filesystem = await withFilesystem(kind, 512 * MiB);
  mounts.push(filesystem);
  return filesystem.path;
}

/** Lets files look old at once: what was written just now would be read again at every look, and nothing would be tested. */
function pretendTimePasses(): void {
  const now = Date.now.bind(Date);
  vi.spyOn(Date, 'now').mockImplementation(() => now() + 100_000);
}

async function monitorOf(directories: readonly string[], options: Partial<StoreMonitorOptions> = {}): Promise<StoreMonitor> {
  const monitor = new StoreMonitor({ directories, everyMs: 3_600_000, mostWatches: 0, ...options });
  monitors.push(monitor);
  await monitor.start();
  return monitor;
}

async function scanned(directories: readonly string[], options: Partial<StoreMonitorOptions> = {}): Promise<StoreReport[]> {
  for await (const event of scan(directories, options)) if (event.type === 'report') return [...event.report.stores];
  throw new Error('no report');
}

/** How full a filesystem is may change between two looks; all else may not. */
function lasting(reports: readonly StoreReport[]): unknown[] {
  return reports
    .map((report) => ({
      ...report,
      ...{ used: 0, available: 0, headroom: report.headroom === null },
      images: report.images.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

function reportsOf(monitor: StoreMonitor): StoreReport[] {
  return monitor
    .stores()
    .filter(({ presence }) => presence === 'present')
    .map(({ report }) => report);
}

async function expectTrue(
  monitor: StoreMonitor,
  directories: readonly string[],
  options: Partial<StoreMonitorOptions> = {},
): Promise<void> {
  await monitor.refresh();
  expect(lasting(reportsOf(monitor))).toEqual(lasting(await scanned(directories, options)));
}

function theStore(monitor: StoreMonitor): StoreSnapshot {
  return monitor.stores()[0] as StoreSnapshot;
}

function run(program: string, ...words: string[]): void {
  // Who opens a fifo without a writer waits for ever.
  execFileSync(program, words, { stdio: 'ignore', timeout: 60_000, killSignal: 'SIGKILL' });
}

function write(path: string, at: number, byteLength: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.alloc(byteLength, 0x5a), 0, byteLength, at);
  closeSync(fd);
}

/** What can happen to a store, by name. `a` and `b` are names of files, `n` a number from 0 to 99. */
type Deed = (a: string, b: string, n: number) => void;

const DEEDS: Readonly<Record<string, Deed>> = {
  qcow2: (a) => run('qemu-img', 'create', '-q', '-f', 'qcow2', a, '64M'),
  raw: (a, _, n) => {
    const fd = openSync(a, 'wx');
    ftruncateSync(fd, (n + 1) * 64 * KiB);
    closeSync(fd);
  },
  overlay: (a, b) => run('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-b', b, '-F', n2format(b), a, '64M'),
  dataFile: (a, b) => run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', `data_file=${b},data_file_raw=on`, a, '8M'),
  write: (a, _, n) => write(a, n * 64 * KiB, 8 * KiB),
  qemuIo: (a, _, n) => run('qemu-io', '-f', n2format(a), '-c', `write ${n * 512 * KiB} 64k`, a),
  snapshot: (a, _, n) => run('qemu-img', 'snapshot', '-c', `s${n}`, a),
  delete: (a) => rmSync(a, { recursive: true }),
  rename: (a, b) => renameSync(a, b),
  hardLink: (a, b) => linkSync(a, b),
  reflink: (a, b) => run('cp', '--reflink=always', a, b),
  chmod: (a, _, n) => chmodSync(a, n % 2 === 0 ? 0o000 : 0o644),
  fifo: (a) => {
    rmSync(a, { force: true });
    run('mkfifo', a);
  },
  symlink: (a, b) => {
    rmSync(a, { force: true });
    symlinkSync(b, a);
  },
  directory: (a) => {
    rmSync(a, { force: true });
    mkdirSync(a);
    writeFileSync(join(a, 'inside.raw'), Buffer.alloc(4096, 1));
  },
  truncate: (a, _, n) => truncateSync(a, n * 32 * KiB),
  punch: (a, _, n) => run('fallocate', '--punch-hole', '--offset', String(n * 4 * KiB), '--length', String(128 * KiB), a),
  preallocate: (a, _, n) => run('fallocate', '--offset', '0', '--length', String(n * 32 * KiB), a),
  backdate: (a) => utimesSync(a, 1, 1),
  spoil: (a) => write(a, 0, 16),
  text: (a) => writeFileSync(`${a}.txt`, 'notes'),
  sync: (a) => run('sync', '-f', existsSync(a) ? a : '/'),
};

function n2format(path: string): string {
  return path.endsWith('.raw') ? 'raw' : 'qcow2';
}

const NAMES = ['one.qcow2', 'two.qcow2', 'three.qcow2', 'base.raw', 'disk.raw', 'vms/four.qcow2', 'vms/five.raw'];
const step = fc.record({
  deed: fc.constantFrom(...Object.keys(DEEDS)),
  a: fc.constantFrom(...NAMES),
  b: fc.constantFrom(...NAMES),
  n: fc.nat({ max: 99 }),
});

function attempt(directory: string, { deed, a, b, n }: { deed: string; a: string; b: string; n: number }): void {
  try {
    DEEDS[deed]?.(join(directory, a), join(directory, b), n);
  } catch {
    // A file that is not there cannot be renamed: nothing happened, which is a step too.
  }
}

describe.runIf(mountable)('after any sequence of changes the monitor says what a scan says', () => {
  it.each(['ext4', 'xfs', 'btrfs'] as const)(
    'on %s',
    async (kind) => {
      pretendTimePasses();
      const base = await mounted(kind);
      let count = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 40, size: 'max' }), async (steps) => {
          count += 1;
          const directory = join(base, `run-${count}`);
          mkdirSync(join(directory, 'vms'), { recursive: true });
          for (const deed of ['qcow2', 'raw'])
            for (const a of NAMES) if (deed === n2format(a)) attempt(directory, { deed, a, b: a, n: 50 });
          const monitor = await monitorOf([directory]);
          for (const one of steps) {
            attempt(directory, one);
            // So much time has passed: what was written has its place.
            if (kind !== 'ext4') run('sync', '-f', directory);
            await expectTrue(monitor, [directory]);
          }
          await monitor.close();
          rmSync(directory, { recursive: true });
        }),
        { numRuns: RUNS, seed: SEED, endOnFailure: true },
      );
    },
    600_000,
  );
});

/** Paths that were examined while `act` ran: what the monitor says it read. */
async function imagesReadDuring(monitor: StoreMonitor, act: () => Promise<unknown>): Promise<number> {
  let read = 0;
  const end = monitor.onProgress((progress) => (read = progress.ended ? progress.imagesRead : read));
  await act();
  end();
  return read;
}

function someImages(): void {
  for (const name of ['a', 'b', 'c']) {
    writeFileSync(join(root, `${name}.raw`), Buffer.alloc(64 * KiB, 1));
    truncateSync(join(root, `${name}.raw`), MiB);
  }
}

describe('a look after the first', () => {
  it('reads nothing when nothing changed, and of three images the one that did', async () => {
    pretendTimePasses();
    someImages();
    const monitor = await monitorOf([root]);
    expect(await imagesReadDuring(monitor, () => monitor.refresh())).toBe(0);
    appendFileSync(join(root, 'b.raw'), 'x');
    const changes: unknown[] = [];
    monitor.onScanned((_, changed, gone) => changes.push([changed, gone]));
    expect(await imagesReadDuring(monitor, () => monitor.refresh())).toBe(1);
    rmSync(join(root, 'c.raw'));
    await monitor.refresh();
    await monitor.refresh();
    expect(changes).toEqual([
      [[join(root, 'b.raw')], []],
      [[], [join(root, 'c.raw')]],
      [[], []],
    ]);
  });

  it('keeps the rows of images that did not change as the same objects', async () => {
    pretendTimePasses();
    someImages();
    const monitor = await monitorOf([root]);
    const before = new Map(theStore(monitor).report.images.map((image) => [image.path, image]));
    appendFileSync(join(root, 'b.raw'), 'x');
    await monitor.refresh();
    const same = theStore(monitor).report.images.filter((image) => before.get(image.path) === image);
    expect(same.map(({ path }) => path).sort()).toEqual([join(root, 'a.raw'), join(root, 'c.raw')]);
  });

  it('reads a file again that was changed just before it was read', async () => {
    someImages();
    const monitor = await monitorOf([root]);
    expect(await imagesReadDuring(monitor, () => monitor.refresh())).toBe(3);
  });

  it('reads everything anew when asked to, and when the time for that has come', async () => {
    pretendTimePasses();
    someImages();
    const monitor = await monitorOf([root]);
    expect(await imagesReadDuring(monitor, () => monitor.refresh(undefined, { everything: true }))).toBe(3);
    const often = await monitorOf([root], { fullEveryMs: 0 });
    expect(await imagesReadDuring(often, () => often.refresh())).toBe(3);
  });

  it('sees that QEMU has opened an image for writing, and that it is done', async () => {
    pretendTimePasses();
    someImages();
    const monitor = await monitorOf([root]);
    {
      await using _ = await qemuIoOn('-f', 'raw', join(root, 'a.raw'));
      await expectTrue(monitor, [root]);
      expect(
        theStore(monitor)
          .report.images.filter((image) => image.openForWriting === true)
          .map(({ path }) => path),
      ).toEqual([join(root, 'a.raw')]);
      expect(await imagesReadDuring(monitor, () => monitor.refresh())).toBe(1);
    }
    await expectTrue(monitor, [root]);
    expect(theStore(monitor).report.images.some((image) => image.openForWriting === true)).toBe(false);
  });

  it('notices a reference that a link leads elsewhere now, and another directory that is allowed', async () => {
    pretendTimePasses();
    for (const name of ['first', 'second', 'pool']) mkdirSync(join(root, name));
    const [first, second, pool, link] = ['first', 'second', 'pool', 'link'].map((name) => join(root, name)) as [
      string,
      string,
      string,
      string,
    ];
    truncateSync(openAndClose(join(first, 'base.raw')), 2 * MiB);
    truncateSync(openAndClose(join(second, 'base.raw')), 4 * MiB);
    symlinkSync(first, link);
    run('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-b', join(link, 'base.raw'), '-F', 'raw', join(pool, 'top.qcow2'), '8M');
    const options = { allowDirectories: [link] };
    const monitor = await monitorOf([pool], options);
    const capacity = (): unknown => theStore(monitor).report.images[0]?.chain[0]?.capacity;
    expect(capacity()).toBe(2 * MiB);
    unlinkSync(link);
    symlinkSync(second, link);
    await expectTrue(monitor, [pool], options);
    expect(capacity()).toBe(4 * MiB);
    unlinkSync(link);
    await expectTrue(monitor, [pool], options);
    expect(capacity()).toBeNull();
  });

  it('takes over what is declared raw by its identity, when another file gets the name', async () => {
    pretendTimePasses();
    const disk = join(root, 'disk');
    writeFileSync(disk, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(MiB)]));
    const options = { rawFiles: [disk] };
    const monitor = await monitorOf([root], options);
    expect(theStore(monitor).report.images[0]).toMatchObject({ format: 'raw', formatSource: 'declared' });
    renameSync(disk, join(root, 'moved'));
    writeFileSync(disk, Buffer.alloc(MiB, 1));
    await expectTrue(monitor, [root], options);
    expect(theStore(monitor).report.images.find(({ path }) => path === join(root, 'moved'))?.error?.code).toBeDefined();
  });
});

function openAndClose(path: string): string {
  closeSync(openSync(path, 'wx'));
  return path;
}

describe('refresh()', () => {
  it('is shared by all who ask meanwhile, and begins after they asked', async () => {
    pretendTimePasses();
    someImages();
    const monitor = await monitorOf([root]);
    let looks = 0;
    monitor.onProgress(({ ended }) => (looks += Number(ended)));
    const first = monitor.refresh();
    writeFileSync(join(root, 'new.raw'), Buffer.alloc(MiB));
    const others = Array.from({ length: 20 }, () => monitor.refresh());
    await Promise.all([first, ...others]);
    expect(looks).toBe(2);
    expect(theStore(monitor).report.images.map(({ path }) => path)).toContain(join(root, 'new.raw'));
  });

  it('ends with the reason when the monitor is closed, and nothing goes on', async () => {
    someImages();
    const monitor = await monitorOf([root], { mostWatches: 10 });
    await monitor.close();
    await expect(monitor.refresh()).rejects.toThrow('closed');
    expect(theStore(monitor).report.images).toHaveLength(3);
  });

  it('of a store that cannot be read now says so and keeps what was known', async () => {
    pretendTimePasses();
    mkdirSync(join(root, 'pool'));
    writeFileSync(join(root, 'pool', 'a.raw'), Buffer.alloc(MiB, 1));
    const monitor = await monitorOf([join(root, 'pool')]);
    renameSync(join(root, 'pool'), join(root, 'away'));
    await monitor.refresh();
    expect(theStore(monitor)).toMatchObject({ presence: 'vanished', report: { fits: null } });
    expect(theStore(monitor).report.images).toHaveLength(1);
    expect(monitor.findings().map(({ code }) => code)).toEqual(['IO_ENOENT']);
    writeFileSync(join(root, 'pool'), 'a file');
    await monitor.refresh();
    expect(theStore(monitor).presence).toBe('vanished');
    expect(monitor.findings().map(({ code }) => code)).toEqual(['NOT_A_DIRECTORY']);
  });
});

describe('start()', () => {
  it('refuses a file', async () => {
    someImages();
    await expect(new StoreMonitor({ directories: [join(root, 'a.raw')] }).start()).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' });
  });

  it('ends with the signal', async () => {
    someImages();
    const controller = new AbortController();
    const monitor = new StoreMonitor({ directories: [root] });
    const starting = monitor.start(controller.signal);
    controller.abort(new Error('enough'));
    await expect(starting).rejects.toThrow('enough');
    await expect(monitor.refresh()).rejects.toThrow('enough');
  });

  it('says that a named directory is a link, and that the link was turned', async () => {
    for (const name of ['one', 'two']) mkdirSync(join(root, name));
    const link = join(root, 'link');
    symlinkSync('one', link);
    const monitor = await monitorOf([link]);
    expect(monitor.findings()).toMatchObject([{ code: 'DIRECTORY_IS_LINK', message: expect.stringContaining(join(root, 'one')) }]);
    unlinkSync(link);
    symlinkSync('two', link);
    writeFileSync(join(root, 'two', 'a.raw'), Buffer.alloc(MiB));
    await expectTrue(monitor, [link]);
    expect(monitor.findings()).toMatchObject([{ code: 'DIRECTORY_LEADS_ELSEWHERE', level: 'warning' }]);
  });
});

describe('watching', () => {
  async function until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  it('sees a new image, a write and a deletion long before the next look is due, in directories made later too', async () => {
    mkdirSync(join(root, 'vms'));
    const monitor = await monitorOf([root], { mostWatches: 100 });
    const lengths = (): unknown[] => theStore(monitor).report.images.map(({ length }) => length);
    const path = join(root, 'vms', 'new.raw');
    writeFileSync(path, Buffer.alloc(MiB));
    await until(() => lengths()[0] === MiB);
    appendFileSync(path, Buffer.alloc(512));
    await until(() => lengths()[0] === MiB + 512);
    mkdirSync(join(root, 'later'));
    renameSync(path, join(root, 'later', 'new.raw'));
    await until(() => theStore(monitor).report.images[0]?.path === join(root, 'later', 'new.raw'));
    rmSync(join(root, 'later'), { recursive: true });
    await until(() => lengths().length === 0);
    expect(monitor.findings()).toEqual([]);
  });

  it('goes by the clock where it may not watch, and says so', async () => {
    for (const name of ['one', 'two', 'three']) mkdirSync(join(root, name));
    const monitor = await monitorOf([root], { mostWatches: 2, everyMs: 100 });
    expect(monitor.findings()).toContainEqual(
      expect.objectContaining({ code: 'WATCHES_INCOMPLETE', message: expect.stringMatching(/^inotify covers 2 of 4 directories/) }),
    );
    writeFileSync(join(root, 'one', 'a.raw'), Buffer.alloc(MiB));
    await until(() => theStore(monitor).report.images.length === 1);
  });

  it('says that a look takes longer than the time between two', async () => {
    someImages();
    const monitor = await monitorOf([root], { everyMs: 0.01 });
    expect(monitor.findings().map(({ code }) => code)).toEqual(['SCAN_SLOW']);
  });
});

describe('machines', () => {
  it('are named beside the images that they have open', async () => {
    someImages();
    const monitor = await monitorOf([root]);
    expect([...theStore(monitor).machines]).toEqual([]);
    {
      const disk = `driver=raw,node-name=d,file.driver=file,file.filename=${join(root, 'b.raw')}`;
      await using _ = await aMachine('web', '6c6b2f4e-1c1e-4d0c-9a53-0d6d1b0f7f01', '-blockdev', disk);
      const changes: unknown[] = [];
      monitor.onScanned((_store, changed) => changes.push(...changed));
      await monitor.refresh();
      expect([...theStore(monitor).machines]).toEqual([[join(root, 'b.raw'), 'web']]);
      expect(changes).toContain(join(root, 'b.raw'));
    }
    await monitor.refresh();
    expect([...theStore(monitor).machines]).toEqual([]);
  });
});

describe.runIf(mountable)('on filesystems of their own', () => {
  it('a store that is unmounted has vanished with its last report, and comes back', async () => {
    pretendTimePasses();
    const image = join(root, 'filesystem');
    const place = join(root, 'place');
    mkdirSync(place);
    truncateSync(openAndClose(image), 16 * MiB);
    run('mkfs.ext4', '-q', image);
    const mount = (): void => run('mount', '-o', 'loop', image, place);
    mount();
    try {
      writeFileSync(join(place, 'a.raw'), Buffer.alloc(MiB, 1));
      const monitor = await monitorOf([place], { mostWatches: 10 });
      const { id } = theStore(monitor).report;
      run('umount', place);
      await monitor.refresh();
      const byId = (): StoreSnapshot => monitor.stores().find(({ report }) => report.id === id) as StoreSnapshot;
      expect(byId()).toMatchObject({ presence: 'vanished', directories: [place] });
      expect(byId().report.images.map(({ path }) => path)).toEqual([join(place, 'a.raw')]);
      expect(byId().report.findings[0]).toMatchObject({
        code: 'STORE_VANISHED',
        level: 'critical',
        message: expect.stringContaining('is now on'),
      });
      // What is mounted below is a store of its own, and an empty one.
      expect(monitor.stores().map(({ presence, report }) => [presence, report.images.length])).toEqual([
        ['present', 0],
        ['vanished', 1],
      ]);
      mount();
      await monitor.refresh();
      expect(byId()).toMatchObject({ presence: 'present' });
      expect(byId().report.findings.map(({ code }) => code)).toContain('STORE_CAME_BACK');
      expect(byId().report.images).toHaveLength(1);
    } finally {
      execFileSync('umount', ['--lazy', place], { stdio: 'ignore' });
    }
  });

  it('a group of clones is copied whole and frees what only its members use', async () => {
    const directory = await mounted('xfs');
    const at = (name: string): string => join(directory, name);
    writeFileSync(at('template.raw'), Buffer.alloc(8 * MiB, 7));
    for (const name of ['one.raw', 'two.raw']) run('cp', '--reflink=always', at('template.raw'), at(name));
    writeFileSync(at('alone.raw'), Buffer.alloc(2 * MiB, 7));
    run('sync', '-f', directory);
    const monitor = await monitorOf([directory]);
    const group = (...names: string[]): unknown => theStore(monitor).groupStorage(names.map(at));
    expect(group('one.raw')).toEqual({ copied: 8 * MiB, freed: 0 });
    expect(group('one.raw', 'two.raw')).toEqual({ copied: 16 * MiB, freed: 0 });
    expect(group('one.raw', 'two.raw', 'template.raw', 'alone.raw', 'unknown')).toEqual({ copied: 26 * MiB, freed: 10 * MiB });
    expect(group('alone.raw', 'alone.raw')).toEqual({ copied: 2 * MiB, freed: 2 * MiB });
  });

  it('a template with many clones is not read again because one of them is written to', async () => {
    pretendTimePasses();
    const directory = await mounted('xfs');
    const at = (name: string): string => join(directory, name);
    writeFileSync(at('template.raw'), Buffer.alloc(MiB, 7));
    for (const name of ['one.raw', 'two.raw', 'three.raw']) run('cp', '--reflink=always', at('template.raw'), at(name));
    run('sync', '-f', directory);
    const monitor = await monitorOf([directory]);
    write(at('one.raw'), 0, 64 * KiB);
    run('sync', '-f', directory);
    expect(await imagesReadDuring(monitor, () => monitor.refresh())).toBe(1);
    await expectTrue(monitor, [directory]);
  });
});

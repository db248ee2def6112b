/** The files of a store that count, and by which figure: never on the word of an image, and never less than can still be written. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  realpathSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreMonitor, scan, type ScanOptions } from '#pool';
import type { ScannedImage, StoreReport } from '#wire';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const DISK = 200 * GiB;

let directory: string;
const running: ChildProcess[] = [];
const descriptors: number[] = [];
const loopDevices: string[] = [];
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'plimsoll-store-')));
});
afterEach(async () => {
  for (const fd of descriptors.splice(0)) closeSync(fd);
  for (const child of running.splice(0)) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
  rmSync(directory, { recursive: true, force: true });
});
const at = (name: string): string => join(directory, name);

function sparse(name: string, byteLength: number, content: Buffer | string = ''): string {
  writeFileSync(at(name), content);
  truncateSync(at(name), byteLength);
  return at(name);
}

async function theStore(options: ScanOptions = {}): Promise<StoreReport> {
  for await (const event of scan([directory], options)) if (event.type === 'report') return event.report.stores[0] as StoreReport;
  throw new Error('the scan ended without a report');
}

function imageNamed({ images }: StoreReport, name: string): ScannedImage {
  const image = images.find(({ path }) => path === at(name));
  if (image === undefined) throw new Error(`${name} is not among ${images.map(({ path }) => path).join(', ')}`);
  return image;
}

const codes = ({ findings }: Pick<StoreReport, 'findings'>): string[] => findings.map(({ code }) => code);

function overlayOn(backing: string, name = 'upload.qcow2', format = 'raw'): void {
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', backing, '-F', format, at(name), '1M']);
}

/** A real QEMU without a machine that has `path` open for writing. */
async function qemuOn(path: string, format = 'raw', options = ''): Promise<ChildProcess> {
  const disk = `driver=${format},node-name=disk,file.driver=file,file.filename=${path}${options}`;
  const words = ['-accel', 'tcg', '-machine', 'none', '-nodefaults', '-display', 'none', '-monitor', 'stdio', '-blockdev', disk];
  const child = spawn('qemu-system-x86_64', words, { stdio: ['pipe', 'pipe', 'inherit'] });
  running.push(child);
  await new Promise<void>((resolve) => {
    child.stdout?.on('data', (bytes: Buffer) => {
      if (bytes.includes('(qemu)')) resolve();
    });
  });
  return child;
}

describe('--never-written', () => {
  it('backing: an upload that names another disk as its backing file does not remove that from the sum', async () => {
    sparse('victim.img', DISK);
    const before = (await theStore()).residual ?? 0;
    overlayOn('victim.img');
    const store = await theStore({ neverWritten: ['backing'] });
    expect(store.residual).toBeGreaterThanOrEqual(before);
    expect(imageNamed(store, 'victim.img')).toMatchObject({ neverWritten: null });
    expect(codes(imageNamed(store, 'victim.img'))).toContain('BACKING_WRITABLE');
  });

  it('backing: counts a base that no process may write by its current allocation', async () => {
    sparse('base.img', DISK);
    overlayOn('base.img');
    chmodSync(at('base.img'), 0o444);
    expect((await theStore()).residual).toBeGreaterThanOrEqual(DISK);
    const store = await theStore({ neverWritten: ['backing'] });
    expect(store.residual).toBeLessThan(GiB);
    expect(imageNamed(store, 'base.img')).toMatchObject({ neverWritten: 'backing' });
  });

  it.each(['backing', '*.img', 'base.img'])('%s: a file that a QEMU has open for writing counts in full', async (pattern) => {
    sparse('base.img', DISK);
    overlayOn('base.img');
    chmodSync(at('base.img'), 0o444);
    expect((await theStore({ neverWritten: [pattern] })).residual).toBeLessThan(GiB);
    await qemuOn(at('base.img'));
    const store = await theStore({ neverWritten: [pattern] });
    expect(store.residual).toBeGreaterThanOrEqual(DISK);
    expect(codes(imageNamed(store, 'base.img'))).toContain('NEVER_WRITTEN_OPEN');
  });

  it.each([
    ['a descriptor without a lock', (): void => void descriptors.push(openSync(at('base.img'), 'r+'))],
    [
      'a loop device',
      (): void => {
        const device = execFileSync('losetup', ['--find', '--show', at('base.img')], { encoding: 'utf8' }).trim();
        loopDevices.push(device);
      },
    ],
  ])('sees %s', async (_what, open) => {
    sparse('base.img', GiB);
    open();
    try {
      expect((await theStore({ neverWritten: ['base.img'] })).residual).toBeGreaterThanOrEqual(GiB);
    } finally {
      for (const device of loopDevices.splice(0)) execFileSync('losetup', ['-d', device]);
    }
  });

  it('detects a shared writable mapping whose descriptor is closed', async () => {
    sparse('base.img', GiB);
    const script = `import mmap, os, sys, time
f = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(f, 4096)
os.close(f)
print('mapped', flush=True)
time.sleep(600)`;
    const child = spawn('python3', ['-c', script, at('base.img')], { stdio: ['ignore', 'pipe', 'inherit'] });
    running.push(child);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    expect((await theStore({ neverWritten: ['base.img'] })).residual).toBeGreaterThanOrEqual(GiB);
  });

  it('a pattern covers a file by all of its names or not at all', async () => {
    sparse('base.img', GiB);
    linkSync(at('base.img'), at('vm.img'));
    expect((await theStore({ neverWritten: ['base.img'] })).residual).toBeGreaterThanOrEqual(GiB);
    expect((await theStore({ neverWritten: ['base.img', 'vm.img'] })).residual).toBe(0);
  });

  it('an unreadable file it covers has a known future', async () => {
    writeFileSync(at('template.qed'), Buffer.concat([Buffer.from('QED\0'), Buffer.alloc(MiB, 0xff)]));
    expect((await theStore()).fits).toBeNull();
    expect((await theStore({ neverWritten: ['*.qed'] })).fits).toBe(true);
  });
});

describe('--exclude', () => {
  it('leaves out files and directories, and repeats the patterns in the answer', async () => {
    mkdirSync(at('templates'));
    for (const name of ['templates/broken.qcow2', 'old.vmdk', 'disk.raw']) sparse(name, MiB, 'no image');
    expect((await theStore()).fits).toBeNull();
    const store = await theStore({ exclude: ['templates/', '*.vmdk'] });
    expect([store.fits, store.images.map(({ path }) => path)]).toEqual([true, [at('disk.raw')]]);
    expect(store.findings.find(({ code }) => code === 'EXCLUDED')?.message).toMatch(/^1 file and 1 directory excluded/);
  });

  it('does not leave out the data file of an image that counts', async () => {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=data.raw`, at('vm.qcow2'), '1G'], { cwd: directory });
    expect((await theStore({ exclude: ['*.raw'] })).residual).toBeGreaterThanOrEqual(GiB);
  });
});

describe('a file that no guest writes', () => {
  const ISO = Buffer.concat([Buffer.alloc(16 * 2048), Buffer.from('\x01CD001\x01')]);
  const VMA = Buffer.from('VMA\0');

  it.each([
    ['install.iso', ISO],
    ['backup.vma', VMA],
  ])('%s: counts with what it holds, and says so', async (name, content) => {
    sparse(name, GiB, content);
    const store = await theStore();
    expect(store.residual).toBe(0);
    expect(imageNamed(store, name)).toMatchObject({ neverWritten: 'content' });
    expect(codes(imageNamed(store, name))).toContain('NEVER_WRITTEN');
  });

  it('a stream-optimised VMDK likewise', async () => {
    sparse('source.raw', 64 * MiB);
    execFileSync('qemu-img', ['convert', '-O', 'vmdk', '-o', 'subformat=streamOptimized', at('source.raw'), at('export.vmdk')]);
    rmSync(at('source.raw'));
    expect(await theStore()).toMatchObject({ residual: 0, images: [{ neverWritten: 'content' }] });
  });

  it.each([
    ['vm.img', ISO],
    ['vm.raw', VMA],
    ['vm.iso', Buffer.alloc(0)],
    ['vm.vma', Buffer.alloc(0)],
  ])('%s: a name or a content alone is not enough', async (name, content) => {
    sparse(name, GiB, content);
    expect((await theStore()).residual).toBeGreaterThanOrEqual(GiB);
  });

  it('a raw disk named .iso with such content that a QEMU writes counts in full', async () => {
    sparse('vm.iso', GiB, ISO);
    await qemuOn(at('vm.iso'));
    expect((await theStore()).residual).toBeGreaterThanOrEqual(GiB);
  });
});

describe('a file that was removed while a process writes it', () => {
  it('counts, with its growth, until the process closes it', async () => {
    sparse('vm.img', DISK);
    const qemu = await qemuOn(at('vm.img'));
    rmSync(at('vm.img'));
    const store = await theStore();
    expect(store.residual).toBeGreaterThanOrEqual(DISK);
    expect(codes(imageNamed(store, 'vm.img (deleted)'))).toContain('REMOVED_IN_USE');
    qemu.kill('SIGKILL');
    await new Promise((resolve) => qemu.once('exit', resolve));
    running.splice(0);
    expect((await theStore()).images).toEqual([]);
  });

  it('is read as the qcow2 that it is, with its references', async () => {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', at('base.qcow2'), '1G']);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', at('vm.qcow2'), '8G']);
    await qemuOn(at('vm.qcow2'), 'qcow2');
    rmSync(at('vm.qcow2'));
    const image = imageNamed(await theStore(), 'vm.qcow2 (deleted)');
    expect(image).toMatchObject({ format: 'qcow2', capacity: 8 * GiB, chain: [{ status: 'opened' }] });
    expect(image.commitment).toBeLessThan(9 * GiB);
  });

  it('counts by its holes if it was not an image: a log, a database', async () => {
    const fd = openSync(at('journal.log'), 'w');
    descriptors.push(fd);
    writeSync(fd, Buffer.alloc(MiB));
    ftruncateSync(fd, GiB);
    rmSync(at('journal.log'));
    expect((await theStore()).otherHoles).toBeGreaterThanOrEqual(GiB - MiB);
  });

  it('leaves the answer unknown while a loop device uses it', async () => {
    sparse('vm.img', GiB);
    const device = execFileSync('losetup', ['-f', '--show', at('vm.img')], { encoding: 'utf8' }).trim();
    try {
      expect(codes(await theStore())).not.toContain('LOOP_FILE_REMOVED');
      rmSync(at('vm.img'));
      const store = await theStore();
      expect(codes(store)).toContain('LOOP_FILE_REMOVED');
      expect(store.fits).toBeNull();
    } finally {
      execFileSync('losetup', ['-d', device]);
    }
    expect(codes(await theStore())).not.toContain('LOOP_FILE_REMOVED');
  });

  it('is noticed by a daemon when it is removed, and when it is closed', async () => {
    const monitor = new StoreMonitor({ directories: [directory] });
    try {
      sparse('vm.img', DISK);
      const fd = openSync(at('vm.img'), 'r+');
      await monitor.start();
      rmSync(at('vm.img'));
      await monitor.refresh();
      expect(monitor.stores()[0]?.report.residual).toBeGreaterThanOrEqual(DISK);
      closeSync(fd);
      await monitor.refresh();
      expect(monitor.stores()[0]?.report.residual).toBe(0);
    } finally {
      await monitor.close();
    }
  });
});

describe('holes in files that are not disk images', () => {
  it('count beside the images, by name, and can be left out', async () => {
    for (let index = 0; index < 16; index += 1) sparse(`vm${index}_VARS.fd`, 64 * MiB);
    sparse('vm.nvram', 32 * MiB);
    sparse('core.log', GiB);
    writeFileSync(at('notes.txt'), 'no hole');
    const bound = 16 * 64 * MiB + 32 * MiB + GiB;
    const store = await theStore();
    expect(store.otherHoles).toBeGreaterThanOrEqual(bound);
    expect(store.residual).toBe(store.otherHoles);
    expect(store.headroom).toBe(store.available - (store.residual ?? 0));
    const finding = store.findings.find(({ code }) => code === 'OTHER_HOLES')?.message ?? '';
    expect(finding).toMatch(/core\.log \(1\.0\d GiB\)/);
    expect(finding).toMatch(/18 other files.*, and 13 more/);
    expect((await theStore({ exclude: ['*.fd', '*.nvram'], neverWritten: ['core.*'] })).residual).toBe(0);
  });

  it('turn a yes into a no', async () => {
    sparse('vm_VARS.fd', 8 * 2 ** 40);
    expect((await theStore()).fits).toBe(false);
  });

  it('do not exist in fully written files', async () => {
    writeFileSync(at('backup.tar.gz'), Buffer.alloc(MiB, 1));
    expect(await theStore()).toMatchObject({ residual: 0, otherHoles: 0, fits: true });
  });
});

/** A guest owns every byte of its raw disk: whatever format's header it writes there, no figure of the disk becomes smaller. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, readSync, realpathSync, rmSync, closeSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreMonitor, scan } from '#pool';
import type { ScannedImage, StoreReport } from '#wire';

const MiB = 2 ** 20;
const DISK = 8 * 2 ** 40;
const HEAD_BYTES = 4 * MiB;

let directory: string;
let elsewhere: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'plimsoll-signatures-')));
  elsewhere = mkdtempSync(join(tmpdir(), 'plimsoll-headers-'));
});
afterEach(() => {
  for (const one of [directory, elsewhere]) rmSync(one, { recursive: true, force: true });
});
const at = (name: string): string => join(directory, name);

function sparseDisk(name: string): string {
  writeFileSync(at(name), '');
  truncateSync(at(name), DISK);
  return at(name);
}

/** What real tools write at the start of an image of 16 MiB. */
function headOf(format: string, options: readonly string[]): Buffer {
  const path = join(elsewhere, `${format}${options.join('')}`.replaceAll(/[^a-z0-9]/gi, '-'));
  const secret = format === 'luks' ? ['--object', 'secret,id=s,data=x'] : [];
  execFileSync('qemu-img', ['create', '-q', ...secret, '-f', format, ...options.flatMap((one) => ['-o', one]), path, '16M'], {
    cwd: elsewhere,
  });
  return readFileSync(path).subarray(0, HEAD_BYTES);
}

/** The guest's own write, through QEMU. */
function guestWrites(disk: string, bytes: Buffer, offset: number): void {
  const source = join(elsewhere, 'bytes');
  const padded = Buffer.alloc(Math.ceil(bytes.length / 512) * 512);
  padded.set(bytes);
  writeFileSync(source, padded);
  execFileSync('qemu-io', ['-f', 'raw', '-c', `write -s ${source} ${offset} ${padded.length}`, disk]);
}

async function theStore(rawFiles: readonly string[] = []): Promise<StoreReport> {
  for await (const event of scan([directory], { rawFiles })) if (event.type === 'report') return event.report.stores[0] as StoreReport;
  throw new Error('the scan ended without a report');
}

function onlyImage({ images }: Pick<StoreReport, 'images'>): ScannedImage {
  expect(images).toHaveLength(1);
  return images[0] as ScannedImage;
}

const CONTAINERS: readonly (readonly [name: string, format: string, ...options: string[]])[] = [
  ['qcow2', 'qcow2'],
  ['qcow2 of version 2', 'qcow2', 'compat=0.10'],
  ['qcow2 with an external data file', 'qcow2', 'data_file=data.raw'],
  ['qcow', 'qcow'],
  ['sparse VMDK', 'vmdk'],
  ['streamOptimized VMDK', 'vmdk', 'subformat=streamOptimized'],
  ['flat VMDK descriptor', 'vmdk', 'subformat=monolithicFlat'],
  ['VDI', 'vdi'],
  ['VHDX', 'vhdx'],
  ['dynamic VHD', 'vpc'],
  ['QED', 'qed'],
  ['Parallels', 'parallels'],
  ['LUKS', 'luks', 'key-secret=s,iter-time=10'],
];

const WRAPPINGS: readonly (readonly [name: string, bytes: Buffer, offset: number])[] = [
  ['gzip', Buffer.from([0x1f, 0x8b, 8]), 0],
  ['xz', Buffer.from('\xfd7zXZ\0', 'latin1'), 0],
  ['zstd', Buffer.from('\x28\xb5\x2f\xfd', 'latin1'), 0],
  ['bzip2', Buffer.from('BZh91AY&SY'), 0],
  ['zip', Buffer.from('PK\x03\x04', 'latin1'), 0],
  ['tar', Buffer.concat([Buffer.alloc(257), Buffer.from('ustar\x0000')]), 0],
  ['VMA', Buffer.from('VMA\0'), 0],
  ['ISO 9660', Buffer.concat([Buffer.alloc(1), Buffer.from('CD001\x01')]), 16 * 2048],
  ['text', Buffer.from('# Disk DescriptorFile\nversion=1\n'), 0],
  ['VHD footer', Buffer.concat([Buffer.from('conectix'), Buffer.alloc(504)]), DISK - 512],
  ['DMG trailer', Buffer.concat([Buffer.from('koly'), Buffer.alloc(508)]), DISK - 512],
  ['bad qcow2', Buffer.from('QFI\xfb\0\0\0\x03\xff\xff', 'latin1'), 0],
];

const NAMES = ['vm.img', 'vm.raw', 'volume-5f2c3f0e', 'vm.snap1', 'vm.bin'];

/** Whether a write by the guest makes a figure of its raw disk smaller, or the answer of the store better. */
async function isLowered(name: string, write: (disk: string) => void): Promise<boolean> {
  const disk = sparseDisk(name);
  write(disk);
  const store = await theStore();
  const { commitment, residual, allocation, format, findings } = onlyImage(store);
  const expected = format === 'raw' ? 'RAW_WITH_SIGNATURE' : 'FORMAT_UNPROVEN';
  const isWhole = (commitment ?? 0) >= DISK && residual === (commitment ?? 0) - (allocation ?? 0);
  return !isWhole || store.fits !== false || !findings.some(({ code }) => code === expected);
}

describe('a raw disk on which the guest wrote the header of an image', () => {
  it.each(CONTAINERS)('%s: its figure does not shrink and the answer stays no', async (_what, format, ...options) => {
    const head = headOf(format, options);
    for (const name of NAMES) {
      expect(await isLowered(name, (disk) => guestWrites(disk, head, 0))).toBe(false);
      rmSync(at(name));
    }
  });

  it.each(CONTAINERS.filter(([, format]) => ['qcow2', 'vmdk', 'vdi', 'vhdx', 'qed', 'qcow'].includes(format)))(
    '%s: also where the name of the raw disk ends as that of the format',
    async (_what, format, ...options) => {
      const disk = sparseDisk(`vm.${format}`);
      expect((await theStore()).fits).toBe(false);
      guestWrites(disk, headOf(format, options), 0);
      expect((await theStore()).fits).not.toBe(true);
    },
  );

  it.each(WRAPPINGS)('%s: still counts whole', async (_what, bytes, offset) => {
    for (const name of NAMES) {
      const disk = sparseDisk(name);
      guestWrites(disk, bytes, offset);
      const store = await theStore();
      expect(onlyImage(store).commitment).toBeGreaterThanOrEqual(DISK);
      expect(store.fits).toBe(false);
      rmSync(at(name));
    }
  });

  it('an encrypted raw disk leaves the answer known, with the same commitment', async () => {
    const head = headOf('luks', ['key-secret=s,iter-time=10']);
    for (const name of ['vm.img', 'vm.luks', 'vm']) {
      writeFileSync(at(name), '');
      truncateSync(at(name), 64 * MiB);
      guestWrites(at(name), head, 0);
      const undeclared = onlyImage(await theStore());
      const asRaw = onlyImage(await theStore([at(name)]));
      expect(undeclared).toMatchObject({ format: 'luks', capacity: 64 * MiB - 2_068_480, commitment: asRaw.commitment });
      expect(undeclared.error).toBeUndefined();
      rmSync(at(name));
    }
  });

  it('a header with the corrupt bit, which QEMU would not write, does not bound it either', async () => {
    const head = Buffer.from(headOf('qcow2', []));
    head.writeUInt8(2, 79);
    expect(await isLowered('vm.img', (disk) => guestWrites(disk, head, 0))).toBe(false);
  });

  it('is remembered by a daemon: a name with the extension of the format gives a new header no weight', async () => {
    const small = 300 * MiB;
    writeFileSync(at('vm.qcow2'), '');
    truncateSync(at('vm.qcow2'), small);
    const monitor = new StoreMonitor({ directories: [directory] });
    try {
      await monitor.start();
      guestWrites(at('vm.qcow2'), headOf('qcow2', []), 0);
      await monitor.refresh();
      await monitor.refresh();
      const image = onlyImage(monitor.stores()[0]?.report as StoreReport);
      expect(image.format).toBe('qcow2');
      expect(image.commitment).toBeGreaterThanOrEqual(small);
    } finally {
      await monitor.close();
    }
  });
});

describe('an image of a container format', () => {
  it.each([
    ['vm.qcow2', 'off'],
    ['vm.qcow2', 'metadata'],
    ['vm.img', 'off'],
    ['vm', 'off'],
  ])('%s, preallocation %s: keeps its exact figures', async (name, preallocation) => {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `preallocation=${preallocation}`, at(name), '1G']);
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write 0 8M', '-c', 'write 512M 8M', '-c', 'discard 512M 8M', at(name)]);
    const declared = JSON.parse(
      execFileSync('node', ['--import', 'tsx', '--conditions=source', 'src/cli/main.ts', 'info', '--json', '-f', 'qcow2', at(name)], {
        encoding: 'utf8',
      }),
    ) as { images: [ScannedImage] };
    const image = onlyImage(await theStore());
    expect(image.commitment).toBe(declared.images[0].commitment);
    expect(image.findings.map(({ code }) => code)).not.toContain('FORMAT_UNPROVEN');
  });

  it('with a long punched tail keeps its figures only by its extension; without it the larger reading counts', async () => {
    for (const name of ['vm.qcow2', 'vm.img']) {
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', at(name), '64M']);
      execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write 0 64M', at(name)]);
      execFileSync('qemu-img', ['snapshot', '-c', 'one', at(name)]);
      execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write 0 64M', at(name)]);
      execFileSync('qemu-img', ['snapshot', '-d', 'one', at(name)]);
      truncateSync(at(name), 256 * MiB);
    }
    const { images } = await theStore();
    const [named, other] = ['vm.qcow2', 'vm.img'].map((name) => images.find(({ path }) => path === at(name)) as ScannedImage);
    expect(named?.commitment).toBeLessThan(128 * MiB);
    expect(other?.commitment).toBeGreaterThanOrEqual(256 * MiB);
    expect(other?.components.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(other?.commitment);
    expect(other?.findings.map(({ code }) => code)).toContain('FORMAT_UNPROVEN');
  });
});

describe('a guest of a container', () => {
  it('changes nothing by a footer in the last sector of the file, which is its own data', async () => {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', at('vm.qcow2'), '16M']);
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write 0 1M', at('vm.qcow2')]);
    const before = onlyImage(await theStore());
    const file = openSync(at('vm.qcow2'), 'r');
    const length = before.length ?? 0;
    const last = Buffer.alloc(512);
    readSync(file, last, 0, 512, length - 512);
    closeSync(file);
    guestWrites(at('vm.qcow2'), Buffer.from('conectix'), length - 512);
    expect(onlyImage(await theStore())).toMatchObject({ format: 'qcow2', commitment: before.commitment });
  });
});

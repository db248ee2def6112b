/** What guests and strangers can put into a store to make a scan say something wrong, or nothing. */
import { linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scan, type ScanOptions } from '#pool';
import type { ScannedImage, ScanReport, StoreReport } from '#wire';
import { aQcow2 } from '../support/qcow2-builder.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'plimsoll-scan-')));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function reportOf(options: ScanOptions): Promise<ScanReport> {
  for await (const event of scan([directory], options)) if (event.type === 'report') return event.report;
  throw new Error('the scan ended without a report');
}

async function theStore(...directories: string[]): Promise<StoreReport> {
  for await (const event of scan(directories.length > 0 ? directories : [directory])) {
    if (event.type === 'report') return event.report.stores[0] as StoreReport;
  }
  throw new Error('the scan ended without a report');
}

function imageNamed(store: StoreReport, name: string): ScannedImage {
  const image = store.images.find((one) => one.path === join(directory, name));
  if (image === undefined) throw new Error(`${name} is not among ${store.images.map((one) => one.path).join(', ')}`);
  return image;
}

function sparseDisk(name: string, firstBytes: Buffer, at = 0): void {
  const content = Buffer.alloc(512);
  content.set(firstBytes, at);
  writeFileSync(join(directory, name), content);
  truncateSync(join(directory, name), GiB);
}

describe('a raw disk on which the guest wrote a signature', () => {
  it.each([
    ['gzip', Buffer.from([0x1f, 0x8b, 8]), 0],
    ['tar', Buffer.from('ustar'), 257],
    ['zip', Buffer.from('PK\x03\x04', 'latin1'), 0],
    ['xz', Buffer.from('\xfd7zXZ\0', 'latin1'), 0],
  ])('%s: is still counted', async (_what, signature, at) => {
    for (const name of ['vm.img', 'vm.raw', 'volume-5f2c3f0e']) sparseDisk(name, signature, at);
    const store = await theStore();
    expect(store.images.map((image) => image.commitment)).toEqual([expect.any(Number), expect.any(Number), expect.any(Number)]);
    for (const image of store.images) {
      expect(image.commitment).toBeGreaterThanOrEqual(GiB);
      expect(image.findings.map((one) => one.code)).toContain('RAW_WITH_SIGNATURE');
    }
  });

  it.each(['qcow2', 'vmdk', 'luks'])('%s: is counted, or the answer is unknown', async (what) => {
    const signatures: Record<string, Buffer> = {
      qcow2: Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'),
      vmdk: Buffer.from('KDMV'),
      luks: Buffer.from('LUKS\xba\xbe', 'latin1'),
    };
    sparseDisk('vm.img', signatures[what] as Buffer);
    const store = await theStore();
    const image = imageNamed(store, 'vm.img');
    expect(image.error === undefined ? (image.commitment ?? 0) >= GiB : store.fits !== true).toBe(true);
  });

  it('is known when it is declared raw, by any of its names, and nothing else changes', async () => {
    for (const name of ['vm.img', 'other.img']) sparseDisk(name, Buffer.from('WithoutFreeSpace'));
    linkSync(join(directory, 'vm.img'), join(directory, 'vm.hdd'));
    symlinkSync(join(directory, 'vm.hdd'), join(directory, 'link'));
    const undeclared = imageNamed(await theStore(), 'other.img');
    expect(undeclared.error?.message).toContain('scan --raw FILE');
    const { stores, errors } = await reportOf({ rawFiles: [join(directory, 'link')] });
    const vm = (stores[0] as StoreReport).images.find((one) => one.error === undefined);
    expect(vm).toMatchObject({ format: 'raw', formatSource: 'declared', capacity: GiB });
    expect(vm?.findings.map((one) => one.code)).toContain('RAW_WITH_SIGNATURE');
    expect(imageNamed(stores[0] as StoreReport, 'other.img').error?.code).toBe('FORMAT_NOT_READ');
    expect(errors).toEqual([]);
  });

  it('a declaration that matches no file is an error', async () => {
    const { errors } = await reportOf({ rawFiles: ['/etc/passwd', join(directory, 'nowhere')] });
    expect(errors.map(({ code }) => code).sort()).toEqual(['IO_ENOENT', 'RAW_FILE_UNMET']);
  });

  it('archives by name and content are left out', async () => {
    writeFileSync(join(directory, 'backup.tar.gz'), Buffer.concat([Buffer.from([0x1f, 0x8b, 8]), Buffer.alloc(MiB)]));
    const store = await theStore();
    expect(store.images).toEqual([]);
    expect(store.findings.map((one) => one.code)).toContain('OTHER_FILES');
  });
});

describe('a file with several names', () => {
  it('has the first in byte order as its path, whichever is read first', async () => {
    const names = ['c.raw', 'a.raw', 'b.raw'];
    for (let turn = 0; turn < 20; turn += 1) {
      const first = join(directory, names[turn % 3] as string);
      writeFileSync(first, Buffer.alloc(MiB));
      for (const name of names) if (join(directory, name) !== first) linkSync(first, join(directory, name));
      const { images } = await theStore();
      expect(images.map(({ path, aliases }) => [path, ...aliases])).toEqual([
        ['a.raw', 'b.raw', 'c.raw'].map((name) => join(directory, name)),
      ]);
      for (const name of names) rmSync(join(directory, name));
    }
  });

  it('is an image if any of its names suggests it', async () => {
    writeFileSync(join(directory, 'a.log'), Buffer.alloc(MiB));
    linkSync(join(directory, 'a.log'), join(directory, 'z.raw'));
    const { images, findings } = await theStore();
    expect(images.map(({ path, aliases }) => [path, aliases])).toEqual([[join(directory, 'z.raw'), [join(directory, 'a.log')]]]);
    expect(findings.map(({ code }) => code)).not.toContain('OTHER_FILES');
  });
});

describe('an image that names another one as its data file', () => {
  it('does not reduce the figure of that one', async () => {
    aQcow2({ capacity: 100 * GiB }).write(join(directory, 'victim.qcow2'));
    const alone = imageNamed(await theStore(), 'victim.qcow2');
    aQcow2({ capacity: MiB }).withDataFile('victim.qcow2').write(join(directory, 'attacker.qcow2'));
    const claimed = imageNamed(await theStore(), 'victim.qcow2');
    expect(claimed).toMatchObject({ format: 'qcow2', capacity: 100 * GiB, commitment: alone.commitment });
  });

  it('does not give figures to an unreadable one', async () => {
    writeFileSync(join(directory, 'victim.vmdk'), Buffer.concat([Buffer.from('KDMV'), Buffer.alloc(MiB)]));
    aQcow2().withDataFile('victim.vmdk').write(join(directory, 'attacker.qcow2'));
    const store = await theStore();
    expect(imageNamed(store, 'victim.vmdk').error?.kind).toBe('unsupported');
    expect(store.fits).not.toBe(true);
  });

  it('and several references to one raw file count the longest', async () => {
    writeFileSync(join(directory, 'data.raw'), Buffer.alloc(MiB));
    aQcow2({ capacity: 100 * MiB })
      .withDataFile('data.raw')
      .write(join(directory, 'a.qcow2'));
    aQcow2({ capacity: 2 * MiB })
      .withDataFile('data.raw')
      .write(join(directory, 'b.qcow2'));
    aQcow2({ capacity: 50 * MiB })
      .withDataFile('data.raw')
      .write(join(directory, 'c.qcow2'));
    expect(imageNamed(await theStore(), 'data.raw').commitment).toBeGreaterThanOrEqual(100 * MiB);
  });

  it('a loop through a data file is an error and not a verdict', async () => {
    aQcow2().withDataFile('self.qcow2').write(join(directory, 'self.qcow2'));
    const store = await theStore();
    expect(imageNamed(store, 'self.qcow2').error).toMatchObject({ code: 'CHAIN_LOOP' });
    expect(store.fits).not.toBe(true);
  });
});

describe('a store with bad files among good ones', () => {
  it('reports each, misses none and does not answer yes', async () => {
    aQcow2().write(join(directory, 'good.qcow2'));
    writeFileSync(join(directory, 'empty.qcow2'), '');
    writeFileSync(join(directory, 'text.qcow2'), 'no image\n'.repeat(100));
    aQcow2().withField('clusterBits', 99).write(join(directory, 'broken.qcow2'));
    aQcow2().write(join(directory, '\u001b[31mred\n.qcow2'));
    mkdirSync(join(directory, 'x.qcow2'));
    const store = await theStore();
    expect(store.images).toHaveLength(5);
    expect(
      store.images
        .filter((image) => image.error !== undefined)
        .map((image) => String(image.error?.code))
        .toSorted((a, b) => (a < b ? -1 : 1)),
    ).toEqual(['QCOW2_CLUSTER_BITS', 'SIGNATURE_MISSING', 'SIGNATURE_MISSING']);
    expect(store.fits).not.toBe(true);
  });

  it('rejects with the reason of an abort, and leaves no unhandled rejection while the consumer is slow', async () => {
    for (let index = 0; index < 200; index += 1) {
      mkdirSync(join(directory, String(index)));
      aQcow2({ capacity: 4 * GiB })
        .withL2(0, [])
        .withL2(3, [])
        .write(join(directory, String(index), 'x.qcow2'));
    }
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    const controller = new AbortController();
    const run = async (): Promise<void> => {
      for await (const _ of scan([directory], { signal: controller.signal, concurrency: 1000 })) {
        controller.abort(new Error('enough'));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await expect(run()).rejects.toThrow('enough');
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
  });
});

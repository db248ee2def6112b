/** VMDK descriptors made to deceive: none lowers a figure of a store, takes an image out of its sum, or opens a foreign file. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreMonitor, scan } from '#pool';
import { examineImage } from '#sandbox';
import type { ImageReport, ScannedImage, StoreReport } from '#wire';
import { aQcow2 } from '../support/qcow2-builder.ts';

const MiB = 2 ** 20;
const TiB = 2 ** 40;
const SECTOR = 512;

let directory: string;
let outside: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'plimsoll-split-')));
  outside = realpathSync(mkdtempSync(join(tmpdir(), 'plimsoll-outside-')));
});
afterEach(() => {
  for (const one of [directory, outside]) rmSync(one, { recursive: true, force: true });
});
const at = (name: string): string => join(directory, name);

function sparse(name: string, length: number): string {
  writeFileSync(at(name), '');
  truncateSync(at(name), length);
  return at(name);
}

function descriptor(lines: readonly string[], { name = 'disk.vmdk', createType = 'twoGbMaxExtentFlat', more = '' } = {}): string {
  const head = `# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="${createType}"\n${more}# Extent description\n`;
  writeFileSync(at(name), `${head}${lines.join('\n')}\n# The Disk Data Base\nddb.virtualHWVersion = "4"\n`);
  return at(name);
}

const flat = (name: string, bytes: number, offset = 0): string => `RW ${bytes / SECTOR} FLAT "${name}" ${offset / SECTOR}`;

async function theStore(): Promise<StoreReport> {
  for await (const event of scan([directory])) if (event.type === 'report') return event.report.stores[0] as StoreReport;
  throw new Error('the scan ended without a report');
}

const imageOf = ({ images }: StoreReport, name: string): ScannedImage => images.find(({ path }) => path === at(name)) as ScannedImage;
const codesOf = ({ findings }: Pick<ImageReport, 'findings'>): string[] => findings.map(({ code }) => code);

describe('a flat extent', () => {
  it('counts as the raw disk of its descriptor, and at least as one without', async () => {
    sparse('disk-flat.vmdk', 8 * TiB);
    const alone = await theStore();
    expect(imageOf(alone, 'disk-flat.vmdk').commitment).toBeGreaterThanOrEqual(8 * TiB);
    expect(alone.fits).toBe(false);
    descriptor([flat('disk-flat.vmdk', 8 * TiB)], { createType: 'monolithicFlat' });
    const named = await theStore();
    expect(named.images).toHaveLength(2);
    expect(imageOf(named, 'disk-flat.vmdk')).toMatchObject({ format: 'raw', capacity: 8 * TiB });
    expect(imageOf(named, 'disk-flat.vmdk').error).toBeUndefined();
    expect(imageOf(named, 'disk.vmdk')).toMatchObject({ capacity: 8 * TiB, commitment: 4096 });
    expect(named.commitment).toBe(named.images.reduce((sum, { commitment }) => sum + (commitment ?? 0), 0));
  });

  it.each([
    ['a sparse VMDK', 'vmdk'],
    ['a qcow2', 'qcow2'],
    ['a VMDK header that cannot be read', undefined],
  ])('on which the guest wrote the header of %s is counted whole', async (_, format) => {
    const disk = sparse('disk-flat.vmdk', 8 * TiB);
    descriptor([flat('disk-flat.vmdk', 8 * TiB)], { createType: 'monolithicFlat' });
    const head = join(outside, 'head');
    if (format === undefined) writeFileSync(head, Buffer.concat([Buffer.from('KDMV'), Buffer.alloc(508, 0xff)]));
    else execFileSync('qemu-img', ['create', '-q', '-f', format, head, '16M']);
    const length = Math.ceil(statSync(head).size / SECTOR) * SECTOR;
    truncateSync(head, length);
    execFileSync('qemu-io', ['-f', 'raw', '-c', `write -s ${head} 0 ${length}`, disk]);
    const store = await theStore();
    expect(imageOf(store, 'disk-flat.vmdk').commitment).toBeGreaterThanOrEqual(8 * TiB);
    expect(store.fits).toBe(false);
  });

  it('counts up to the end of the longest line, once', async () => {
    sparse('disk-flat.vmdk', MiB);
    descriptor([flat('disk-flat.vmdk', MiB), flat('disk-flat.vmdk', MiB, 7 * MiB), 'RW 2048 ZERO'], { createType: 'custom' });
    descriptor([flat('disk-flat.vmdk', 2 * MiB, 4 * MiB)], { name: 'second.vmdk' });
    const store = await theStore();
    expect(store.images).toHaveLength(3);
    expect(imageOf(store, 'disk-flat.vmdk')).toMatchObject({ maxLength: 8 * MiB });
    expect(imageOf(store, 'disk-flat.vmdk').commitment).toBeGreaterThanOrEqual(8 * MiB);
    expect(imageOf(store, 'disk.vmdk')).toMatchObject({ capacity: 3 * MiB, details: { extentFiles: 1 } });
    expect(codesOf(imageOf(store, 'disk.vmdk'))).toContain('VMDK_CAPACITY_DIFFERS');
  });

  it('that grows makes a daemon read its descriptor and itself again', async () => {
    sparse('disk-flat.vmdk', MiB);
    descriptor([flat('disk-flat.vmdk', MiB)]);
    const monitor = new StoreMonitor({ directories: [directory] });
    try {
      await monitor.start();
      descriptor([flat('disk-flat.vmdk', 64 * MiB)]);
      await monitor.refresh();
      const report = monitor.stores()[0]?.report as StoreReport;
      expect(imageOf(report, 'disk-flat.vmdk').commitment).toBeGreaterThanOrEqual(64 * MiB);
    } finally {
      await monitor.close();
    }
  });
});

describe('a descriptor that names the image of another VM', () => {
  it('neither lowers its figure nor removes it from the sum', async () => {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', at('vm.qcow2'), '1G']);
    sparse('vm.raw', 300 * MiB);
    writeFileSync(at('broken.qcow2'), aQcow2().withField('clusterBits', 40).bytes());
    const before = await theStore();
    for (const kind of ['FLAT', 'SPARSE']) {
      const tail = kind === 'FLAT' ? ' 0' : '';
      descriptor(['vm.qcow2', 'vm.raw', 'broken.qcow2'].map((name) => `RW 8 ${kind} "${name}"${tail}`));
      const after = await theStore();
      for (const name of ['vm.qcow2', 'vm.raw']) expect(imageOf(after, name).commitment, name).toBe(imageOf(before, name).commitment);
      expect(imageOf(after, 'vm.qcow2').format).toBe('qcow2');
      expect(imageOf(after, 'broken.qcow2').error).toBeDefined();
      expect(after.fits).toBeNull();
    }
  });

  it('outside of its directory tree, or a device, opens nothing', async () => {
    writeFileSync(join(outside, 'secret.raw'), Buffer.alloc(4096));
    symlinkSync(join(outside, 'secret.raw'), at('link.raw'));
    symlinkSync('/dev/zero', at('device.raw'));
    mkdirSync(at('folder'));
    const names = [join(outside, 'secret.raw'), '../x', 'link.raw', 'device.raw', '/dev/zero', 'folder', 'nbd:localhost:1', 'json:{}'];
    const report = await examineImage(descriptor(names.map((name) => flat(name, MiB))));
    const statuses = Object.fromEntries(report.chain.map(({ name, status, length }) => [name, [status, length]]));
    expect(Object.values(statuses).every(([status, length]) => status !== 'opened' && length === null)).toBe(true);
    const allowed = await examineImage(at('disk.vmdk'), { allowDirectories: [outside] });
    expect(allowed.chain.filter(({ status }) => status === 'opened').map(({ name }) => name)).toEqual([names[0], 'link.raw']);
  });
});

describe('a descriptor', () => {
  it('without one of its extents leaves the answer unknown, with a finding', async () => {
    const report = await examineImage(descriptor([flat('disk-f001.vmdk', MiB)]));
    expect(report).toMatchObject({ capacity: MiB, chain: [{ status: 'missing' }] });
    expect(codesOf(report)).toContain('REFERENCE_MISSING');
    const store = await theStore();
    expect(store.fits).toBeNull();
    expect(codesOf(store)).toContain('DATA_FILE_UNKNOWN');
  });

  it('that names itself is refused as a loop', async () => {
    expect((await examineImage(descriptor([flat('disk.vmdk', MiB)]))).error?.code).toBe('CHAIN_LOOP');
  });

  it('with tens of thousands of lines costs one opening for each file, and ends at 4096 files', async () => {
    sparse('a', MiB);
    const many = await examineImage(descriptor(Array.from({ length: 40_000 }, (_, index) => flat('a', SECTOR, index * SECTOR))));
    expect(many).toMatchObject({ capacity: 40_000 * SECTOR, chain: [{ name: 'a', reach: 40_000 * SECTOR }] });
    const files = await examineImage(descriptor(Array.from({ length: 30_000 }, (_, index) => flat(`x${index}`, SECTOR))));
    expect(files.error).toMatchObject({ kind: 'over-budget', code: 'VMDK_EXTENT_COUNT' });
  });

  it.each([
    ['a device', 'RW 8 FLAT "a" 0', 'fullDevice', 'VMDK_CREATE_TYPE'],
    ['a type that is not read', 'RW 8 VMFSSPARSE "a"', 'vmfsSparse', 'VMDK_CREATE_TYPE'],
    ['more than 2^53 bytes', 'RW 999999999999999 FLAT "a" 0', 'custom', 'VMDK_CAPACITY'],
    ['an offset beyond 2^53', 'RW 8 FLAT "a" 999999999999999', 'custom', 'VMDK_CAPACITY'],
    ['no extent', '', 'monolithicFlat', 'VMDK_EXTENT'],
  ])('with %s ends with an error', async (_, line, createType, code) => {
    expect((await examineImage(descriptor([line], { createType }))).error?.code).toBe(code);
  });

  it('with a parent reports that the parent is not followed', async () => {
    sparse('a', MiB);
    const report = await examineImage(descriptor([flat('a', MiB)], { more: 'parentFileNameHint="base.vmdk"\n' }));
    expect(codesOf(report)).toContain('PARENT_NOT_FOLLOWED');
  });

  it('of ESX, with VMFS lines without an offset, is read as a flat one', async () => {
    sparse('a-flat.vmdk', MiB);
    const report = await examineImage(descriptor([`RW ${MiB / SECTOR} VMFS "a-flat.vmdk"`], { createType: 'vmfs' }));
    expect(report).toMatchObject({ capacity: MiB, chain: [{ status: 'opened', format: 'raw', reach: MiB }] });
  });

  it('with an empty line before an extent has another capacity for QEMU, which a finding reports', async () => {
    sparse('a', MiB);
    const path = descriptor(['', flat('a', MiB)]);
    const info = execFileSync('qemu-img', ['info', '--output=json', '-f', 'vmdk', path], { encoding: 'utf8' });
    const { 'virtual-size': qemuCapacity } = JSON.parse(info) as { 'virtual-size': number };
    const report = await examineImage(path);
    expect(report.capacity).toBe(MiB);
    expect(report.findings.find(({ code }) => code === 'VMDK_CAPACITY_DIFFERS')?.message).toContain(`${qemuCapacity} bytes`);
  });
});

/** What plimsoll reads of a VMDK against QEMU: every byte, every extent, and which types are refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Extent, memoryDevice, readUpTo } from '#block';
import { openVmdk, readVmdkFacts, type VmdkImage } from '#formats';
import { qemuImg } from '../support/qemu.ts';
import { Prng } from './prng.ts';
import { islands, SPARSE_STATES, STREAM_STATES, type VmdkSite } from './vmdk-images.ts';

const root = mkdtempSync('/dev/shm/plimsoll-vmdk-');
afterAll(() => rmSync(root, { recursive: true }));

interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  readonly offset?: number;
}

/** Newer QEMU says more. */
function pickEntry({ start, length, present, zero, data, offset }: MapEntry): MapEntry {
  const common = { start, length, present, zero, data };
  return offset === undefined ? common : { ...common, offset };
}

function newSite(): VmdkSite {
  const directory = mkdtempSync(join(root, 'site-'));
  return { directory, image: join(directory, 'disk.vmdk') };
}

const openFile = (path: string): Promise<VmdkImage> => openVmdk(memoryDevice(readFileSync(path)));

/** Our extents as `qemu-img map` would print them. */
function asMapEntry({ start, end, status, fileOffset }: Extent): MapEntry {
  const common = { start, length: end - start, present: status !== 'unallocated', zero: status !== 'data', data: status === 'data' };
  return fileOffset === undefined ? common : { ...common, offset: fileOffset };
}

async function expectSame({ directory, image }: VmdkSite): Promise<void> {
  const raw = join(directory, 'qemu.raw');
  await qemuImg(directory, 'convert', '-f', 'vmdk', '-O', 'raw', image, raw);
  const expected = readFileSync(raw);
  const { device } = await openFile(image);
  expect(device.byteLength).toBe(expected.byteLength);
  expect(Buffer.compare(await readUpTo(device, 0, device.byteLength), expected)).toBe(0);
  const prng = new Prng(device.byteLength % 1000);
  for (let turn = 0; turn < 40; turn += 1) {
    const start = prng.below(device.byteLength);
    const length = 1 + prng.below(200_000);
    expect(Buffer.compare(await readUpTo(device, start, length), expected.subarray(start, start + length))).toBe(0);
  }
  const map = JSON.parse(await qemuImg(directory, 'map', '-f', 'vmdk', '--output=json', image)) as MapEntry[];
  const ours: MapEntry[] = [];
  for await (const extent of device.extents(0, device.byteLength)) ours.push(asMapEntry(extent));
  expect(ours).toEqual(map.map(pickEntry));
}

describe('bytes and extents agree with QEMU', () => {
  it.each([...SPARSE_STATES, ...STREAM_STATES].map((state) => [state.name, state] as const))('%s', async (_, state) => {
    const site = newSite();
    await state.build(site);
    await expectSame(site);
    rmSync(site.directory, { recursive: true });
  });

  it('stream whose directory is given by a footer, as VMware writes it', async () => {
    const site = newSite();
    writeFileSync(join(site.directory, 'source.raw'), islands(77, 1_500_160));
    await qemuImg(site.directory, 'convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized', 'source.raw', site.image);
    const content = readFileSync(site.image);
    const marker = Buffer.alloc(512);
    marker.writeUInt32LE(1, 0);
    marker.writeUInt32LE(3, 12);
    const footer = Buffer.from(content.subarray(0, 512));
    content.fill(0xff, 56, 64);
    const padding = Buffer.alloc((512 - (content.byteLength % 512)) % 512);
    writeFileSync(site.image, Buffer.concat([content, padding, marker, footer, Buffer.alloc(512)]));
    expect((await openFile(site.image)).header.hasFooter).toBe(true);
    await expectSame(site);
  });
});

describe('types that are refused', () => {
  it.each([
    ['monolithicFlat', ['disk-flat.vmdk']],
    ['twoGbMaxExtentSparse', ['disk-s001.vmdk']],
    ['twoGbMaxExtentFlat', ['disk-f001.vmdk']],
  ])('%s, with the names that it asks for', async (subformat, names) => {
    const { directory, image } = newSite();
    await qemuImg(directory, 'create', '-q', '-f', 'vmdk', '-o', `subformat=${subformat}`, image, '1M');
    const { requests } = await readVmdkFacts(memoryDevice(readFileSync(image)));
    expect(requests.map(({ role, text }) => [role, text])).toEqual(names.map((name) => ['extent', name]));
    await expect(openFile(image)).rejects.toMatchObject({ kind: 'refused', code: 'VMDK_CREATE_TYPE' });
    const [extent = ''] = names;
    const code = subformat === 'twoGbMaxExtentSparse' ? /^VMDK_/ : /^VMDK_MAGIC$/;
    await expect(openFile(join(directory, extent))).rejects.toMatchObject({ code: expect.stringMatching(code) });
  });

  it('a differencing image', async () => {
    const { directory, image } = newSite();
    await qemuImg(directory, 'create', '-q', '-f', 'vmdk', 'base.vmdk', '1M');
    await qemuImg(directory, 'create', '-q', '-f', 'vmdk', '-b', 'base.vmdk', '-F', 'vmdk', image);
    const { requests } = await readVmdkFacts(memoryDevice(readFileSync(image)));
    expect(requests.map(({ role, text }) => [role, text])).toEqual([['parent', 'base.vmdk']]);
    await expect(openFile(image)).rejects.toMatchObject({ kind: 'refused', code: 'VMDK_PARENT' });
  });
});

/** What the strict parser is for: each of these sends QEMU to a file that the header does not name. */
describe('QEMU reads these differently', () => {
  it('a capacity of 0 makes QEMU read the embedded descriptor as a descriptor file', async () => {
    const { directory, image } = newSite();
    writeFileSync(join(directory, 'secret'), 'x'.repeat(1024));
    await qemuImg(directory, 'create', '-q', '-f', 'vmdk', image, '1M');
    const content = readFileSync(image);
    content.fill(0, 12, 20);
    const text = 'version=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2 FLAT "secret" 0\n';
    content.fill(0, 512, 512 + 20 * 512).write(text, 512);
    writeFileSync(image, content);
    await qemuImg(directory, 'convert', '-f', 'vmdk', '-O', 'raw', image, 'out.raw');
    expect(readFileSync(join(directory, 'out.raw'), 'latin1')).toBe('x'.repeat(1024));
    await expect(openFile(image)).rejects.toMatchObject({ kind: 'refused', code: 'VMDK_CAPACITY_ZERO' });
  });

  it('a parent in a comment', async () => {
    const { directory, image } = newSite();
    await qemuImg(directory, 'create', '-q', '-f', 'vmdk', image, '1M');
    const content = readFileSync(image);
    content.write('# parentFileNameHint="no-such-file"\n', content.indexOf('# The Disk Data Base'));
    writeFileSync(image, content);
    await expect(qemuImg(directory, 'convert', '-f', 'vmdk', '-O', 'raw', image, 'out.raw')).rejects.toThrow('no-such-file');
    await expect(openFile(image)).rejects.toMatchObject({ kind: 'refused', code: 'VMDK_DESCRIPTOR_KEY' });
  });
});

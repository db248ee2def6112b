import { describe, expect, it } from 'vitest';
import { type Extent, memoryDevice, type ReadableDevice, readableDevice, readUpTo, withTrace } from '#block';
import { aVmdk, descriptorText, type VmdkBuilder } from '../../../tests/support/vmdk-builder.ts';
import { openVmdk, readVmdkFacts } from './image.ts';

const open = (image: VmdkBuilder): ReturnType<typeof openVmdk> => openVmdk(memoryDevice(image.bytes()));
const grain = (value: number, length = 4096): Uint8Array => new Uint8Array(length).fill(value);

/** A device that keeps what was asked of it. */
function watched(content: Uint8Array): { device: ReadableDevice; reads: [number, number][] } {
  const reads: [number, number][] = [];
  return { device: withTrace(memoryDevice(content), ({ offset, length }) => reads.push([offset, length])), reads };
}

async function extentsOf(image: VmdkBuilder, start = 0, end = Number.MAX_SAFE_INTEGER): Promise<Extent[]> {
  const found: Extent[] = [];
  for await (const extent of (await open(image)).device.extents(start, end - start)) found.push(extent);
  return found;
}

describe.each(['sparse', 'stream'] as const)('openVmdk() of a %s image', (kind) => {
  it('reads grains, across tables, and zeros where there are none', async () => {
    const { device } = await open(aVmdk({ kind }).withGrain(511, grain(1)).withGrain(512, grain(2)).withGrain(0, grain(3)));
    expect(device.byteLength).toBe((4096 + 80) * 512);
    const around = await readUpTo(device, 511 * 4096 - 10, 3 * 4096);
    expect([around[9], around[10], around[4105], around[4106], around[8201], around[8202]]).toEqual([0, 1, 1, 2, 2, 0]);
    expect(await readUpTo(device, 100, 5)).toEqual(grain(3, 5));
  });

  it('ends with the disk, and fills the memory it is given', async () => {
    const image = aVmdk({ kind, capacitySectors: 4096 + 3 }).withGrain(512, grain(7, 3 * 512));
    const { device } = await open(image);
    const memory = grain(9, 100);
    expect(await device.read(memory, device.byteLength - 4)).toBe(4);
    expect(memory).toEqual(Uint8Array.of(...grain(7, 4), ...grain(9, 96)));
    expect([...(await readUpTo(device, 0, 3)), ...(await readUpTo(device, device.byteLength + 5, 10))]).toEqual([0, 0, 0]);
  });

  it('answers concurrent reads', async () => {
    const image = aVmdk({ kind });
    for (let index = 0; index < 20; index += 1) image.withGrain(index, grain(index + 1));
    const { device } = await open(image);
    const answers = await Promise.all(Array.from({ length: 200 }, (_, turn) => readUpTo(device, (turn % 20) * 4096 + turn, 3)));
    expect(answers.map((answer) => answer[0])).toEqual(answers.map((_, turn) => (turn % 20) + 1));
  });

  it('knows zeros by the flag', async () => {
    const flags = kind === 'stream' ? 0x30007 : 7;
    const image = aVmdk({ kind }).withField('flags', flags).withEntry(1, 1).withGrain(2, grain(5));
    expect((await extentsOf(image)).map(({ start, end, status, compressed }) => [start / 4096, end / 4096, status, compressed])).toEqual([
      [0, 1, 'unallocated', false],
      [1, 2, 'zero', false],
      [2, 3, 'data', kind === 'stream'],
      [3, 522, 'unallocated', false],
    ]);
    expect(await readUpTo((await open(image)).device, 4096, 4097)).toEqual(Uint8Array.from([...grain(0), 5]));
  });

  it('has extents of any part of the disk', async () => {
    const image = aVmdk({ kind }).withGrain(0, grain(1)).withGrain(1, grain(2));
    expect((await extentsOf(image, 5, 4100)).map(({ start, end }) => [start, end])).toEqual([[5, 4100]]);
    expect(await extentsOf(image, 4100, 4100)).toEqual([]);
  });

  it('does without tables, the redundant directory too', async () => {
    const image = aVmdk({ kind }).withGrain(512, grain(4));
    image.withU32(image.directory, 0).withU32(image.redundant, 0);
    const { device, census } = await open(image);
    expect(await readUpTo(device, 4096 * 512 - 1, 2)).toEqual(Uint8Array.of(0, 4));
    expect(await census()).toMatchObject({ allocatedGrains: 1, needing: 521, missingTables: 1, needingWithoutTable: 512 });
  });

  it('counts what is there', async () => {
    const image = aVmdk({ kind })
      .withGrain(3, grain(1))
      .withGrain(513, grain(2))
      .withU32(8, kind === 'stream' ? 0x30007 : 7)
      .withEntry(9, 1);
    const census = await (await open(image)).census();
    expect(census).toMatchObject({ allocatedGrains: 2, zeroGrains: 1, needing: 520, missingTables: 0 });
    // 512 entries fill 4 sectors, the 10 of the last table one; both tables.
    expect(census.tableSectors.count()).toBe(10);
    expect(census.grainSteps.count()).toBe(kind === 'stream' ? 0 : 2);
  });
});

describe('openVmdk()', () => {
  it('joins grains that lie one behind the other', async () => {
    const image = aVmdk().withGrain(0, grain(1)).withGrain(1, grain(2)).withGrain(3, grain(3)).withGrain(2, grain(4));
    const base = (await extentsOf(image))[0]?.fileOffset ?? 0;
    expect((await extentsOf(image)).slice(0, 3).map(({ end, fileOffset }) => [end, (fileOffset ?? 0) - base])).toEqual([
      [8192, 0],
      [3 * 4096, 3 * 4096],
      [4 * 4096, 2 * 4096],
    ]);
  });

  it('reads each table and each grain of a stream once', async () => {
    const { device, reads } = watched(aVmdk({ kind: 'stream' }).withGrain(0, grain(1)).bytes());
    const image = await openVmdk(device);
    reads.length = 0;
    for (let at = 0; at < 4096; at += 512) await readUpTo(image.device, at, 512);
    expect(reads.length).toBe(3); // a table, its twin, a grain
  });

  it('takes the directory of a stream from the footer', async () => {
    const image = aVmdk({ kind: 'stream' }).withGrain(5, grain(8)).withFooter();
    const { header, device } = await open(image);
    expect([header.hasFooter, await readUpTo(device, 5 * 4096, 1)]).toEqual([true, Uint8Array.of(8)]);
  });

  it('takes a disk that VirtualBox counts in whole grains', async () => {
    const image = aVmdk().withDescriptorChange(`RW ${4096 + 80}`, `RW ${4096 + 75}`);
    expect((await open(image)).header.capacity).toBe((4096 + 80) * 512);
  });

  it('takes a read-only stream, as OVF Tool writes it', async () => {
    const image = aVmdk({ kind: 'stream' }).withDescriptorChange('RW 4', 'RDONLY 4');
    expect((await open(image)).descriptor.extents[0]?.access).toBe('RDONLY');
  });

  it('tries again after an error', async () => {
    const content = aVmdk({ kind: 'stream' }).withGrain(0, grain(1)).bytes();
    const broken = { is: false };
    const inner = memoryDevice(content);
    const read: ReadableDevice['read'] = (target, offset) =>
      broken.is ? Promise.reject(new Error('no medium')) : inner.read(target, offset);
    const { device } = await openVmdk(readableDevice({ byteLength: content.byteLength, read }));
    broken.is = true;
    await expect(readUpTo(device, 0, 1)).rejects.toThrow('no medium');
    broken.is = false;
    expect(await readUpTo(device, 0, 1)).toEqual(Uint8Array.of(1));
  });

  it('stops when it is told to', async () => {
    const { device, census } = await open(aVmdk());
    const stopped = AbortSignal.abort();
    await expect(device.extents(0, 10, { signal: stopped })[Symbol.asyncIterator]().next()).rejects.toThrow('aborted');
    await expect(census(stopped)).rejects.toThrow('aborted');
  });
});

describe('readVmdkFacts()', () => {
  const named = async (content: Uint8Array): Promise<unknown> => {
    const { requests, refusal } = await readVmdkFacts(memoryDevice(content));
    return [refusal?.code, ...requests.map(({ role, text }) => [role, text])];
  };

  it.each([
    ['monolithicFlat', 'RW 20480 FLAT "/etc/shadow" 0', '/etc/shadow'],
    ['vmfs', 'RW 20480 VMFS "../a-flat.vmdk"', '../a-flat.vmdk'],
    ['fullDevice', 'RW 20480 FLAT "/dev/sda" 0', '/dev/sda'],
    ['custom', 'RW 20480 SPARSE "x"', 'x'],
    ['anything', 'RW 20480 SPARSE "x"', 'x'],
    ['monolithicSparse', 'RW 20480 SPARSE "x"', 'x'],
  ])('hands on the names of %s, which it refuses', async (createType, extent, name) => {
    expect(await named(Buffer.from(descriptorText(createType, extent)))).toEqual(['VMDK_CREATE_TYPE', ['extent', name]]);
  });

  it('hands on names inside of a sparse image too', async () => {
    const image = aVmdk().withDescriptorChange('monolithicSparse', 'monolithicFlat').bytes();
    expect(await named(image)).toEqual(['VMDK_CREATE_TYPE', ['extent', 'a.vmdk']]);
    const child = aVmdk().withDescriptorChange('parentCID=ffffffff', 'parentCID=1').bytes();
    expect(await named(child)).toEqual(['VMDK_PARENT']);
    const hinted = aVmdk().withDescriptorChange('parentCID=ffffffff', 'parentCID=ffffffff\nparentFileNameHint="/p.vmdk"').bytes();
    expect(await named(hinted)).toEqual(['VMDK_PARENT', ['parent', '/p.vmdk']]);
  });

  it('has no refusal for what is read, and tells of change tracking', async () => {
    const image = aVmdk().withDescriptorChange('\n# The', '\nchangeTrackPath="a-ctk.vmdk"\n# The').bytes();
    expect(await named(image)).toEqual([undefined, ['change-tracking', 'a-ctk.vmdk']]);
  });
});

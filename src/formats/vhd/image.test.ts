import type { Range } from '#base';
import { describe, expect, it } from 'vitest';
import { type Extent, memoryDevice, type ReadableDevice, readUpTo } from '#block';
import { aVhd, text, type VhdBuilder } from '../../../tests/support/vhd-builder.ts';
import { openVhd, vhdAmbiguousRuns, type VhdImage } from './image.ts';

const open = (image: VhdBuilder): Promise<VhdImage> => openVhd(memoryDevice(image.bytes()));

async function extentsOf(device: ReadableDevice, start = 0, end = device.byteLength): Promise<Extent[]> {
  const list: Extent[] = [];
  for await (const extent of device.extents(start, end - start)) list.push(extent);
  return list;
}

async function ambiguous(image: VhdBuilder): Promise<Range[]> {
  const device = memoryDevice(image.bytes());
  const list: Range[] = [];
  for await (const run of vhdAmbiguousRuns(device, await openVhd(device))) list.push(run);
  return list;
}

describe('openVhd()', () => {
  it('reads blocks where the table says, zeros elsewhere', async () => {
    const { device, blocks } = await open(
      aVhd({ capacity: 30 * 1024 })
        .withBlock(3, 0x33)
        .withBlock(1, 0x11),
    );
    expect(blocks).toMatchObject({ guestBlocks: 4, allocatedBlocks: 2, appendAt: 2048 + 2 * 8704, sectorBitmapBytes: 512 });
    const bytes = await readUpTo(device, 0, 40 * 1024);
    expect(bytes).toHaveLength(30 * 1024);
    expect([0, 8191, 8192, 16_383, 16_384, 24_575, 24_576, 30_719].map((at) => bytes[at])).toEqual([0, 0, 0x11, 0x11, 0, 0, 0x33, 0x33]);
  });

  it('fills the memory of the caller, and leaves no old bytes in it', async () => {
    const { device } = await open(aVhd().withBlock(1, 0x11));
    const memory = new Uint8Array(20_000).fill(0xee);
    const bytes = memory.subarray(0, await device.read(memory.subarray(0, 9000), 8000));
    expect(bytes.subarray(0, 192).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(192, 8384).every((byte) => byte === 0x11)).toBe(true);
    expect(bytes.subarray(8384).every((byte) => byte === 0)).toBe(true);
  });

  it('tells extents from the middle of one to the middle of another', async () => {
    const { device } = await open(aVhd().withBlock(1, 0x11).withBlock(2, 0x22));
    const at = 2048 + 512;
    const plain = { depth: 0, compressed: false };
    expect(await extentsOf(device, 4096, 30_000)).toEqual([
      { ...plain, start: 4096, end: 8192, status: 'unallocated', fileOffset: undefined },
      { ...plain, start: 8192, end: 16_384, status: 'data', fileOffset: at },
      { ...plain, start: 16_384, end: 24_576, status: 'data', fileOffset: at + 8704 },
      { ...plain, start: 24_576, end: 30_000, status: 'unallocated', fileOffset: undefined },
    ]);
  });

  it('reads a fixed disk as the file without its footer', async () => {
    const image = aVhd({ diskType: 'fixed', capacity: 8192 }).withBytes(0, text('guest'));
    const { device, blocks, capacity } = await open(image);
    expect({ blocks, capacity }).toEqual({ blocks: undefined, capacity: 8192 });
    expect(await readUpTo(device, 0, 5)).toEqual(text('guest'));
    expect(await readUpTo(device, 8191, 100)).toHaveLength(1);
    expect(await extentsOf(device)).toMatchObject([{ start: 0, end: 8192, status: 'data', fileOffset: 0 }]);
  });

  it('ends where the signal says', async () => {
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    await expect(openVhd(memoryDevice(aVhd().bytes()), controller.signal)).rejects.toThrow('enough');
  });
});

describe('a differencing VHD', () => {
  const utf16 = (name: string, isBigEndian: boolean): Uint8Array =>
    Uint8Array.from(name.split('').flatMap((one) => (isBigEndian ? [0, one.charCodeAt(0)] : [one.charCodeAt(0), 0])));

  it('names its parent in all its ways, and opens none', async () => {
    const image = aVhd({ diskType: 'differencing' })
      .withHeader('parentUniqueId', text('fedcba9876543210'))
      .withHeader('parentTimeStamp', 5)
      .withHeader('parentUnicodeName', utf16('base.vhd', true))
      .withParentLocator(0, 'W2ru', utf16('.\\base.vhd', false))
      .withParentLocator(2, 'W2ku', utf16('C:\\base.vhd\0rest', false))
      .withParentLocator(3, 'MacX', text('file:///base.vhd'))
      .withParentLocator(5, 'Mac ', Uint8Array.of(1, 2, 3))
      .withParentLocator(6, 'Wi2r', text('.\\b\xe9'));
    const { parent } = await open(image);
    expect(parent).toMatchObject({ uniqueId: '66656463-6261-3938-3736-353433323130', timeStamp: 5, unicodeName: { text: 'base.vhd' } });
    expect(parent?.unicodeName.bytes.subarray(0, 4)).toEqual(text('\0b\0a'));
    expect(parent?.locators.map((one) => [one.platformCode, one.text, one.bytes.byteLength])).toEqual([
      ['W2ru', '.\\base.vhd', 20],
      ['W2ku', 'C:\\base.vhd', 32],
      ['MacX', 'file:///base.vhd', 16],
      ['Mac ', undefined, 3],
      ['Wi2r', '.\\b\xe9', 4],
    ]);
  });

  it('gives the sectors that its bitmap marks, and refuses the others by name', async () => {
    const { device } = await open(aVhd({ diskType: 'differencing' }).withBlock(1, 0x11, 0b1110_1111));
    expect(await readUpTo(device, 8192, 3 * 512)).toEqual(new Uint8Array(1536).fill(0x11));
    expect(await readUpTo(device, 8192 + 4 * 512, 4 * 512)).toHaveLength(2048);
    const refused = (at: number): unknown =>
      expect.objectContaining({ kind: 'unsupported', code: 'VHD_DIFFERENCING', where: expect.objectContaining({ at }) });
    await expect(readUpTo(device, 8192 + 1000, 2000)).rejects.toThrow(refused(8192 + 3 * 512));
    await expect(readUpTo(device, 8192 + 9 * 512, 3000)).rejects.toThrow(refused(8192 + 11 * 512));
    await expect(readUpTo(device, 100, 1)).rejects.toThrow(refused(100));
    await expect(extentsOf(device)).rejects.toThrow(refused(0));
  });
});

describe('vhdAmbiguousRuns()', () => {
  it('finds bytes that are not zero under clear bits', async () => {
    expect(await ambiguous(aVhd().withBlock(2, 0x11, 0b1111_0011))).toEqual([
      { start: 16_384 + 4 * 512, end: 16_384 + 6 * 512 },
      { start: 16_384 + 12 * 512, end: 16_384 + 14 * 512 },
    ]);
  });

  it('finds nothing where they are zero, set, or behind the capacity', async () => {
    expect(await ambiguous(aVhd().withBlock(2, 0, 0).withBlock(1, 0x11))).toEqual([]);
    expect(await ambiguous(aVhd({ capacity: 4 * 512 }).withBlock(0, 0x11, 0xf0))).toEqual([]);
  });
});

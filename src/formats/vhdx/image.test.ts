import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GiB, MiB } from '#base';
import { type Extent, type ReadableDevice, readableDevice, readUpTo, withReadBudget } from '#block';
import { aVhdx, type VhdxBuilder } from '../../../tests/support/vhdx-builder.ts';
import { openVhdx, readVhdx } from './image.ts';

async function extentsOf(
  image: ReadableDevice,
  start = 0,
  end = image.byteLength,
): Promise<[number, number, string, number | undefined][]> {
  const list: Extent[] = [];
  for await (const extent of image.extents(start, end - start)) list.push(extent);
  return list.map((one) => [one.start, one.end, one.status, one.fileOffset]);
}

/** Blocks 0, 1 and 5 stored, the first two side by side; 2 zero; all others nothing. */
function someBlocks(): VhdxBuilder {
  const image = aVhdx();
  const at = image.blocks;
  image
    .withBlock(0, at)
    .withBlock(1, at + MiB)
    .withEntry(2, 2)
    .withBlock(5, at + 3 * MiB);
  return image.withBytes(at + MiB - 2, [1, 2, 3, 4]).withBytes(at + 3 * MiB, [5, 6]);
}

describe('openVhdx()', () => {
  it('gives runs of blocks, joined where they go on', async () => {
    const builder = someBlocks();
    const at = builder.blocks;
    const image = await openVhdx(builder.device());
    expect(await extentsOf(image)).toEqual([
      [0, 2 * MiB, 'data', at],
      [2 * MiB, 3 * MiB, 'zero', undefined],
      [3 * MiB, 5 * MiB, 'unallocated', undefined],
      [5 * MiB, 6 * MiB, 'data', at + 3 * MiB],
      [6 * MiB, 8 * MiB, 'unallocated', undefined],
    ]);
    expect(await extentsOf(image, MiB + 1, 2 * MiB + 1)).toEqual([
      [MiB + 1, 2 * MiB, 'data', at + MiB + 1],
      [2 * MiB, 2 * MiB + 1, 'zero', undefined],
    ]);
    expect(image.blocks).toMatchObject({ blockCount: 8, presentCount: 3, zeroCount: 1, lastIsPresent: false });
    expect([...image.blocks.presentRuns()]).toEqual([
      { start: at, end: at + 2 * MiB },
      { start: at + 3 * MiB, end: at + 4 * MiB },
    ]);
  });

  it('reads across blocks, and no further than the disk', async () => {
    const image = await openVhdx(someBlocks().device());
    expect(await readUpTo(image, MiB - 3, 6)).toEqual(Uint8Array.of(0, 1, 2, 3, 4, 0));
    expect(await readUpTo(image, 5 * MiB - 1, 4)).toEqual(Uint8Array.of(0, 5, 6, 0));
    expect(await readUpTo(image, 8 * MiB - 1, 10)).toEqual(Uint8Array.of(0));
    expect(await readUpTo(image, 8 * MiB, 10)).toHaveLength(0);
    const memory = new Uint8Array(8).fill(9);
    expect(await image.read(memory.subarray(0, 5), MiB - 2)).toBe(5);
    expect(memory).toEqual(Uint8Array.of(1, 2, 3, 4, 0, 9, 9, 9));
  });

  it('reads the same in pieces of any size', async () => {
    const image = await openVhdx(someBlocks().device());
    const whole = await readUpTo(image, 0, image.byteLength);
    const place = fc.nat({ max: 8 * MiB });
    await fc.assert(
      fc.asyncProperty(place, fc.nat({ max: 3 * MiB }), async (offset, length) => {
        expect(Buffer.from(await readUpTo(image, offset, length)).equals(whole.subarray(offset, offset + length))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('ends when it is told to', async () => {
    const image = await openVhdx(someBlocks().device());
    const list = async (): Promise<void> => {
      for await (const extent of image.extents(0, image.byteLength, { signal: AbortSignal.abort() })) expect(extent).toBeUndefined();
    };
    await expect(list()).rejects.toThrow('abort');
  });

  it('counts a last block no further than the disk reaches', async () => {
    const builder = aVhdx({ capacity: 5 * MiB + 512, blockSize: 4 * MiB });
    builder.withBlock(1, builder.blocks, MiB + 512).withBlock(0, builder.blocks + 2 * MiB, 4 * MiB);
    const image = await openVhdx(builder.device());
    expect([...image.blocks.presentRuns()]).toEqual([
      { start: builder.blocks, end: builder.blocks + MiB + 512 },
      { start: builder.blocks + 2 * MiB, end: builder.blocks + 6 * MiB },
    ]);
  });

  // 16 blocks of 256 MiB with sectors of 512 bytes make a chunk; with sectors of 4096 bytes it takes 128.
  it.each([
    [512, 17],
    [4096, 16],
  ])('passes over sector bitmaps: sectors of %i bytes', async (logicalSectorSize, index) => {
    const builder = aVhdx({ capacity: 5 * GiB, blockSize: 256 * MiB, logicalSectorSize });
    builder.withBlock(index, builder.blocks, 256 * MiB).withEntry(logicalSectorSize === 512 ? 16 : 21, 7);
    const image = await openVhdx(builder.device());
    expect((await extentsOf(image))[1]).toEqual([16 * 256 * MiB, 17 * 256 * MiB, 'data', builder.blocks]);
  });

  it('says when the file gets shorter while it is read', async () => {
    const whole = someBlocks().device();
    let byteLength = whole.byteLength;
    const shrinking = readableDevice({
      byteLength: whole.byteLength,
      read: (target, offset) => whole.read(target.subarray(0, Math.max(0, byteLength - offset)), offset),
    });
    const image = await openVhdx(shrinking);
    byteLength = 5 * MiB;
    await expect(readUpTo(image, MiB, 4)).rejects.toMatchObject({ kind: 'corrupt', code: 'VHDX_TRUNCATED' });
  });

  it('reads headers, region tables, metadata and the entries in use, no more', async () => {
    await expect(openVhdx(withReadBudget(someBlocks().device(), 340 * 1024))).resolves.toBeDefined();
  });
});

describe('readVhdx()', () => {
  it('tells the facts', async () => {
    const { facts } = await readVhdx(aVhdx({ flags: 1 }).device());
    expect(facts).toMatchObject({
      type: 'fixed',
      blockSize: MiB,
      capacity: 8 * MiB,
      logicalSectorSize: 512,
      physicalSectorSize: 4096,
      virtualDiskId: '12345678-1234-1234-1234-123456789abc',
      parentLocator: undefined,
      log: undefined,
      header: { creator: 'plimsoll', sequenceNumber: 8n, logGuid: undefined, logOffset: MiB, logLength: MiB },
    });
    expect(facts.regions.all.map(({ name, fileOffset }) => [name, fileOffset])).toEqual([
      ['header section', 0],
      ['log', MiB],
      ['BAT', 2 * MiB],
      ['metadata', 3 * MiB],
    ]);
  });
});

import { describe, expect, it } from 'vitest';
import { type Extent, memoryDevice, readUpTo } from '#block';
import { aVdi, type VdiBuilder } from '../../../tests/support/vdi-builder.ts';
import { openVdi, type VdiImage } from './image.ts';

const MiB = 1024 * 1024;
const open = (image: VdiBuilder): Promise<VdiImage> => openVdi(memoryDevice(image.bytes()));

async function extentsOf(image: VdiImage): Promise<Extent[]> {
  const list: Extent[] = [];
  for await (const extent of image.device.extents(0, image.capacity)) list.push(extent);
  return list;
}

describe('openVdi()', () => {
  it('reads blocks where the map says, zeros elsewhere', async () => {
    const { device, header, guestBlocks, allocatedBlocks } = await open(aVdi().withBlock(2, 0x22).withBlock(0, 0x11));
    expect({ guestBlocks, allocatedBlocks }).toEqual({ guestBlocks: 3, allocatedBlocks: 2 });
    expect(header).toMatchObject({ imageType: 'dynamic', offsetData: 1024, uuidImage: '04030201-0605-0807-090a-0b0c0d0e0f10' });
    const bytes = await readUpTo(device, MiB - 1, MiB + 2);
    expect([0, 1, MiB, MiB + 1].map((at) => bytes[at])).toEqual([0x11, 0, 0, 0x22]);
  });

  it('joins blocks that continue each other, and tells zeros from nothing', async () => {
    const image = await open(
      aVdi({ capacity: 6 * MiB })
        .withBlock(0, 1)
        .withBlock(1, 2)
        .withEntry(2, 0xfffffffe)
        .withBlock(4, 3)
        .withBlock(3, 4),
    );
    expect((await extentsOf(image)).map(({ start, end, status, fileOffset }) => [start / MiB, end / MiB, status, fileOffset])).toEqual([
      [0, 2, 'data', 1024],
      [2, 3, 'zero', undefined],
      [3, 4, 'data', 1024 + 3 * MiB],
      [4, 5, 'data', 1024 + 2 * MiB],
      [5, 6, 'unallocated', undefined],
    ]);
  });

  it('rounds an odd disk size up to a sector', async () => {
    expect((await open(aVdi().withHeader('diskSize', MiB + 1))).capacity).toBe(MiB + 512);
  });

  it('names the parent of a differencing image by UUID, and gives its own blocks only', async () => {
    const image = await open(
      aVdi({ imageType: 4 })
        .withHeader('uuidLink', new Uint8Array(16).fill(0xab))
        .withHeader('uuidParent', new Uint8Array(16).fill(0xcd))
        .withBlock(1, 0x11)
        .withEntry(0, 0xfffffffe),
    );
    expect(image.parent).toEqual({
      uuid: 'abababab-abab-abab-abab-abababababab',
      uuidBytes: new Uint8Array(16).fill(0xab),
      uuidLastSnap: 'cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd',
    });
    expect((await readUpTo(image.device, MiB - 1, 2)).join()).toBe('0,17');
    await expect(readUpTo(image.device, 2 * MiB - 1, 2)).rejects.toMatchObject({
      kind: 'unsupported',
      code: 'VDI_DIFFERENCING',
      where: { at: 2 * MiB },
    });
  });

  it('says of a file that is something else that the signature is missing, whatever follows', async () => {
    await expect(openVdi(memoryDevice(new Uint8Array(512).fill(0xff)))).rejects.toMatchObject({ code: 'VDI_SIGNATURE' });
  });
});

import { describe, expect, it } from 'vitest';
import { type Extent, memoryDevice, readUpTo } from '#block';
import { aQed, CLUSTER, PLACES, type QedBuilder } from '../../../tests/support/qed-builder.ts';
import { openQed, type QedImage } from './image.ts';
import { FEATURE } from './layout.ts';

const open = (image: QedBuilder): Promise<QedImage> => openQed(memoryDevice(image.bytes()));
const { data } = PLACES;

async function extentsOf({ device }: QedImage, start = 0, end = device.byteLength): Promise<Extent[]> {
  const list: Extent[] = [];
  for await (const extent of device.extents(start, end - start)) list.push(extent);
  return list;
}

describe('openQed()', () => {
  it('reads clusters where L2 places them, zeros elsewhere, and counts them', async () => {
    const image = await open(
      aQed()
        .withEntry('l2', 1, data)
        .withEntry('l2', 2, data + CLUSTER)
        .withEntry('l2', 3, 1)
        .withEntry('l2', 5, data + 3 * CLUSTER),
    );
    const runs = (await extentsOf(image)).map(({ start, end, status, fileOffset }) => [start / CLUSTER, end / CLUSTER, status, fileOffset]);
    expect(runs).toEqual([
      [0, 1, 'unallocated', undefined],
      [1, 3, 'data', data],
      [3, 4, 'zero', undefined],
      [4, 5, 'unallocated', undefined],
      [5, 6, 'data', data + 3 * CLUSTER],
      [6, 1024, 'unallocated', undefined],
    ]);
    expect(await image.census()).toMatchObject({ l2Tables: 1, missingTables: 1, allocatedClusters: 3, zeroClusters: 1, needing: 1021 });
    const bytes = await readUpTo(image.device, CLUSTER - 1, 2 * CLUSTER + 2);
    expect([0, 1, 2 * CLUSTER, 2 * CLUSTER + 1].map((at) => bytes[at])).toEqual([0, 0x55, 0x55, 0]);
    expect(await extentsOf(image, CLUSTER + 512, CLUSTER + 1024)).toMatchObject([{ status: 'data', fileOffset: data + 512 }]);
  });

  it('gives the backing file its name, and raw as its format where that is recorded', async () => {
    expect((await open(aQed().withBacking('base.img'))).header).toMatchObject({ backingFile: 'base.img', backingFormat: undefined });
    const image = await open(
      aQed()
        .withBacking('a', FEATURE.backingFile + FEATURE.backingFormatNoProbe)
        .withEntry('l2', 0, data),
    );
    expect(image.header).toMatchObject({ backingFile: 'a', backingFormat: 'raw' });
    expect(await readUpTo(image.device, 0, 4)).toHaveLength(4);
    await expect(readUpTo(image.device, CLUSTER, 1)).rejects.toMatchObject({ kind: 'unsupported', code: 'QED_BACKING' });
    expect((await open(aQed().withHeader('backingFilenameSize', 9))).header.backingFile).toBeUndefined();
  });

  it('takes what QEMU repairs in an image that was not closed for unallocated', async () => {
    const image = aQed()
      .withEntry('l1', 0, 3 * CLUSTER * 512)
      .withEntry('l2', 0, 7);
    await expect(open(image)).rejects.toMatchObject({ code: 'QED_L1_ENTRY' });
    const repaired = await open(image.withHeader('features', FEATURE.needCheck));
    expect(await repaired.census()).toMatchObject({ missingTables: 2, needing: 1024 });
    const entry = await open(aQed().withEntry('l2', 0, 7).withHeader('features', FEATURE.needCheck));
    expect(await entry.census()).toMatchObject({ allocatedClusters: 0, needing: 1024 });
  });

  it.each([
    ['a cluster inside the header', 0, 512],
    ['an odd place', 0, data + 512],
    ['a place behind the file', 0, data + 4 * CLUSTER],
    ['a place beyond all files', 0, 2n ** 52n],
  ])('refuses an L2 entry with %s', async (_, index, value) => {
    const image = await open(aQed().withEntry('l2', index, value));
    await expect(image.census()).rejects.toMatchObject({ kind: 'corrupt', code: 'QED_L2_ENTRY', where: { at: PLACES.l2 } });
    await expect(readUpTo(image.device, 0, 1)).rejects.toMatchObject({ code: 'QED_L2_ENTRY' });
  });

  it.each([
    ['QED_MAGIC', 'magic', 1],
    ['QED_FEATURES', 'features', 8],
    ['QED_CLUSTER_SIZE', 'clusterSize', 2048],
    ['QED_CLUSTER_SIZE', 'clusterSize', 12_288],
    ['QED_CLUSTER_SIZE', 'clusterSize', 2 ** 27],
    ['QED_TABLE_SIZE', 'tableSize', 3],
    ['QED_TABLE_SIZE', 'tableSize', 32],
    ['QED_TABLE_SIZE', 'tableSize', 0],
    ['QED_IMAGE_SIZE', 'imageSize', 513],
    ['QED_IMAGE_SIZE', 'imageSize', 2 ** 30 + 512],
    ['QED_HEADER_SIZE', 'headerSize', 0],
    ['QED_HEADER_SIZE', 'headerSize', 100],
    ['QED_L1_OFFSET', 'l1TableOffset', 0],
    ['QED_L1_OFFSET', 'l1TableOffset', 4097],
    ['QED_L1_OFFSET', 'l1TableOffset', 7 * CLUSTER],
    ['NUMBER_TOO_LARGE', 'imageSize', 2n ** 63n],
  ] as const)('refuses with %s a header whose %s is %i', async (code, field, value) => {
    await expect(open(aQed().withHeader(field, value))).rejects.toMatchObject({ code });
  });

  it.each([
    ['over the L2 table', PLACES.l2],
    ['over the L1 table', PLACES.l1],
  ])('its census refuses guest data %s', async (_, place) => {
    const image = await open(aQed().withEntry('l2', 3, place));
    await expect(image.census()).rejects.toMatchObject({ kind: 'corrupt', code: 'QED_OVERLAP' });
  });

  it('refuses an L2 table over the L1 table', async () => {
    await expect(open(aQed().withEntry('l1', 0, PLACES.l1))).rejects.toMatchObject({ kind: 'corrupt', code: 'QED_OVERLAP' });
  });

  it('refuses a name outside of the header, and two entries with one table', async () => {
    await expect(open(aQed().withBacking('x').withHeader('backingFilenameOffset', 4096))).rejects.toMatchObject({
      code: 'QED_BACKING_NAME',
    });
    await expect(open(aQed().withEntry('l1', 1, PLACES.l2))).rejects.toMatchObject({ code: 'QED_TABLE_TWICE' });
    await expect(openQed(memoryDevice(new Uint8Array(3)))).rejects.toMatchObject({ code: 'QED_MAGIC' });
  });
});

import { describe, expect, it } from 'vitest';
import { type Extent, memoryDevice, readUpTo } from '#block';
import { aQcow, CLUSTER, compressedEntry, PLACES, type QcowBuilder } from '../../../tests/support/qcow-builder.ts';
import { openQcow, type QcowImage } from './image.ts';

const open = (image: QcowBuilder): Promise<QcowImage> => openQcow(memoryDevice(image.bytes()));
const { data } = PLACES;

async function extentsOf({ device }: QcowImage, start = 0, end = device.byteLength): Promise<Extent[]> {
  const list: Extent[] = [];
  for await (const extent of device.extents(start, end - start)) list.push(extent);
  return list;
}

describe('openQcow()', () => {
  it('reads clusters where L2 places them, compressed ones too, zeros elsewhere, and counts them', async () => {
    const image = await open(
      aQcow()
        .withEntry('l2', 1, data)
        .withEntry('l2', 2, data + CLUSTER)
        .withCompressed(4, new Uint8Array(CLUSTER).fill(7)),
    );
    const runs = (await extentsOf(image)).map((one) => [
      one.start / CLUSTER,
      one.end / CLUSTER,
      one.status,
      one.compressed,
      one.fileOffset,
    ]);
    expect(runs).toEqual([
      [0, 1, 'unallocated', false, undefined],
      [1, 3, 'data', false, data],
      [3, 4, 'unallocated', false, undefined],
      [4, 5, 'data', true, undefined],
      [5, 1024, 'unallocated', false, undefined],
    ]);
    expect(await image.survey()).toMatchObject({
      l2Tables: 1,
      missingTables: 1,
      dataClusters: 2,
      compressedClusters: 1,
      clustersToAllocate: 1022,
      isTailUnallocated: true,
    });
    const bytes = await readUpTo(image.device, CLUSTER - 1, 4 * CLUSTER);
    expect([0, 1, 2 * CLUSTER, 2 * CLUSTER + 1, 3 * CLUSTER, 3 * CLUSTER + 1].map((at) => bytes[at])).toEqual([0, 0x55, 0x55, 0, 0, 7]);
  });

  it('takes a cluster at any sector, and its capacity in whole sectors', async () => {
    const image = await open(
      aQcow()
        .withEntry('l2', 0, data + 512)
        .withHeader('size', 1000),
    );
    expect(image.capacity).toBe(512);
    expect(await extentsOf(image)).toMatchObject([{ start: 0, end: 512, status: 'data', fileOffset: data + 512 }]);
  });

  it('names the backing file, and reads nothing that is its', async () => {
    const image = await open(aQcow().withBacking('base.img').withEntry('l2', 1, data));
    expect(image.header).toMatchObject({ backingFile: 'base.img', encryption: 'none' });
    expect((await readUpTo(image.device, CLUSTER, 1))[0]).toBe(0x55);
    await expect(readUpTo(image.device, 0, 1)).rejects.toMatchObject({ code: 'QCOW_BACKING', kind: 'unsupported' });
    expect((await open(aQcow().withBacking(''))).header.backingFile).toBeUndefined();
  });

  it('refuses encrypted guest data by name, and counts its clusters', async () => {
    const image = await open(aQcow().withHeader('cryptMethod', 1).withEntry('l2', 1, data));
    expect(image.header.encryption).toBe('aes');
    expect((await image.survey()).dataClusters).toBe(1);
    await expect(readUpTo(image.device, CLUSTER, 1)).rejects.toMatchObject({ code: 'QCOW_ENCRYPTED', kind: 'unsupported' });
  });

  const broken: readonly (readonly [what: string, code: string, kind: string, image: () => QcowBuilder])[] = [
    ['another magic', 'QCOW_MAGIC', 'corrupt', () => aQcow().withHeader('magic', 1)],
    ['version 2', 'QCOW_VERSION', 'unsupported', () => aQcow().withHeader('version', 2)],
    ['a disk of one byte', 'QCOW_SIZE', 'corrupt', () => aQcow().withHeader('size', 1)],
    ['clusters of 256 bytes', 'QCOW_CLUSTER_BITS', 'corrupt', () => aQcow().withHeader('clusterBits', 8)],
    ['clusters of 128 KiB', 'QCOW_CLUSTER_BITS', 'corrupt', () => aQcow().withHeader('clusterBits', 17)],
    ['tables of 32 entries', 'QCOW_L2_BITS', 'corrupt', () => aQcow().withHeader('l2Bits', 5)],
    ['tables of 16384 entries', 'QCOW_L2_BITS', 'corrupt', () => aQcow().withHeader('l2Bits', 14)],
    ['an unknown encryption', 'QCOW_ENCRYPTION', 'unsupported', () => aQcow().withHeader('cryptMethod', 2)],
    ['a disk that needs a huge L1 table', 'QCOW_L1_LIMIT', 'over-budget', () => aQcow().withHeader('size', 2n ** 45n)],
    ['an L1 table over the header', 'QCOW_L1_OFFSET', 'corrupt', () => aQcow().withHeader('l1TableOffset', 40)],
    ['an L1 table behind the end', 'QCOW_L1_OFFSET', 'corrupt', () => aQcow().withHeader('l1TableOffset', 2n ** 40n)],
    ['a disk too large for the file', 'QCOW_L1_OFFSET', 'corrupt', () => aQcow().withHeader('size', 2n ** 40n)],
    ['a backing name of 1024 bytes', 'QCOW_BACKING_NAME', 'corrupt', () => aQcow().withBacking('b').withHeader('backingFileSize', 1024)],
    ['a backing name over the L1 table', 'QCOW_BACKING_NAME', 'corrupt', () => aQcow().withBacking('base', PLACES.l1 + 8)],
    ['a backing name over the header', 'QCOW_BACKING_NAME', 'corrupt', () => aQcow().withBacking('base', 32)],
    ['a backing name behind the end', 'QCOW_BACKING_NAME', 'corrupt', () => aQcow().withBacking('base', 2 ** 30)],
    ['an L2 table behind the end', 'QCOW_L1_ENTRY', 'corrupt', () => aQcow().withEntry('l1', 1, 2 ** 30)],
    ['an L2 table that the end cuts', 'QCOW_L1_ENTRY', 'corrupt', () => aQcow().withEntry('l1', 1, data + 3 * CLUSTER + 512)],
    ['an L2 table at an odd place', 'QCOW_L1_ENTRY', 'corrupt', () => aQcow().withEntry('l1', 1, data + 8)],
    ['two entries with one table', 'QCOW_TABLE_TWICE', 'corrupt', () => aQcow().withEntry('l1', 1, PLACES.l2)],
    ['tables that overlap', 'QCOW_TABLE_TWICE', 'corrupt', () => aQcow().withEntry('l1', 1, PLACES.l2 + 512)],
    ['an L2 table over the L1 table', 'QCOW_OVERLAP', 'corrupt', () => aQcow().withEntry('l1', 0, PLACES.l1)],
  ];
  it.each(broken)('refuses %s', async (_, code, kind, image) => {
    await expect(open(image())).rejects.toMatchObject({ code, kind });
  });

  const brokenBelow: readonly (readonly [what: string, code: string, image: () => QcowBuilder])[] = [
    ['a cluster behind the end', 'QCOW_L2_ENTRY', () => aQcow().withEntry('l2', 0, data + 4 * CLUSTER)],
    ['a cluster far behind the end', 'QCOW_L2_ENTRY', () => aQcow().withEntry('l2', 0, 2n ** 62n)],
    ['a cluster at an odd place', 'QCOW_L2_ENTRY', () => aQcow().withEntry('l2', 0, data + 8)],
    ['compressed data behind the end', 'QCOW_L2_ENTRY', () => aQcow().withEntry('l2', 0, compressedEntry(data + 4 * CLUSTER, 8))],
    ['compressed data of no length', 'QCOW_L2_ENTRY', () => aQcow().withEntry('l2', 0, compressedEntry(data, 0))],
    ['a cluster over the L2 table', 'QCOW_OVERLAP', () => aQcow().withEntry('l2', 0, PLACES.l2)],
    ['a cluster over the L1 table', 'QCOW_OVERLAP', () => aQcow().withEntry('l2', 0, PLACES.l1)],
    ['a cluster over half of the L2 table', 'QCOW_OVERLAP', () => aQcow().withEntry('l2', 0, PLACES.l2 + 512)],
    [
      'a cluster over the backing name',
      'QCOW_OVERLAP',
      () =>
        aQcow()
          .withBacking('b', 5 * CLUSTER + 600)
          .withEntry('l2', 0, 5 * CLUSTER),
    ],
  ];
  it.each(brokenBelow)('its survey refuses %s', async (_, code, image) => {
    const opened = await open(image());
    await expect(opened.survey()).rejects.toMatchObject({ code, kind: 'corrupt' });
  });

  it('refuses compressed data that is not one cluster', async () => {
    for (const byteLength of [CLUSTER - 1, CLUSTER + 1]) {
      const { device } = await open(aQcow().withCompressed(0, new Uint8Array(byteLength)));
      const code = byteLength < CLUSTER ? 'QCOW_COMPRESSED_LENGTH' : 'DEFLATE_TOO_LONG';
      await expect(readUpTo(device, 0, 1)).rejects.toMatchObject({ code, kind: 'corrupt' });
    }
  });

  it('ends when it is aborted', async () => {
    const reason = new Error('enough');
    await expect(openQcow(memoryDevice(aQcow().bytes()), AbortSignal.abort(reason))).rejects.toBe(reason);
    await expect((await open(aQcow())).survey(AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

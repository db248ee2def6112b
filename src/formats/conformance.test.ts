/** Images of every format as devices: the suite that all devices pass. */
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { memoryDevice, opaqueConformance, type OpaqueSubject, readableConformance, type ReadableDevice, type Subject } from '#block';
import { aQcow2, COPIED } from '../../tests/support/qcow2-builder.ts';
import { aQcow, CLUSTER as QCOW_CLUSTER, PLACES as QCOW_PLACES } from '../../tests/support/qcow-builder.ts';
import { luks1 } from '../../tests/support/luks-builder.ts';
import { aQed, CLUSTER as QED_CLUSTER, PLACES } from '../../tests/support/qed-builder.ts';
import { aVdi } from '../../tests/support/vdi-builder.ts';
import { aVhd } from '../../tests/support/vhd-builder.ts';
import { aVhdx } from '../../tests/support/vhdx-builder.ts';
import { aVmdk } from '../../tests/support/vmdk-builder.ts';
import { openLuks, openQcow, openQcow2, openQed, openRaw, openVdi, openVhd, openVhdx, openVmdk, readQcow2Header } from './index.ts';

const MiB = 2 ** 20;

/** `byteLength` zeros, but for `fill` bytes in each of the ranges. */
function contentOf(byteLength: number, ranges: readonly (readonly [start: number, end: number, fill: number])[]): Uint8Array {
  const content = new Uint8Array(byteLength);
  for (const [start, end, fill] of ranges) content.fill(fill, start, end);
  return content;
}

async function qcow2(backing?: ReadableDevice): Promise<ReadableDevice> {
  const cluster = 4096;
  const image = aQcow2({ clusterBits: 12, capacity: 700 * cluster - 512 });
  const data = image.allocate(3);
  for (let index = 0; index < 3; index += 1) image.withBytes(data + index * cluster, new Uint8Array(cluster).fill(index + 1));
  const place = (index: number): bigint => COPIED + BigInt(data + index * cluster);
  image.withL2(0, [place(0), place(1), 0, 1, place(2)]);
  const device = memoryDevice(image.bytes());
  return openQcow2(device, await readQcow2Header(device), { backing });
}

const QCOW2_DATA = [
  [0, 4096, 1],
  [4096, 8192, 2],
  [4 * 4096, 5 * 4096, 3],
] as const;

const SUBJECTS: Readonly<Record<string, () => Promise<Subject>>> = {
  raw: () => {
    const content = contentOf(70_000, [[100, 60_000, 7]]);
    return Promise.resolve({ device: openRaw(memoryDevice(content)), content: contentOf(70_144, [[100, 60_000, 7]]) });
  },
  'raw with a map': () => {
    const content = contentOf(131_072, [[8192, 12_288, 7]]);
    const stored = { fileOffset: 8192, byteLength: 4096, physicalOffset: undefined, shared: false, unwritten: false, encoded: false };
    return Promise.resolve({ device: openRaw(memoryDevice(content), [stored]), content });
  },
  qcow2: async () => ({ device: await qcow2(), content: contentOf(700 * 4096 - 512, QCOW2_DATA) }),
  'qcow2 over a backing file': async () => {
    const content = contentOf(700 * 4096 - 512, [[0, 10_000, 9], ...QCOW2_DATA]);
    return { device: await qcow2(memoryDevice(new Uint8Array(10_000).fill(9))), content };
  },
  'compressed qcow2': async () => {
    const cluster = 4096;
    const image = aQcow2({ clusterBits: 12, capacity: 40 * cluster - 512 });
    const at = image.allocate(2);
    const data = [deflateRawSync(new Uint8Array(cluster).fill(5)), deflateRawSync(new Uint8Array(cluster).fill(6))] as const;
    // The second begins where the first ends, in the middle of a sector.
    image.withBytes(at, data[0]).withBytes(at + data[0].byteLength, data[1]);
    image.withL2(0, [0, 2n ** 62n + BigInt(at), 2n ** 62n + BigInt(at + data[0].byteLength)]);
    const content = contentOf(40 * cluster - 512, [
      [cluster, 2 * cluster, 5],
      [2 * cluster, 3 * cluster, 6],
    ]);
    const device = memoryDevice(image.bytes());
    return { device: await openQcow2(device, await readQcow2Header(device)), content };
  },
  'sparse VMDK': async () => {
    const image = aVmdk({ kind: 'sparse' }).withGrain(0, new Uint8Array(4096).fill(1)).withGrain(3, new Uint8Array(4096).fill(2));
    const { device } = await openVmdk(memoryDevice(image.bytes()));
    const content = contentOf(device.byteLength, [
      [0, 4096, 1],
      [3 * 4096, 4 * 4096, 2],
    ]);
    return { device, content };
  },
  'stream-optimized VMDK': async () => {
    const image = aVmdk({ kind: 'stream' }).withGrain(1, new Uint8Array(4096).fill(1)).withGrain(2, new Uint8Array(4096).fill(2));
    const { device } = await openVmdk(memoryDevice(image.bytes()));
    const content = contentOf(device.byteLength, [
      [4096, 8192, 1],
      [8192, 12_288, 2],
    ]);
    return { device, content };
  },
  'fixed VHD': async () => {
    const bytes = Uint8Array.from(aVhd({ diskType: 'fixed' }).bytes()).fill(9, 1000, 30_000);
    return { device: (await openVhd(memoryDevice(bytes))).device, content: contentOf(65_536, [[1000, 30_000, 9]]) };
  },
  'dynamic VHD': async () => {
    const { device } = await openVhd(memoryDevice(aVhd().withBlock(1, 0x11).withBlock(4, 0x22).bytes()));
    const content = contentOf(65_536, [
      [8192, 16_384, 0x11],
      [4 * 8192, 5 * 8192, 0x22],
    ]);
    return { device, content };
  },
  VDI: async () => {
    const image = aVdi({ capacity: 3 * MiB - 512 })
      .withBlock(2, 0x22)
      .withBlock(0, 0x11)
      .withEntry(1, 0xfffffffe);
    const content = contentOf(3 * MiB - 512, [
      [0, MiB, 0x11],
      [2 * MiB, 3 * MiB - 512, 0x22],
    ]);
    return { device: (await openVdi(memoryDevice(image.bytes()))).device, content };
  },
  VHDX: async () => {
    const image = aVhdx();
    image
      .withBlock(0, image.blocks)
      .withEntry(2, 2)
      .withBlock(5, image.blocks + MiB);
    image.withBytes(image.blocks + MiB, [5, 6, 7]);
    const device = await openVhdx(image.device());
    const content = new Uint8Array(device.byteLength);
    content.set([5, 6, 7], 5 * MiB);
    return { device, content };
  },
  qcow: async () => {
    const image = aQcow()
      .withEntry('l2', 1, QCOW_PLACES.data)
      .withEntry('l2', 5, QCOW_PLACES.data + QCOW_CLUSTER)
      .withCompressed(6, new Uint8Array(QCOW_CLUSTER).fill(6))
      .withCompressed(7, new Uint8Array(QCOW_CLUSTER).fill(7));
    const content = contentOf(4 * MiB, [
      [QCOW_CLUSTER, 2 * QCOW_CLUSTER, 0x55],
      [5 * QCOW_CLUSTER, 6 * QCOW_CLUSTER, 0x55],
      [6 * QCOW_CLUSTER, 7 * QCOW_CLUSTER, 6],
      [7 * QCOW_CLUSTER, 8 * QCOW_CLUSTER, 7],
    ]);
    return { device: (await openQcow(memoryDevice(image.bytes()))).device, content };
  },
  QED: async () => {
    const image = aQed()
      .withEntry('l2', 1, PLACES.data)
      .withEntry('l2', 3, 1)
      .withEntry('l2', 5, PLACES.data + QED_CLUSTER);
    const content = contentOf(4 * MiB, [
      [QED_CLUSTER, 2 * QED_CLUSTER, 0x55],
      [5 * QED_CLUSTER, 6 * QED_CLUSTER, 0x55],
    ]);
    return { device: (await openQed(memoryDevice(image.bytes()))).device, content };
  },
};

describe('LUKS, whose bytes are never given', () => {
  const open = async (): Promise<OpaqueSubject> => {
    const { device } = await openLuks(memoryDevice(luks1({ length: MiB, payloadSector: 512 })));
    return { device, byteLength: MiB - 512 * 512, code: 'LUKS_ENCRYPTED' };
  };
  it.each(opaqueConformance(open))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe.each(Object.entries(SUBJECTS))('%s', (_, open) => {
  it.each(readableConformance(open))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

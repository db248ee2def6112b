/**
 * Hostile VDI images, named `<expected kind>--<what>`. `report` vectors open, and all their bytes can be read; those
 * `atRead` open, and reading all of them ends in this error; all others end so at opening.
 */
import { aVdi, MAP_AT, type VdiBuilder } from '../support/vdi-builder.ts';

export interface VdiVector {
  readonly name: string;
  readonly image: VdiBuilder;
  readonly code?: string;
  /** Byte position that the error names. */
  readonly at?: number;
  /** The error comes at reading, not at opening. */
  readonly atRead?: boolean;
}

const MiB = 1024 * 1024;
const UUID = new Uint8Array(16).fill(9);

const dynamic = (): VdiBuilder => aVdi().withBlock(2, 0x11).withBlock(0, 0x22);

export const VDI_VECTORS: readonly VdiVector[] = [...headers(), ...maps(), ...readable()];

function headers(): VdiVector[] {
  return [
    { name: 'corrupt--empty-file', image: aVdi().cutAt(0), code: 'STRUCT_TRUNCATED' },
    { name: 'corrupt--511-bytes', image: aVdi().cutAt(511), code: 'STRUCT_TRUNCATED' },
    { name: 'corrupt--signature', image: aVdi().withHeader('signature', 1), code: 'VDI_SIGNATURE', at: 64 },
    ...[0, 1, 0x10000, 0x10002, 0xffffffff].map((version) => ({
      name: `unsupported--version-${version}`,
      image: aVdi().withHeader('version', version),
      code: 'VDI_VERSION',
      at: 68,
    })),
    ...[0, 5, 0xffffffff].map((type) => ({
      name: `unsupported--image-type-${type}`,
      image: aVdi({ imageType: type }),
      code: 'VDI_IMAGE_TYPE',
      at: 76,
    })),
    { name: 'unsupported--sector-size-0', image: aVdi().withHeader('sectorSize', 0), code: 'VDI_SECTOR_SIZE', at: 360 },
    { name: 'unsupported--sector-size-4096', image: aVdi().withHeader('sectorSize', 4096), code: 'VDI_SECTOR_SIZE', at: 360 },
    ...[0, 1, 512, 2 * MiB, 0xffffffff].map((size) => ({
      name: `unsupported--block-size-${size}`,
      image: aVdi().withHeader('blockSize', size),
      code: 'VDI_BLOCK_SIZE',
      at: 376,
    })),
    { name: 'unsupported--block-extra', image: aVdi().withHeader('blockExtra', 512), code: 'VDI_BLOCK_EXTRA', at: 380 },
    { name: 'corrupt--disk-size-2-to-53', image: aVdi().withHeader('diskSize', 1n << 53n), code: 'NUMBER_TOO_LARGE', at: 368 },
    { name: 'corrupt--disk-size-below-2-to-53', image: aVdi().withHeader('diskSize', 2n ** 53n - 1n), code: 'VDI_DISK_SIZE', at: 368 },
    { name: 'corrupt--disk-size-over-map', image: aVdi().withHeader('diskSize', 3 * MiB + 1), code: 'VDI_DISK_SIZE', at: 368 },
    { name: 'corrupt--no-blocks', image: aVdi().withHeader('blocksInImage', 0), code: 'VDI_DISK_SIZE', at: 368 },
    { name: 'over-budget--blocks-all-ones', image: aVdi().withHeader('blocksInImage', 0xffffffff), code: 'VDI_MAP_LIMIT', at: 384 },
    { name: 'over-budget--map-128-mib-and-4', image: aVdi().withHeader('blocksInImage', 2 ** 25 + 1), code: 'VDI_MAP_LIMIT', at: 384 },
    { name: 'corrupt--map-behind-file', image: aVdi().withHeader('blocksInImage', 2 ** 25), code: 'VDI_BMAP_OFFSET', at: 340 },
    { name: 'corrupt--map-over-header', image: aVdi().withHeader('offsetBmap', 0), code: 'VDI_BMAP_OFFSET', at: 340 },
    { name: 'corrupt--map-unaligned', image: aVdi().withHeader('offsetBmap', 516), code: 'VDI_BMAP_OFFSET', at: 340 },
    { name: 'corrupt--map-offset-all-ones', image: aVdi().withHeader('offsetBmap', 0xffffffff), code: 'VDI_BMAP_OFFSET', at: 340 },
    { name: 'corrupt--data-over-header', image: aVdi().withHeader('offsetData', 0), code: 'VDI_DATA_OFFSET', at: 344 },
    { name: 'corrupt--data-over-map', image: aVdi().withHeader('offsetData', 512), code: 'VDI_DATA_OFFSET', at: 344 },
    { name: 'corrupt--data-unaligned', image: aVdi().withHeader('offsetData', 1025), code: 'VDI_DATA_OFFSET', at: 344 },
  ];
}

function maps(): VdiVector[] {
  const cases: [string, number, number][] = [
    ['behind-file', 1, 2],
    ['all-ones-less-two', 1, 0xfffffffd],
    ['twice', 1, 1],
  ];
  return [
    ...cases.map(([what, block, value]) => ({
      name: `corrupt--block-${what}`,
      image: dynamic().withEntry(block, value),
      code: 'VDI_MAP_ENTRY',
      at: MAP_AT + block * 4,
    })),
    { name: 'corrupt--block-cut', image: dynamic().cutAt(1024 + 2 * MiB - 1), code: 'VDI_MAP_ENTRY', at: MAP_AT },
    {
      name: 'corrupt--block-behind-capacity-twice',
      image: aVdi({ capacity: MiB, blocksInImage: 2 }).withBlock(0, 1).withEntry(1, 0),
      code: 'VDI_MAP_ENTRY',
      at: MAP_AT + 4,
    },
  ];
}

function readable(): VdiVector[] {
  return [
    { name: 'report--size-0', image: aVdi().withHeader('diskSize', 0) },
    { name: 'report--size-odd', image: dynamic().withHeader('diskSize', 3 * MiB - 700) },
    { name: 'report--data-offset-behind-file', image: aVdi().withHeader('offsetData', 0xfffffe00) },
    { name: 'report--blocks-allocated-all-ones', image: dynamic().withHeader('blocksAllocated', 0xffffffff) },
    { name: 'report--blocks-allocated-0', image: dynamic().withHeader('blocksAllocated', 0) },
    {
      name: 'report--last-block-cut-behind-capacity',
      image: aVdi({ capacity: MiB + 512 })
        .withBlock(0, 1)
        .withBlock(1, 2)
        .cutAt(1024 + MiB + 512),
    },
    { name: 'report--zero-blocks', image: aVdi().withEntry(0, 0xfffffffe).withEntry(2, 0xfffffffe) },
    { name: 'report--link-uuid-with-all-its-bytes', image: aVdi({ capacity: MiB }).withHeader('uuidLink', UUID).withBlock(0, 1) },
    { name: 'unsupported--link-uuid', image: dynamic().withHeader('uuidLink', UUID), code: 'VDI_DIFFERENCING', at: MiB, atRead: true },
    { name: 'unsupported--parent-uuid', image: aVdi().withHeader('uuidParent', UUID), code: 'VDI_DIFFERENCING', at: 0, atRead: true },
    { name: 'unsupported--undo', image: aVdi({ imageType: 3 }), code: 'VDI_DIFFERENCING', at: 0, atRead: true },
    { name: 'unsupported--differencing', image: aVdi({ imageType: 4 }), code: 'VDI_DIFFERENCING', at: 0, atRead: true },
  ];
}

/** Hostile VHDX images, named `<expected kind>--<what>`; `read` vectors are opened, all others end in exactly this error. */
import { KiB, MiB } from '#base';
import { METADATA_GUID, REGION_GUID } from '../../src/formats/vhdx/layout.ts';
import { aVhdx, guid, LOG, u32, u64, type VhdxBuilder } from '../support/vhdx-builder.ts';

export interface VhdxVector {
  readonly name: string;
  readonly image: VhdxBuilder;
  readonly code?: string;
  /** Byte position that the error names; left out where no single one is to blame. */
  readonly at?: number;
}

const HEADER_1 = 64 * KiB;
const HEADER_2 = 128 * KiB;
const TABLE_1 = 192 * KiB;
const TABLE_2 = 256 * KiB;
const PAST_53_BITS = 1n << 53n;
const ALL_ONES = (1n << 64n) - 1n;
const STRANGE = 'deadbeef-0000-4000-8000-000000000001';

export const VHDX_VECTORS: readonly VhdxVector[] = [...headers(), ...regions(), ...metadata(), ...blocks(), ...logs(), ...parents()];

function headers(): VhdxVector[] {
  return [
    { name: 'read--plain', image: aVhdx() },
    { name: 'corrupt--signature', image: aVhdx().withBytes(0, [0x56]), code: 'VHDX_SIGNATURE', at: 0 },
    { name: 'corrupt--empty-file', image: aVhdx().withLength(0), code: 'VHDX_SIGNATURE', at: 0 },
    { name: 'corrupt--signature-only', image: aVhdx().withLength(8), code: 'STRUCT_TRUNCATED' },
    { name: 'corrupt--cut-in-second-header', image: aVhdx().withLength(HEADER_2 + 100), code: 'VHDX_LOG_PLACE' },
    {
      name: 'read--first-header-broken',
      image: aVhdx()
        .withoutChecksum(HEADER_1)
        .withBytes(HEADER_1 + 100, [1]),
    },
    { name: 'read--second-header-broken', image: aVhdx().withBytes(HEADER_2, [0]) },
    {
      name: 'corrupt--both-headers-broken',
      image: aVhdx()
        .withBytes(HEADER_1, [0])
        .withoutChecksum(HEADER_2)
        .withBytes(HEADER_2 + 4000, [1]),
      code: 'VHDX_HEADERS',
      at: HEADER_1,
    },
    {
      name: 'corrupt--headers-of-one-age',
      image: aVhdx().withHeader('sequenceNumber', 8, 0).withHeader('logLength', 0, 0),
      code: 'VHDX_HEADERS',
    },
    { name: 'read--headers-the-same', image: aVhdx().withHeader('sequenceNumber', 8) },
    { name: 'unsupported--version-2', image: aVhdx().withHeader('version', 2), code: 'VHDX_VERSION', at: HEADER_2 + 66 },
    { name: 'unsupported--log-version-1', image: aVhdx().withHeader('logVersion', 1), code: 'VHDX_VERSION', at: HEADER_2 + 64 },
    { name: 'corrupt--log-in-header-section', image: aVhdx().withHeader('logOffset', 0), code: 'VHDX_LOG_PLACE', at: HEADER_2 + 72 },
    { name: 'corrupt--log-unaligned', image: aVhdx().withHeader('logOffset', LOG + 4096), code: 'VHDX_LOG_PLACE' },
    { name: 'corrupt--log-length-unaligned', image: aVhdx().withHeader('logLength', 4096), code: 'VHDX_LOG_PLACE', at: HEADER_2 + 68 },
    { name: 'corrupt--log-behind-end', image: aVhdx().withHeader('logOffset', 100 * MiB), code: 'VHDX_LOG_PLACE' },
    { name: 'corrupt--log-length-4-gib', image: aVhdx().withHeader('logLength', 0xfff00000), code: 'VHDX_LOG_PLACE' },
    { name: 'corrupt--log-offset-all-ones', image: aVhdx().withHeader('logOffset', ALL_ONES), code: 'NUMBER_TOO_LARGE', at: HEADER_2 + 72 },
    { name: 'corrupt--log-over-bat', image: aVhdx().withHeader('logOffset', 2 * MiB), code: 'VHDX_REGION' },
  ];
}

function regions(): VhdxVector[] {
  const bat = { guid: REGION_GUID.bat, fileOffset: 2 * MiB, length: MiB, flags: 1 };
  const other = { guid: STRANGE, fileOffset: 4 * MiB, length: MiB, flags: 0 };
  const longer = (): VhdxBuilder =>
    aVhdx()
      .withRegionCount(3)
      .withLength(6 * MiB);
  return [
    {
      name: 'read--first-region-table-broken',
      image: aVhdx()
        .withoutChecksum(TABLE_1)
        .withBytes(TABLE_1 + 60000, [1]),
    },
    { name: 'read--second-region-table-broken', image: aVhdx().withBytes(TABLE_2, [0]) },
    {
      name: 'corrupt--both-region-tables-broken',
      image: aVhdx().withBytes(TABLE_1, [0]).withBytes(TABLE_2, [0]),
      code: 'VHDX_REGION_TABLE',
    },
    {
      name: 'corrupt--region-tables-differ',
      image: aVhdx()
        .withLength(6 * MiB)
        .withRegion(0, { ...bat, fileOffset: 4 * MiB }, [TABLE_2]),
      code: 'VHDX_REGION_TABLE',
      at: TABLE_2,
    },
    { name: 'corrupt--region-table-counts-differ', image: aVhdx().withRegionCount(1, [TABLE_1]), code: 'VHDX_REGION_TABLE' },
    { name: 'corrupt--region-count-2048', image: aVhdx().withRegionCount(2048), code: 'VHDX_REGION_TABLE', at: TABLE_1 + 8 },
    { name: 'corrupt--region-count-all-ones', image: aVhdx().withRegionCount(0xffffffff), code: 'VHDX_REGION_TABLE' },
    { name: 'corrupt--no-regions', image: aVhdx().withRegionCount(0), code: 'VHDX_REGION' },
    { name: 'corrupt--no-metadata-region', image: aVhdx().withRegionCount(1), code: 'VHDX_REGION' },
    { name: 'corrupt--bat-region-twice', image: longer().withRegion(2, { ...bat, fileOffset: 4 * MiB }), code: 'VHDX_REGION' },
    {
      name: 'corrupt--region-unaligned',
      image: aVhdx().withRegion(0, { ...bat, fileOffset: 2 * MiB + 512 }),
      code: 'VHDX_REGION',
      at: TABLE_1 + 32,
    },
    { name: 'corrupt--region-in-header-section', image: aVhdx().withRegion(0, { ...bat, fileOffset: 0 }), code: 'VHDX_REGION' },
    { name: 'corrupt--region-length-0', image: aVhdx().withRegion(0, { ...bat, length: 0 }), code: 'VHDX_REGION', at: TABLE_1 + 40 },
    { name: 'corrupt--region-length-unaligned', image: aVhdx().withRegion(0, { ...bat, length: MiB + 4096 }), code: 'VHDX_REGION' },
    { name: 'corrupt--region-behind-end', image: aVhdx().withRegion(0, { ...bat, fileOffset: 4 * MiB }), code: 'VHDX_REGION' },
    { name: 'corrupt--region-past-53-bits', image: aVhdx().withRegion(0, { ...bat, fileOffset: PAST_53_BITS }), code: 'NUMBER_TOO_LARGE' },
    { name: 'corrupt--region-over-region', image: aVhdx().withRegion(0, { ...bat, fileOffset: 3 * MiB }), code: 'VHDX_REGION' },
    { name: 'corrupt--region-over-log', image: aVhdx().withRegion(0, { ...bat, fileOffset: MiB }), code: 'VHDX_REGION' },
    { name: 'read--unknown-region', image: longer().withRegion(2, other) },
    { name: 'unsupported--unknown-region-required', image: longer().withRegion(2, { ...other, flags: 1 }), code: 'VHDX_REGION_UNKNOWN' },
    { name: 'corrupt--unknown-region-over-bat', image: longer().withRegion(2, { ...other, fileOffset: 2 * MiB }), code: 'VHDX_REGION' },
  ];
}

function metadata(): VhdxVector[] {
  const table = aVhdx().metadata;
  const changed = (name: string, field: 'offset' | 'length', value: number): VhdxBuilder => {
    const image = aVhdx();
    return image.withU32(image.item(name).entryAt + (field === 'offset' ? 16 : 20), value);
  };
  const item = (name: string, bytes: readonly number[]): VhdxBuilder => {
    const image = aVhdx();
    return image.withBytes(image.item(name).at, bytes);
  };
  const without = (name: string): VhdxBuilder => {
    const image = aVhdx();
    return image.withBytes(image.item(name).entryAt, guid(STRANGE)).withU32(image.item(name).entryAt + 24, 0);
  };
  return [
    { name: 'corrupt--metadata-signature', image: aVhdx().withBytes(table, [0]), code: 'VHDX_METADATA_TABLE', at: table },
    { name: 'corrupt--metadata-count-2048', image: aVhdx().withU16(table + 10, 2048), code: 'VHDX_METADATA_TABLE', at: table + 10 },
    { name: 'corrupt--metadata-item-in-table', image: changed('virtualDiskSize', 'offset', 64), code: 'VHDX_METADATA_ITEM' },
    { name: 'corrupt--metadata-item-behind-region', image: changed('virtualDiskSize', 'offset', MiB - 4), code: 'VHDX_METADATA_ITEM' },
    { name: 'corrupt--metadata-item-all-ones', image: changed('virtualDiskSize', 'offset', 0xffffffff), code: 'VHDX_METADATA_ITEM' },
    { name: 'corrupt--metadata-item-length-0', image: changed('virtualDiskSize', 'length', 0), code: 'VHDX_METADATA_ITEM' },
    { name: 'corrupt--metadata-item-length-9', image: changed('virtualDiskSize', 'length', 9), code: 'VHDX_METADATA_ITEM' },
    { name: 'corrupt--metadata-item-length-all-ones', image: changed('fileParameters', 'length', 0xffffffff), code: 'VHDX_METADATA_ITEM' },
    ...Object.keys(METADATA_GUID)
      .filter((name) => name !== 'parentLocator')
      .map((name) => ({
        name: `corrupt--without-${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
        image: without(name),
        code: 'VHDX_METADATA_ITEM',
      })),
    { name: 'corrupt--metadata-item-twice', image: aVhdx().withItem('virtualDiskSize', u64(MiB)), code: 'VHDX_METADATA_ITEM' },
    { name: 'read--unknown-metadata', image: aVhdx().withItem(STRANGE, [1], 0) },
    { name: 'read--known-name-of-the-user', image: aVhdx().withItem('virtualDiskSize', u64(MiB), 1) },
    { name: 'unsupported--unknown-metadata-required', image: aVhdx().withItem(STRANGE, [1], 4), code: 'VHDX_METADATA_UNKNOWN' },
    ...[0, 1, 512 * KiB, MiB + 512, 3 * MiB, 512 * MiB, 0xffffffff].map((size) => ({
      name: `corrupt--block-size-${size}`,
      image: item('fileParameters', u32(size)),
      code: 'VHDX_BLOCK_SIZE',
    })),
    ...[0, 513, 2048, 0xffffffff].map((size) => ({
      name: `corrupt--sector-size-${size}`,
      image: item('logicalSectorSize', u32(size)),
      code: 'VHDX_SECTOR_SIZE',
    })),
    { name: 'corrupt--physical-sector-size-0', image: item('physicalSectorSize', u32(0)), code: 'VHDX_SECTOR_SIZE' },
    { name: 'read--capacity-0', image: item('virtualDiskSize', u64(0)) },
    { name: 'corrupt--capacity-no-sectors', image: item('virtualDiskSize', u64(MiB + 1)), code: 'VHDX_CAPACITY' },
    { name: 'corrupt--capacity-above-64-tib', image: item('virtualDiskSize', u64(2 ** 46 + 512)), code: 'VHDX_CAPACITY' },
    { name: 'corrupt--capacity-all-ones', image: item('virtualDiskSize', u64(ALL_ONES)), code: 'NUMBER_TOO_LARGE' },
    { name: 'corrupt--capacity-64-tib-in-small-bat', image: item('virtualDiskSize', u64(2 ** 46)), code: 'VHDX_BAT' },
  ];
}

function blocks(): VhdxVector[] {
  const at = aVhdx().blocks;
  const entry = aVhdx().bat;
  const large = (): VhdxBuilder => aVhdx({ capacity: 16 * MiB, blockSize: 4 * MiB });
  return [
    {
      name: 'read--blocks',
      image: aVhdx()
        .withBlock(0, at)
        .withBlock(7, at + MiB),
    },
    {
      name: 'read--states-without-place',
      image: aVhdx().withEntry(0, 1).withEntry(1, 2).withEntry(2, 3).withEntry(3, 5).withEntry(4, 0x12345671n),
    },
    {
      name: 'read--reserved-bits',
      image: aVhdx()
        .withBlock(0, at)
        .withEntry(0, BigInt(at) + 0xffff8n + 6n),
    },
    { name: 'read--entries-behind-the-disk', image: aVhdx().withEntry(8, ALL_ONES) },
    { name: 'corrupt--state-4', image: aVhdx().withEntry(3, 4), code: 'VHDX_BAT_ENTRY', at: entry + 24 },
    {
      name: 'corrupt--partially-present',
      image: aVhdx()
        .withBlock(0, at)
        .withEntry(0, BigInt(at) + 7n),
      code: 'VHDX_BAT_ENTRY',
      at: entry,
    },
    { name: 'corrupt--block-at-0', image: aVhdx().withEntry(0, 6), code: 'VHDX_BAT_ENTRY' },
    { name: 'corrupt--block-behind-end', image: aVhdx().withEntry(0, BigInt(at) + 6n), code: 'VHDX_BAT_ENTRY' },
    {
      name: 'corrupt--block-cut-off',
      image: aVhdx()
        .withBlock(0, at)
        .withLength(at + MiB - 1),
      code: 'VHDX_BAT_ENTRY',
    },
    { name: 'corrupt--block-all-ones', image: aVhdx().withEntry(0, ALL_ONES - 1n), code: 'VHDX_BAT_ENTRY' },
    { name: 'corrupt--block-past-53-bits', image: aVhdx().withEntry(0, PAST_53_BITS + 6n), code: 'VHDX_BAT_ENTRY' },
    ...(
      [
        ['log', LOG],
        ['bat', 2 * MiB],
        ['metadata', 3 * MiB],
      ] as const
    ).map(([name, place]) => ({
      name: `corrupt--block-over-${name}`,
      image: aVhdx().withEntry(0, BigInt(place) + 6n),
      code: 'VHDX_BAT_ENTRY',
    })),
    { name: 'corrupt--block-runs-into-region', image: large().withBlock(0, MiB, 4 * MiB), code: 'VHDX_BAT_ENTRY' },
    { name: 'corrupt--block-twice', image: aVhdx().withBlock(0, at).withBlock(5, at), code: 'VHDX_BLOCK_TWICE', at: entry + 40 },
    {
      name: 'corrupt--blocks-overlap',
      image: large()
        .withBlock(0, at, 4 * MiB)
        .withBlock(1, at + 3 * MiB, 4 * MiB),
      code: 'VHDX_BLOCK_TWICE',
    },
    { name: 'corrupt--block-above-256-tib', image: aVhdx().withBlock(0, 2 ** 48), code: 'VHDX_BAT_ENTRY' },
    // The last block may end behind the file, as far as the disk does not reach.
    { name: 'read--last-block-in-part', image: aVhdx({ capacity: 5 * MiB, blockSize: 4 * MiB }).withBlock(1, at, MiB) },
    {
      name: 'corrupt--last-block-cut',
      image: aVhdx({ capacity: 5 * MiB, blockSize: 4 * MiB })
        .withBlock(1, at, MiB)
        .withLength(at + MiB - 512),
      code: 'VHDX_BAT_ENTRY',
    },
  ];
}

function logs(): VhdxVector[] {
  const sector = new Uint8Array(4096).fill(1);
  const inMetadata = aVhdx().metadata + 512 * KiB;
  const update = { at: inMetadata, data: sector };
  const one = (choice: object = {}): VhdxBuilder => aVhdx().withLogEntry(0, { sequenceNumber: 5, updates: [update], ...choice });
  const overlapping = aVhdx();
  // Each sector of the log begins an entry that claims all of it.
  for (let at = 0; at < MiB; at += 4096) overlapping.withLogEntry(at, { sequenceNumber: 1 }).withU32(LOG + at + 8, MiB);
  const zeros = Array.from({ length: 5000 }, (_, index) => ({ at: inMetadata + (index % 16) * 4096, zeros: 4096 }));
  return [
    { name: 'read--log-of-one-entry', image: one() },
    { name: 'read--log-entry-without-updates', image: one({ updates: [] }) },
    { name: 'read--log-wrapped', image: aVhdx().withLogEntry(MiB - 4096, { sequenceNumber: 5, updates: [update] }) },
    { name: 'corrupt--log-without-entries', image: aVhdx().withHeader('logGuid', 1), code: 'VHDX_LOG', at: LOG },
    { name: 'corrupt--log-of-length-0', image: one().withHeader('logLength', 0), code: 'VHDX_LOG' },
    { name: 'corrupt--log-of-another-guid', image: one({ logGuid: STRANGE }), code: 'VHDX_LOG' },
    { name: 'corrupt--log-checksum', image: one().withBytes(LOG + 5000, [7]), code: 'VHDX_LOG' },
    { name: 'corrupt--log-sequence-number-0', image: one({ sequenceNumber: 0 }), code: 'VHDX_LOG' },
    { name: 'corrupt--log-tail-elsewhere', image: one({ tail: 8192 }), code: 'VHDX_LOG' },
    { name: 'corrupt--log-tail-behind-end', image: one({ tail: 0xfffff000 }), code: 'VHDX_LOG' },
    { name: 'corrupt--log-entry-length-all-ones', image: one().withU32(LOG + 8, 0xffffffff), code: 'VHDX_LOG' },
    { name: 'corrupt--log-entry-length-0', image: one().withU32(LOG + 8, 0), code: 'VHDX_LOG' },
    { name: 'corrupt--log-descriptors-all-ones', image: one().withU32(LOG + 24, 0xffffffff), code: 'VHDX_LOG' },
    { name: 'corrupt--file-shorter-than-log-knows', image: one({ flushedFileOffset: 100 * MiB }), code: 'VHDX_LOG', at: LOG + 48 },
    { name: 'corrupt--log-last-offset-all-ones', image: one({ lastFileOffset: ALL_ONES }), code: 'VHDX_LOG', at: LOG + 56 },
    { name: 'read--log-makes-the-file-longer', image: one({ lastFileOffset: 2 ** 40 }) },
    ...(
      [
        ['identifier', 0],
        ['header', HEADER_2],
        ['itself', LOG + 8192],
        ['behind-end', 100 * MiB],
        ['past-53-bits', 2 ** 60],
      ] as const
    ).map(([name, at]) => ({
      name: `corrupt--log-writes-${name}`,
      image: one({ updates: [{ at, data: sector }] }),
      code: 'VHDX_LOG',
    })),
    { name: 'corrupt--log-zeros-everything', image: one({ updates: [{ at: 0, zeros: 2 ** 62 }] }), code: 'VHDX_LOG' },
    { name: 'corrupt--log-zeros-region-tables', image: one({ updates: [{ at: TABLE_1, zeros: 128 * KiB }] }), code: 'VHDX_REGION_TABLE' },
    {
      name: 'corrupt--two-logs-in-one',
      image: one().withLogEntry(64 * KiB, { sequenceNumber: 5, updates: [update] }),
      code: 'VHDX_LOG',
    },
    { name: 'over-budget--log-entries-overlap', image: overlapping, code: 'VHDX_LOG_WORK' },
    { name: 'over-budget--log-zeros-many', image: one({ updates: zeros }), code: 'VHDX_LOG_WORK' },
    {
      name: 'over-budget--log-65-mib',
      image: aVhdx({ logLength: 65 * MiB }).withLogEntry(0, { sequenceNumber: 1 }),
      code: 'VHDX_LOG_SIZE',
    },
  ];
}

function parents(): VhdxVector[] {
  const child = (): VhdxBuilder => aVhdx({ flags: 2 });
  const located = (): VhdxBuilder => child().withParent([['relative_path', '..\\..\\etc\\shadow']]);
  const changed = (at: number, bytes: readonly number[]): VhdxBuilder => {
    const image = located();
    return image.withBytes(image.item('parentLocator').at + at, bytes);
  };
  return [
    { name: 'refused--differencing', image: located(), code: 'VHDX_DIFFERENCING' },
    { name: 'refused--differencing-without-names', image: child().withParent([]), code: 'VHDX_DIFFERENCING' },
    { name: 'corrupt--differencing-without-locator', image: child(), code: 'VHDX_METADATA_ITEM' },
    { name: 'read--locator-without-parent', image: aVhdx().withParent([['relative_path', '/etc/shadow']]) },
    { name: 'corrupt--locator-count-all-ones', image: changed(18, [255, 255]), code: 'VHDX_PARENT_LOCATOR' },
    { name: 'corrupt--locator-key-outside', image: changed(20, u32(0xffffffff)), code: 'VHDX_PARENT_LOCATOR' },
    { name: 'corrupt--locator-key-in-header', image: changed(20, u32(0)), code: 'VHDX_PARENT_LOCATOR' },
    { name: 'corrupt--locator-value-outside', image: changed(24, u32(70)), code: 'VHDX_PARENT_LOCATOR' },
    { name: 'corrupt--locator-key-empty', image: changed(28, [0, 0]), code: 'VHDX_PARENT_LOCATOR' },
    { name: 'corrupt--locator-key-odd', image: changed(28, [3, 0]), code: 'VHDX_PARENT_LOCATOR' },
    { name: 'corrupt--locator-names-overlap', image: changed(24, [...u32(32), 26, 0, 50, 0]), code: 'VHDX_PARENT_LOCATOR' },
  ];
}

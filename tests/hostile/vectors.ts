/**
 * The threat model's index: one entry a vector, named `<expected kind>--<what>`. `finding` and `report` vectors are read;
 * all others end in exactly this error, at exactly this place.
 */
import { aQcow2, COMPRESSED, COPIED, type Qcow2Builder } from '../support/qcow2-builder.ts';

export interface Vector {
  readonly name: string;
  readonly image: Qcow2Builder;
  readonly code?: string;
  /** Byte position that the error names; left out where no single one is to blame. */
  readonly at?: number;
  readonly field?: string;
  /** For `finding--`: a finding that must be there. */
  readonly finding?: string;
}

const KiB = 1024;
const CLUSTER = 64 * KiB;
const PAST_53_BITS = 1n << 53n;

export const VECTORS: readonly Vector[] = [
  ...fixedFields(),
  ...extensions(),
  ...l1AndL2(),
  ...refcounts(),
  ...snapshots(),
  ...bitmaps(),
  ...truncations(),
];

function fixedFields(): Vector[] {
  const length = BigInt(aQcow2().length);
  return [
    { name: 'unsupported--version-4', image: aQcow2().withField('version', 4), code: 'QCOW2_VERSION', at: 4, field: 'version' },
    { name: 'unsupported--version-0', image: aQcow2().withField('version', 0), code: 'QCOW2_VERSION', at: 4 },
    { name: 'unsupported--version-all-ones', image: aQcow2().withField('version', 0xffffffff), code: 'QCOW2_VERSION', at: 4 },
    ...[0, 1, 8, 22, 63, 64, 0xffffffff].map((bits) => ({
      name: `corrupt--cluster-bits-${bits}`,
      image: aQcow2().withField('clusterBits', bits),
      code: 'QCOW2_CLUSTER_BITS',
      at: 20,
      field: 'cluster_bits',
    })),
    {
      name: 'corrupt--cluster-bits-13-extended-l2',
      image: aQcow2({ clusterBits: 13 }).withField('incompatibleFeatures', 16),
      code: 'QCOW2_CLUSTER_BITS',
      at: 20,
    },
    { name: 'corrupt--size-2-to-53', image: aQcow2().withField('size', PAST_53_BITS), code: 'NUMBER_TOO_LARGE', at: 24, field: 'size' },
    { name: 'corrupt--size-all-ones', image: aQcow2().withField('size', (1n << 64n) - 1n), code: 'NUMBER_TOO_LARGE', at: 24 },
    {
      name: 'corrupt--size-beyond-l1',
      image: aQcow2().withField('size', PAST_53_BITS - 1n),
      code: 'QCOW2_L1_SIZE',
      at: 36,
      field: 'l1_size',
    },
    { name: 'report--size-0', image: aQcow2().withField('size', 0) },
    { name: 'report--size-1', image: aQcow2().withField('size', 1) },
    { name: 'unsupported--crypt-method-3', image: aQcow2().withField('cryptMethod', 3), code: 'QCOW2_CRYPT_METHOD', at: 32 },
    {
      name: 'unsupported--crypt-method-all-ones',
      image: aQcow2().withField('cryptMethod', 0xffffffff),
      code: 'QCOW2_CRYPT_METHOD',
      at: 32,
    },
    { name: 'corrupt--l1-size-0', image: aQcow2().withField('l1Size', 0), code: 'QCOW2_L1_SIZE', at: 36 },
    { name: 'corrupt--l1-size-32-mib-and-an-entry', image: aQcow2().withField('l1Size', 4 * KiB * KiB + 1), code: 'QCOW2_L1_SIZE', at: 36 },
    { name: 'corrupt--l1-size-all-ones', image: aQcow2().withField('l1Size', 0xffffffff), code: 'QCOW2_L1_SIZE', at: 36 },
    {
      name: 'corrupt--l1-size-huge-in-tiny-file',
      image: aQcow2().withField('l1Size', 4 * KiB * KiB),
      code: 'QCOW2_L1_OFFSET',
      at: 40,
      field: 'l1_table_offset',
    },
    { name: 'corrupt--l1-offset-0', image: aQcow2().withField('l1TableOffset', 0), code: 'QCOW2_L1_OFFSET', at: 40 },
    { name: 'corrupt--l1-offset-1', image: aQcow2().withField('l1TableOffset', 1), code: 'QCOW2_L1_OFFSET', at: 40 },
    { name: 'corrupt--l1-offset-at-end', image: aQcow2().withField('l1TableOffset', length), code: 'QCOW2_L1_OFFSET', at: 40 },
    { name: 'corrupt--l1-offset-all-ones', image: aQcow2().withField('l1TableOffset', (1n << 64n) - 1n), code: 'NUMBER_TOO_LARGE', at: 40 },
    { name: 'corrupt--refcount-table-offset-0', image: aQcow2().withField('refcountTableOffset', 0), code: 'QCOW2_REFCOUNT_TABLE', at: 48 },
    {
      name: 'corrupt--refcount-table-offset-unaligned',
      image: aQcow2().withField('refcountTableOffset', CLUSTER + 512),
      code: 'QCOW2_REFCOUNT_TABLE',
      at: 48,
    },
    {
      name: 'corrupt--refcount-table-outside',
      image: aQcow2().withField('refcountTableOffset', length),
      code: 'QCOW2_REFCOUNT_TABLE',
      at: 48,
    },
    {
      name: 'corrupt--refcount-table-2-to-53',
      image: aQcow2().withField('refcountTableOffset', PAST_53_BITS),
      code: 'NUMBER_TOO_LARGE',
      at: 48,
    },
    {
      name: 'corrupt--refcount-table-clusters-0',
      image: aQcow2().withField('refcountTableClusters', 0),
      code: 'QCOW2_REFCOUNT_TABLE',
      at: 56,
    },
    {
      name: 'corrupt--refcount-table-clusters-129',
      image: aQcow2().withField('refcountTableClusters', 129),
      code: 'QCOW2_REFCOUNT_TABLE',
      at: 56,
    },
    {
      name: 'corrupt--refcount-table-clusters-all-ones',
      image: aQcow2().withField('refcountTableClusters', 0xffffffff),
      code: 'QCOW2_REFCOUNT_TABLE',
      at: 56,
    },
    {
      name: 'corrupt--refcount-table-longer-than-file',
      image: aQcow2().withField('refcountTableClusters', 128),
      code: 'QCOW2_REFCOUNT_TABLE',
      at: 48,
    },
    { name: 'corrupt--snapshots-65537', image: aQcow2().withField('nbSnapshots', 65537), code: 'QCOW2_SNAPSHOTS', at: 60 },
    { name: 'corrupt--snapshots-all-ones', image: aQcow2().withField('nbSnapshots', 0xffffffff), code: 'QCOW2_SNAPSHOTS', at: 60 },
    { name: 'corrupt--snapshots-offset-0', image: aQcow2().withField('nbSnapshots', 1), code: 'QCOW2_SNAPSHOTS', at: 64 },
    {
      name: 'corrupt--snapshots-outside',
      image: aQcow2().withField('nbSnapshots', 1).withField('snapshotsOffset', length),
      code: 'QCOW2_SNAPSHOTS',
      at: 64,
    },
    { name: 'unsupported--feature-bit-5', image: aQcow2().withField('incompatibleFeatures', 32), code: 'QCOW2_FEATURES', at: 72 },
    { name: 'unsupported--feature-bit-63', image: aQcow2().withField('incompatibleFeatures', 1n << 63n), code: 'QCOW2_FEATURES', at: 72 },
    {
      name: 'report--compatible-and-autoclear-all-ones',
      image: aQcow2()
        .withField('compatibleFeatures', (1n << 64n) - 1n)
        .withField('autoclearFeatures', (1n << 64n) - 1n),
    },
    { name: 'corrupt--refcount-order-7', image: aQcow2().withField('refcountOrder', 7), code: 'QCOW2_REFCOUNT_ORDER', at: 96 },
    {
      name: 'corrupt--refcount-order-all-ones',
      image: aQcow2().withField('refcountOrder', 0xffffffff),
      code: 'QCOW2_REFCOUNT_ORDER',
      at: 96,
    },
    { name: 'corrupt--header-length-0', image: aQcow2().withField('headerLength', 0), code: 'QCOW2_HEADER_LENGTH', at: 100 },
    { name: 'corrupt--header-length-103', image: aQcow2().withField('headerLength', 103), code: 'QCOW2_HEADER_LENGTH', at: 100 },
    { name: 'corrupt--header-length-105', image: aQcow2().withField('headerLength', 105), code: 'QCOW2_HEADER_LENGTH', at: 100 },
    {
      name: 'corrupt--header-length-past-cluster',
      image: aQcow2().withField('headerLength', CLUSTER + 8),
      code: 'QCOW2_HEADER_LENGTH',
      at: 100,
    },
    { name: 'report--header-length-whole-cluster', image: aQcow2().withField('headerLength', CLUSTER) },
    {
      name: 'corrupt--compression-type-without-flag',
      image: aQcow2().withField('headerLength', 112).withBytes(104, Uint8Array.of(1)),
      code: 'QCOW2_COMPRESSION_TYPE',
      at: 104,
    },
    {
      name: 'corrupt--compression-type-2',
      image: aQcow2().withField('incompatibleFeatures', 8).withField('headerLength', 112).withBytes(104, Uint8Array.of(2)),
      code: 'QCOW2_COMPRESSION_TYPE',
      at: 104,
    },
  ];
}

function extensions(): Vector[] {
  return [
    {
      name: 'corrupt--extension-past-the-area',
      image: aQcow2().withExtension(0x6803f857, new Uint8Array(8), CLUSTER),
      code: 'QCOW2_EXTENSION_LENGTH',
      at: 108,
      field: 'length',
    },
    {
      name: 'corrupt--extension-length-all-ones',
      image: aQcow2().withExtension(0x12345678, new Uint8Array(8), 0xffffffff),
      code: 'QCOW2_EXTENSION_LENGTH',
      at: 108,
    },
    {
      name: 'corrupt--extension-into-backing-name',
      image: aQcow2()
        .withBackingFile('base')
        .withBytes(104, Uint8Array.of(0x68, 3, 0xf8, 0x57, 0, 0, 0, 9)),
      code: 'QCOW2_EXTENSION_LENGTH',
      at: 108,
    },
    {
      name: 'report--extensions-never-end',
      image: aQcow2({ clusterBits: 21 }).withBytes(
        104,
        new Uint8Array(2 ** 21 - 104).map((_, at) => (at % 8 < 4 ? 0x11 : 0)),
      ),
    },
    {
      name: 'corrupt--backing-format-16-bytes',
      image: aQcow2().withExtension(0xe2792aca, Buffer.alloc(16, 'x')),
      code: 'QCOW2_EXTENSION_LENGTH',
      at: 108,
    },
    {
      name: 'corrupt--data-file-name-4096-bytes',
      image: aQcow2().withDataFile(Buffer.alloc(4096, 'x')),
      code: 'QCOW2_EXTENSION_LENGTH',
      at: 108,
    },
    {
      name: 'corrupt--bitmaps-extension-short',
      image: aQcow2().withField('autoclearFeatures', 1).withExtension(0x23852875, new Uint8Array(8)),
      code: 'STRUCT_TRUNCATED',
      at: 112,
    },
    {
      name: 'corrupt--bitmaps-extension-0-bitmaps',
      image: aQcow2().withField('autoclearFeatures', 1).withExtension(0x23852875, new Uint8Array(24)),
      code: 'QCOW2_BITMAPS',
      at: 112,
    },
    { name: 'report--bitmaps-extension-stale', image: aQcow2().withExtension(0x23852875, new Uint8Array(24).fill(0xff)) },
    {
      name: 'corrupt--encryption-header-outside',
      image: aQcow2().withField('cryptMethod', 2).withExtension(0x0537be77, Buffer.from('00000000000500000000000000000001', 'hex')),
      code: 'QCOW2_ENCRYPTION_HEADER',
      at: 112,
    },
    {
      name: 'corrupt--encryption-header-2-to-60',
      image: aQcow2().withExtension(0x0537be77, Buffer.from('10000000000000000000000000000001', 'hex')),
      code: 'NUMBER_TOO_LARGE',
      at: 112,
    },
    {
      name: 'corrupt--backing-name-1024',
      image: aQcow2().withBackingFile(Buffer.alloc(1024, 'x')),
      code: 'QCOW2_BACKING_NAME',
      at: 16,
      field: 'backing_file_size',
    },
    {
      name: 'corrupt--backing-name-length-all-ones',
      image: aQcow2().withBackingFile('x').withField('backingFileSize', 0xffffffff),
      code: 'QCOW2_BACKING_NAME',
      at: 16,
    },
    {
      name: 'corrupt--backing-name-in-header',
      image: aQcow2().withBackingFile('x').withField('backingFileOffset', 8),
      code: 'QCOW2_BACKING_NAME',
      at: 8,
    },
    {
      name: 'corrupt--backing-name-behind-first-cluster',
      image: aQcow2().withBackingFile('x').withField('backingFileOffset', CLUSTER),
      code: 'QCOW2_BACKING_NAME',
      at: 8,
    },
    {
      name: 'corrupt--backing-name-ends-behind-first-cluster',
      image: aQcow2()
        .withBackingFile('xyz')
        .withField('backingFileOffset', CLUSTER - 2),
      code: 'QCOW2_BACKING_NAME',
      at: 8,
    },
    { name: 'report--backing-name-empty', image: aQcow2().withField('backingFileOffset', 200) },
  ];
}

function l1AndL2(): Vector[] {
  const plain = aQcow2();
  const table = plain.length; // where withL2 puts the first L2 table
  const image = (entry: bigint | number): Qcow2Builder => aQcow2().withL2(0, [entry]);
  return [
    { name: 'corrupt--l1-entry-unaligned', image: aQcow2().withL1(0, COPIED + 512n), code: 'QCOW2_L1_ENTRY', at: plain.l1 },
    {
      name: 'corrupt--l1-entry-outside',
      image: aQcow2().withL1(0, COPIED + BigInt(table)),
      code: 'QCOW2_L1_ENTRY',
      at: plain.l1,
      field: 'L2 table offset',
    },
    { name: 'corrupt--l1-entry-56-bits', image: aQcow2().withL1(0, COPIED + 0xfffffffffffe00n), code: 'QCOW2_L1_ENTRY', at: plain.l1 },
    { name: 'report--l1-entry-only-reserved-bits', image: aQcow2().withL1(0, 0x7f000000000001ffn) },
    {
      name: 'corrupt--l1-entry-is-l1',
      image: aQcow2().withL1(0, COPIED + BigInt(plain.l1)),
      code: 'QCOW2_OVERLAP',
      at: plain.l1,
      field: 'L2 table',
    },
    {
      name: 'corrupt--l1-entry-is-refcount-table',
      image: aQcow2().withL1(0, COPIED + BigInt(plain.refcountTable)),
      code: 'QCOW2_OVERLAP',
      at: plain.refcountTable,
    },
    {
      name: 'corrupt--l1-entry-is-refcount-block',
      image: aQcow2().withL1(0, COPIED + BigInt(plain.refcountBlock)),
      code: 'QCOW2_OVERLAP',
      at: plain.refcountBlock,
    },
    {
      name: 'corrupt--l1-entries-at-one-l2',
      image: aQcow2({ l1Size: 8192 })
        .withL2(0, [])
        .withL1(8191, COPIED + BigInt(table)),
      code: 'QCOW2_L2_TABLE_TWICE',
      at: plain.l1 + 8191 * 8,
    },
    {
      name: 'corrupt--l1-is-the-refcount-table',
      image: aQcow2().withField('l1TableOffset', plain.refcountTable),
      code: 'QCOW2_OVERLAP',
      at: plain.refcountTable,
    },
    {
      name: 'corrupt--l2-entry-is-its-own-table',
      image: image(COPIED + BigInt(table)),
      code: 'QCOW2_OVERLAP',
      at: table,
      field: 'guest data',
    },
    { name: 'corrupt--l2-entry-is-l1', image: image(COPIED + BigInt(plain.l1)), code: 'QCOW2_OVERLAP', at: plain.l1 },
    { name: 'corrupt--l2-entry-unaligned', image: image(COPIED + BigInt(table) + 512n), code: 'QCOW2_L2_ENTRY', at: table },
    { name: 'corrupt--l2-entry-shared-unaligned', image: image(BigInt(table) + 512n), code: 'QCOW2_L2_ENTRY', at: table },
    { name: 'corrupt--l2-entry-2-to-53', image: image(COPIED + PAST_53_BITS), code: 'QCOW2_L2_ENTRY', at: table },
    { name: 'corrupt--l2-entry-shared-2-to-55', image: image(1n << 55n), code: 'QCOW2_L2_ENTRY', at: table },
    {
      name: 'corrupt--l2-entries-run-past-the-last-cluster',
      image: aQcow2().withL2(0, [COPIED + (1n << 51n) - BigInt(CLUSTER), COPIED + (1n << 51n)]),
      code: 'QCOW2_L2_ENTRY',
      at: table + 8,
    },
    { name: 'finding--l2-entry-behind-the-end', image: image(COPIED + (1n << 40n)), finding: 'DATA_BEYOND_END' },
    { name: 'report--l2-entry-only-reserved-bits', image: image(0x3f000000000001fen) },
    { name: 'report--l2-entry-copied-nothing', image: image(COPIED) },
    { name: 'corrupt--compressed-outside', image: image(COMPRESSED + BigInt(table + CLUSTER)), code: 'QCOW2_COMPRESSED_OFFSET', at: table },
    { name: 'corrupt--compressed-all-ones', image: image((1n << 64n) - 1n), code: 'QCOW2_COMPRESSED_OFFSET', at: table },
    { name: 'report--compressed-reaches-past-the-end', image: image(COMPRESSED + (0xffn << 54n) + BigInt(table + CLUSTER - 1)) },
    {
      name: 'corrupt--dirty-with-a-cluster-no-refcount-reaches',
      image: aQcow2({ clusterBits: 9, refcountOrder: 6, capacity: 1024 })
        .withL2(0, [COPIED + (1n << 35n)])
        .withField('incompatibleFeatures', 1),
      code: 'QCOW2_L2_ENTRY',
    },
    {
      name: 'finding--dirty-with-the-last-cluster-that-refcounts-reach',
      image: aQcow2({ clusterBits: 9, refcountOrder: 6, capacity: 1024 })
        .withL2(0, [COPIED + (1n << 35n) - 512n])
        .withField('incompatibleFeatures', 1),
      finding: 'LAZY_REFCOUNTS_DIRTY',
    },
  ];
}

function refcounts(): Vector[] {
  const { refcountTable, refcountBlock, length, l1 } = aQcow2();
  return [
    {
      name: 'corrupt--refcount-block-unaligned',
      image: aQcow2().withU64(refcountTable, refcountBlock + 512),
      code: 'QCOW2_REFCOUNT_BLOCK',
      at: refcountTable,
    },
    {
      name: 'corrupt--refcount-block-outside',
      image: aQcow2().withU64(refcountTable + 8, length),
      code: 'QCOW2_REFCOUNT_BLOCK',
      at: refcountTable + 8,
    },
    {
      name: 'corrupt--refcount-block-all-ones',
      image: aQcow2().withU64(refcountTable + 8, (1n << 64n) - 1n),
      code: 'QCOW2_REFCOUNT_BLOCK',
      at: refcountTable + 8,
    },
    {
      name: 'corrupt--refcount-blocks-at-one-place',
      image: aQcow2().withU64(refcountTable + 8, refcountBlock),
      code: 'QCOW2_REFCOUNT_BLOCK_TWICE',
      at: refcountTable + 8,
    },
    { name: 'corrupt--refcount-block-is-l1', image: aQcow2().withU64(refcountTable + 8, l1), code: 'QCOW2_OVERLAP', at: l1 },
    {
      name: 'corrupt--refcount-block-is-its-table',
      image: aQcow2().withU64(refcountTable + 8, refcountTable),
      code: 'QCOW2_OVERLAP',
      at: refcountTable,
    },
    { name: 'finding--refcount-table-only-reserved-bits', image: aQcow2().withU64(refcountTable, 0x1ff), finding: 'REFCOUNT_MISSING' },
    { name: 'finding--refcount-table-empty', image: aQcow2().withU64(refcountTable, 0), finding: 'REFCOUNT_MISSING' },
    { name: 'unsupported--refcount-block-for-clusters-past-2-to-53', image: withFarBlock(), code: 'QCOW2_REFCOUNT_BLOCK_FAR' },
    {
      name: 'finding--refcounts-all-ones',
      image: aQcow2().withBytes(refcountBlock, new Uint8Array(CLUSTER).fill(0xff)),
      finding: 'LEAKED_CLUSTERS',
    },
  ];
}

/** 2 MiB clusters with 1-bit refcounts: from table entry 256 on the clusters described lie past 2^53. */
function withFarBlock(): Qcow2Builder {
  const image = aQcow2({ clusterBits: 21, refcountOrder: 0 });
  return image.withU64(image.refcountTable + 256 * 8, image.allocate());
}

function snapshots(): Vector[] {
  const { length, l1 } = aQcow2();
  const at = length; // of the snapshot table
  return [
    {
      name: 'corrupt--snapshot-l1-size-all-ones',
      image: aQcow2().withSnapshots([{ l1TableOffset: l1, l1Size: 0xffffffff }]),
      code: 'QCOW2_SNAPSHOT_TABLE',
      at: at + 8,
    },
    {
      name: 'corrupt--snapshot-l1-outside',
      image: aQcow2().withSnapshots([{ l1TableOffset: at + CLUSTER, l1Size: 1 }]),
      code: 'QCOW2_SNAPSHOT_TABLE',
      at,
    },
    {
      name: 'corrupt--snapshot-l1-unaligned',
      image: aQcow2().withSnapshots([{ l1TableOffset: l1 + 8, l1Size: 1 }]),
      code: 'QCOW2_SNAPSHOT_TABLE',
      at,
    },
    {
      name: 'corrupt--snapshot-l1-2-to-53',
      image: aQcow2().withSnapshots([{}, { l1TableOffset: PAST_53_BITS }]),
      code: 'NUMBER_TOO_LARGE',
      at: at + 72,
    },
    {
      name: 'corrupt--snapshot-l1-is-the-active-one',
      image: aQcow2().withSnapshots([{ l1TableOffset: l1, l1Size: 1 }]),
      code: 'QCOW2_OVERLAP',
      at: l1,
      field: "snapshot's L1 table",
    },
    {
      name: 'corrupt--snapshot-l1-is-the-snapshot-table',
      image: aQcow2().withSnapshots([{ l1TableOffset: at, l1Size: 1 }]),
      code: 'QCOW2_OVERLAP',
      at,
      field: 'L2 table',
    },
    {
      name: 'corrupt--snapshot-extra-data-1025',
      image: aQcow2().withSnapshots([{ extraDataSize: 1025 }]),
      code: 'QCOW2_SNAPSHOT_TABLE',
      at: at + 36,
    },
    {
      name: 'corrupt--snapshot-extra-data-all-ones',
      image: aQcow2().withSnapshots([{ extraDataSize: 0xffffffff }]),
      code: 'QCOW2_SNAPSHOT_TABLE',
      at: at + 36,
    },
    {
      name: 'corrupt--snapshot-names-past-the-end',
      image: aQcow2({ clusterBits: 9 })
        .withSnapshots([{}])
        .withBytes(2048 + 12, Uint8Array.of(0xff, 0xff, 0xff, 0xff)),
      code: 'QCOW2_SNAPSHOT_TABLE',
      at: 2048,
    },
    {
      name: 'corrupt--snapshot-table-ends-inside-an-entry',
      image: aQcow2({ clusterBits: 9 })
        .withSnapshots([{ id: Buffer.alloc(440, 'i') }])
        .withField('nbSnapshots', 2)
        .withLength(2560 + 39),
      code: 'STRUCT_TRUNCATED',
      at: 2560,
    },
    {
      name: 'finding--snapshot-name-control-bytes',
      image: aQcow2().withSnapshots([{ name: '\u001b[2J\nroot@host:~# ', id: '\0' }]),
      finding: 'INTERNAL_SNAPSHOTS',
    },
    {
      name: 'finding--snapshot-vm-state-all-ones',
      image: aQcow2()
        .withSnapshots([{}])
        .withBytes(at + 40, new Uint8Array(8).fill(0xff)),
      finding: 'VM_STATE',
    },
  ];
}

function bitmaps(): Vector[] {
  const { length, l1 } = aQcow2();
  const at = length; // of the directory
  return [
    {
      name: 'corrupt--bitmap-table-outside',
      image: aQcow2().withBitmaps([{ tableOffset: at + CLUSTER, tableSize: 1 }]),
      code: 'QCOW2_BITMAP',
      at,
    },
    {
      name: 'corrupt--bitmap-table-unaligned',
      image: aQcow2().withBitmaps([{ tableOffset: l1 + 8, tableSize: 1 }]),
      code: 'QCOW2_BITMAP',
      at,
    },
    {
      name: 'corrupt--bitmap-table-2-to-27-entries',
      image: aQcow2().withBitmaps([{ tableOffset: l1, tableSize: 2 ** 27 }]),
      code: 'QCOW2_BITMAP',
      at: at + 8,
      field: 'bitmap_table_size',
    },
    {
      name: 'over-budget--bitmap-table-2-to-20-entries',
      image: aQcow2({ clusterBits: 9, capacity: 65_536 }).withBitmaps([{ tableOffset: 0, tableSize: 2 ** 20 }]),
      code: 'QCOW2_BITMAP_SIZE',
    },
    {
      name: 'corrupt--bitmap-table-is-l1',
      image: aQcow2().withBitmaps([{ tableOffset: l1, tableSize: 1 }]),
      code: 'QCOW2_OVERLAP',
      at: l1,
    },
    {
      name: 'corrupt--bitmap-table-entry-unaligned',
      image: aQcow2()
        .withBitmaps([{ tableOffset: at + CLUSTER, tableSize: 1 }])
        .withU64(at + CLUSTER, 4096)
        .withLength(at + 2 * CLUSTER),
      code: 'QCOW2_BITMAP',
      at: at + CLUSTER,
    },
    {
      name: 'corrupt--bitmap-table-entry-all-ones',
      image: aQcow2()
        .withBitmaps([{ tableOffset: at + CLUSTER, tableSize: 2 }])
        .withU64(at + CLUSTER + 8, (1n << 64n) - 1n)
        .withLength(at + 2 * CLUSTER),
      code: 'NUMBER_TOO_LARGE',
      at: at + CLUSTER + 8,
    },
    {
      name: 'corrupt--bitmap-name-past-the-directory',
      image: aQcow2()
        .withBitmaps([{}])
        .withBytes(at + 18, Uint8Array.of(3, 255)),
      code: 'QCOW2_BITMAP',
      at,
    },
    {
      name: 'corrupt--bitmap-name-1024',
      image: aQcow2().withBitmaps([{ name: Buffer.alloc(1024, 'x') }]),
      code: 'QCOW2_BITMAP',
      at: at + 18,
      field: 'name_size',
    },
    {
      name: 'corrupt--bitmap-directory-too-short',
      image: aQcow2()
        .withBitmaps([{}])
        .withBytes(112, Uint8Array.of(0, 0, 0, 2)),
      code: 'STRUCT_TRUNCATED',
      at: at + 32,
    },
    {
      name: 'corrupt--bitmap-directory-outside',
      image: aQcow2()
        .withBitmaps([{}])
        .withU64(128, at + CLUSTER),
      code: 'QCOW2_BITMAPS',
      at: 128,
    },
    { name: 'finding--bitmap-name-control-bytes', image: aQcow2().withBitmaps([{ name: '\u001b]0;owned\u0007' }]), finding: 'BITMAPS' },
  ];
}

/** A valid image cut at each border of its tables, and one byte before. */
function truncations(): Vector[] {
  const whole = (): Qcow2Builder => aQcow2({ clusterBits: 12 }).withL2(0, []);
  const cluster = 4096;
  const cut = (byteLength: number, kind: string, code: string, at: number): Vector => ({
    name: `${kind}--truncated-at-${byteLength}`,
    image: whole().withLength(byteLength),
    code,
    at,
  });
  return [
    cut(4, 'corrupt', 'STRUCT_TRUNCATED', 0),
    cut(71, 'corrupt', 'STRUCT_TRUNCATED', 0),
    cut(72, 'corrupt', 'STRUCT_TRUNCATED', 72),
    cut(103, 'corrupt', 'STRUCT_TRUNCATED', 72),
    cut(104, 'corrupt', 'QCOW2_L1_OFFSET', 40),
    cut(cluster, 'corrupt', 'QCOW2_L1_OFFSET', 40),
    cut(3 * cluster, 'corrupt', 'QCOW2_L1_OFFSET', 40),
    cut(3 * cluster + 7, 'corrupt', 'QCOW2_L1_OFFSET', 40),
    cut(3 * cluster + 8, 'corrupt', 'QCOW2_L1_ENTRY', 3 * cluster),
    cut(5 * cluster - 1, 'corrupt', 'QCOW2_L1_ENTRY', 3 * cluster),
  ];
}

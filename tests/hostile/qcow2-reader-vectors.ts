/**
 * qcow2 images made to hurt the one who reads the guest's bytes, named `<expected kind>--<what>`; `read` vectors are read, all
 * others end in exactly this error.
 */
import { deflateRawSync } from 'node:zlib';
import { aQcow2, COMPRESSED, COPIED, type Qcow2Builder } from '../support/qcow2-builder.ts';
import { zstdFrame } from '../support/zstd-frames.ts';

export interface ReaderVector {
  readonly name: string;
  readonly image: Qcow2Builder;
  readonly code?: string;
  /** Byte position that the error names. */
  readonly at?: number;
  /** For `read` vectors: what every byte is. */
  readonly byte?: number;
  readonly snapshot?: string;
  /** A data file of zeros is handed in, as long as the capacity. */
  readonly dataFile?: boolean;
  /** What fails: reading all bytes (if left out), asking for the extents, or opening. */
  readonly failing?: 'extents' | 'open';
}

const KiB = 1024;
const MiB = 1024 * KiB;
const CLUSTER = 64 * KiB;
/** Where the entry `index` of the L2 table lies that `withEntry` makes. */
const entryAt = (index: number): number => 5 * CLUSTER + index * 8;

/** An image of one L2 table behind a data cluster, with `entry` for its first guest cluster. */
function withEntry(entry: (data: bigint) => bigint, image = aQcow2({ capacity: CLUSTER })): Qcow2Builder {
  const data = BigInt(image.allocate());
  return image.withL2(0, [entry(data)]);
}

/** The first guest cluster compressed to `data`, of which the descriptor covers as many sectors as it takes. */
function withCompressed(data: Uint8Array, { zstd = false, clusterBits = 16, count = 1 } = {}): Qcow2Builder {
  const image = aQcow2({ clusterBits, capacity: count * 2 ** clusterBits });
  if (zstd) image.withField('incompatibleFeatures', 8).withField('headerLength', 112).withBytes(104, Uint8Array.of(1));
  const at = image.allocate(Math.max(1, Math.ceil(data.byteLength / image.clusterSize)));
  image.withBytes(at, data);
  const sectors = BigInt(Math.max(0, Math.ceil(data.byteLength / 512) - 1));
  const entry = COMPRESSED + (sectors << BigInt(62 - (clusterBits - 8))) + BigInt(at);
  return image.withL2(0, Array.from<bigint>({ length: count }).fill(entry));
}

/** Extended L2: one entry with this bitmap. */
function withBitmap(zeros: number, allocated: number, hasCluster: boolean): Qcow2Builder {
  const image = aQcow2({ capacity: CLUSTER, extendedL2: true });
  const data = hasCluster ? COPIED + BigInt(image.allocate()) : 0n;
  if (!hasCluster) image.allocate();
  return image.withL2(0, [data, (BigInt(zeros) << 32n) + BigInt(allocated)]);
}

const withDataFile = (entry: bigint, index: number): Qcow2Builder =>
  aQcow2({ capacity: 2 * CLUSTER })
    .withDataFile('data.bin')
    .withL2(
      0,
      Array.from({ length: index + 1 }, (_, one) => (one === index ? entry : 0n)),
    );

const zeroBlock = (bytes: number): Uint8Array => deflateRawSync(new Uint8Array(bytes));

export const READER_VECTORS: readonly ReaderVector[] = [
  ...entries(),
  ...subclusters(),
  ...references(),
  ...deflate(),
  ...zstandard(),
  ...tables(),
];

function entries(): ReaderVector[] {
  const code = 'QCOW2_L2_ENTRY';
  return [
    { name: 'corrupt--data-unaligned', image: withEntry((data) => COPIED + data + 512n), code, at: entryAt(0) },
    { name: 'corrupt--data-2-to-53', image: withEntry(() => COPIED + (1n << 53n)), code, at: entryAt(0) },
    { name: 'corrupt--zeros-unaligned', image: withEntry((data) => COPIED + data + 513n), code, at: entryAt(0) },
    { name: 'corrupt--zeros-in-version-2', image: withEntry(() => 1n, aQcow2({ capacity: CLUSTER, version: 2 })), code, at: entryAt(0) },
    { name: 'read--data-behind-file', image: withEntry(() => COPIED + (1n << 52n)), byte: 0 },
    {
      name: 'read--data-is-header',
      image: withEntry((data) => data + 0x3f00_0000_0000_01fen).withBytes(4 * CLUSTER, new Uint8Array(CLUSTER).fill(9)),
      byte: 9,
    },
  ];
}

function subclusters(): ReaderVector[] {
  const code = 'QCOW2_L2_ENTRY';
  return [
    { name: 'corrupt--subcluster-allocated-and-zeros', image: withBitmap(1, 1, true), code, at: entryAt(1) },
    { name: 'corrupt--subcluster-allocated-and-zeros-last', image: withBitmap(0x80000000, 0xffffffff, true), code, at: entryAt(1) },
    { name: 'corrupt--subcluster-allocated-without-cluster', image: withBitmap(0, 0x80000000, false), code, at: entryAt(1) },
    { name: 'read--subcluster-zeros-without-cluster', image: withBitmap(0xffffffff, 0, false), byte: 0 },
  ];
}

function references(): ReaderVector[] {
  const code = 'QCOW2_L2_ENTRY';
  return [
    { name: 'unsupported--encrypted-aes', image: aQcow2().withField('cryptMethod', 1), code: 'QCOW2_ENCRYPTED', at: 32, failing: 'open' },
    { name: 'unsupported--encrypted-luks', image: aQcow2().withField('cryptMethod', 2), code: 'QCOW2_ENCRYPTED', at: 32, failing: 'open' },
    { name: 'refused--backing-missing', image: aQcow2().withBackingFile('/etc/shadow'), code: 'QCOW2_BACKING_MISSING' },
    { name: 'refused--data-file-missing', image: aQcow2().withDataFile('/etc/shadow'), code: 'QCOW2_DATA_FILE_MISSING', failing: 'open' },
    { name: 'corrupt--data-file-elsewhere', image: withDataFile(COPIED, 1), code, dataFile: true },
    { name: 'corrupt--data-file-next-cluster', image: withDataFile(COPIED + BigInt(CLUSTER), 0), code, dataFile: true },
    { name: 'corrupt--data-file-compressed', image: withDataFile(COMPRESSED + BigInt(CLUSTER), 1), code, dataFile: true },
    { name: 'read--data-file', image: withDataFile(COPIED + BigInt(CLUSTER), 1), byte: 0, dataFile: true },
  ];
}

function deflate(): ReaderVector[] {
  const noise = Uint8Array.from({ length: 600 }, (_, index) => (index * 197 + 255) % 256);
  return [
    {
      name: 'corrupt--compressed-behind-file',
      image: withEntry(() => COMPRESSED + (1n << 40n)),
      code: 'QCOW2_COMPRESSED_OFFSET',
      at: 2 ** 40,
    },
    { name: 'corrupt--compressed-noise', image: withCompressed(noise), code: 'DEFLATE', at: 4 * CLUSTER },
    { name: 'corrupt--compressed-nothing', image: withEntry((data) => COMPRESSED + data).withLength(7 * CLUSTER), code: 'DEFLATE' },
    { name: 'corrupt--compressed-short', image: withCompressed(zeroBlock(CLUSTER - 1)), code: 'QCOW2_COMPRESSED_LENGTH', at: 4 * CLUSTER },
    { name: 'corrupt--compressed-long', image: withCompressed(zeroBlock(CLUSTER + 1)), code: 'DEFLATE_TOO_LONG', at: 4 * CLUSTER },
    { name: 'corrupt--compressed-bomb', image: withCompressed(zeroBlock(100 * MiB)), code: 'DEFLATE_TOO_LONG', at: 4 * CLUSTER },
    { name: 'read--compressed-one-for-all', image: withCompressed(zeroBlock(512), { clusterBits: 9, count: 64 }), byte: 0 },
    { name: 'read--compressed-largest', image: withCompressed(zeroBlock(2 * MiB), { clusterBits: 21, count: 8 }), byte: 0 },
  ];
}

function zstandard(): ReaderVector[] {
  const compressed = (data: Uint8Array): Qcow2Builder => withCompressed(data, { zstd: true });
  const rle = (byte: number, blocks: number): (readonly [type: 'rle', bytes: number, byte: number])[] =>
    Array.from({ length: blocks }, () => ['rle', 128 * KiB, byte] as const);
  const half = [['rle', CLUSTER / 2, 7]] as const;
  const whole = [...half, ...half];
  return [
    { name: 'read--zstd-two-blocks', image: compressed(zstdFrame(whole, { contentBytes: CLUSTER })), byte: 7 },
    { name: 'read--zstd-size-unknown', image: compressed(zstdFrame(whole, { windowDescriptor: 0x38 })), byte: 7 },
    { name: 'corrupt--zstd-short', image: compressed(zstdFrame(half, { windowDescriptor: 0x38 })), code: 'QCOW2_COMPRESSED_LENGTH' },
    { name: 'corrupt--zstd-nothing', image: compressed(new Uint8Array(512)), code: 'ZSTD' },
    {
      name: 'corrupt--zstd-cut',
      image: compressed(zstdFrame(whole, { contentBytes: CLUSTER }).subarray(0, 15)).withLength(4 * CLUSTER + 15 + 2 * CLUSTER),
      code: 'ZSTD',
    },
    { name: 'corrupt--zstd-says-less', image: compressed(zstdFrame(whole, { contentBytes: CLUSTER - 1 })), code: 'ZSTD' },
    { name: 'corrupt--zstd-says-more', image: compressed(zstdFrame(whole, { contentBytes: CLUSTER + 1 })), code: 'ZSTD_TOO_LONG' },
    { name: 'corrupt--zstd-says-2-to-64', image: compressed(zstdFrame(whole, { contentBytes: 2 ** 64 - 2048 })), code: 'ZSTD_TOO_LONG' },
    { name: 'corrupt--zstd-bomb', image: compressed(zstdFrame(rle(0, 8000), { windowDescriptor: 0x38 })), code: 'ZSTD' },
    { name: 'corrupt--zstd-window-3-75-tib', image: compressed(zstdFrame(whole, { windowDescriptor: 0xff })), code: 'ZSTD_WINDOW' },
    { name: 'corrupt--zstd-dictionary', image: compressed(zstdFrame(whole, { windowDescriptor: 0x38, dictionary: 5 })), code: 'ZSTD' },
    { name: 'corrupt--zstd-reserved-block', image: compressed(zstdFrame([['reserved', 3, 0]], { windowDescriptor: 0x38 })), code: 'ZSTD' },
    {
      name: 'corrupt--zstd-block-noise',
      image: compressed(zstdFrame([['compressed', 400, 0xa5]], { windowDescriptor: 0x38 })),
      code: 'ZSTD',
    },
  ];
}

function tables(): ReaderVector[] {
  const inside = aQcow2({ clusterBits: 9, capacity: MiB });
  const table = BigInt(inside.allocate());
  const l1 = (entry: bigint): Qcow2Builder => aQcow2({ capacity: CLUSTER }).withL1(0, entry);
  const withDiskSize = (image: Qcow2Builder, name: string, bytes: bigint, l1Size = 0): Qcow2Builder => {
    const l1TableOffset = image.allocate();
    const tableAt = image.length;
    image.withU64(l1TableOffset, 1n << 50n).withSnapshots([{ name, l1TableOffset, l1Size }]);
    return image.withU64(tableAt + 40 + 8, bytes);
  };
  const snapshot = withDiskSize(aQcow2({ capacity: CLUSTER }), 'bad', BigInt(CLUSTER), 1);
  const huge = withDiskSize(aQcow2({ capacity: CLUSTER }), 'huge', (1n << 63n) - 512n);
  const empty = withDiskSize(aQcow2({ capacity: CLUSTER }), 'empty', BigInt(CLUSTER));
  return [
    { name: 'corrupt--l1-outside', image: l1(COPIED + (1n << 40n)), code: 'QCOW2_L1_ENTRY', at: 3 * CLUSTER },
    { name: 'corrupt--l1-last-cluster-cut', image: l1(COPIED + BigInt(4 * CLUSTER)).withLength(5 * CLUSTER - 1), code: 'QCOW2_L1_ENTRY' },
    { name: 'corrupt--l1-unaligned', image: l1(COPIED + BigInt(3 * CLUSTER + 512)), code: 'QCOW2_L1_ENTRY', at: 3 * CLUSTER },
    { name: 'corrupt--l1-all-ones', image: l1((1n << 64n) - 1n), code: 'QCOW2_L1_ENTRY', at: 3 * CLUSTER },
    { name: 'corrupt--l2-table-twice', image: inside.withL1(0, table).withL1(31, table), code: 'QCOW2_L2_TABLE_TWICE', failing: 'extents' },
    { name: 'corrupt--snapshot-l1-outside', image: snapshot, snapshot: 'bad', code: 'QCOW2_L1_ENTRY', at: 4 * CLUSTER },
    { name: 'corrupt--snapshot-disk-size-2-to-63', image: huge, snapshot: 'huge', code: 'QCOW2_SNAPSHOT_TABLE', failing: 'open' },
    { name: 'not-found--snapshot', image: aQcow2(), snapshot: 'none', code: 'QCOW2_SNAPSHOT_UNKNOWN', failing: 'open' },
    {
      name: 'read--l1-shorter-than-snapshot',
      image: empty,
      snapshot: 'empty',
      byte: 0,
    },
  ];
}

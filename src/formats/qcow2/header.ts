/** The qcow2 header: fixed part, version 3 tail, header extensions, names; checked. Source: qcow2 spec, "Header". */
import { divideUp, type ErrorValue, PlimsollError, type RecordOf } from '#base';
import { type ReadableDevice, readUpTo } from '#block';
import { decodeName, type HeaderExtensions, parseExtensions } from './extension.ts';
import {
  AUTOCLEAR_BITMAPS,
  AUTOCLEAR_DATA_FILE_RAW,
  COMPATIBLE_LAZY_REFCOUNTS,
  HEADER_V2,
  HEADER_V3_LENGTH,
  HEADER_V3_TAIL,
  INCOMPATIBLE,
  KNOWN_INCOMPATIBLE,
  LIMITS,
  MAGIC,
} from './layout.ts';

const DOING = 'read qcow2 header';

export type Encryption = 'none' | 'aes' | 'luks';

/** A checked header. Offsets and lengths in bytes; every table lies inside the file of `fileLength` bytes. */
export interface Header extends HeaderExtensions {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly clusterSize: number;
  readonly capacity: number;
  readonly encryption: Encryption;
  readonly l1Size: number;
  readonly l1TableOffset: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  readonly refcountOrder: number;
  readonly nbSnapshots: number;
  readonly snapshotsOffset: number;
  readonly backingFile: string | undefined;
  /** The same name as the kernel takes it. */
  readonly backingFileBytes: Uint8Array | undefined;
  readonly dirty: boolean;
  readonly corrupt: boolean;
  readonly externalDataFile: boolean;
  readonly dataFileRaw: boolean;
  readonly extendedL2: boolean;
  readonly lazyRefcounts: boolean;
  readonly compressionType: 'zlib' | 'zstd';
  /** The bitmaps extension is there and autoclear bit 0 vouches for it. */
  readonly bitmapsValid: boolean;
  /** Entries of one L2 table. */
  readonly l2Entries: number;
  /** Clusters that one refcount block covers. */
  readonly refcountBlockEntries: number;
  /** Host clusters end here: the largest refcount table describes no more, and their offsets stay below 2^53. */
  readonly hostClusterLimit: number;
}

/** Whether these first bytes of a file carry the qcow2 magic. */
export function hasMagic(prefix: Uint8Array): boolean {
  return prefix.byteLength >= 4 && new DataView(prefix.buffer, prefix.byteOffset).getUint32(0) === MAGIC;
}

/** Most headers end before this. */
const FIRST_READ_BYTES = 4096;

/** The checked header of `device`. Throws: corrupt, unsupported, io. */
export async function readHeader(device: ReadableDevice): Promise<Header> {
  const prefix = await readUpTo(device, 0, FIRST_READ_BYTES);
  const first = parseHeader(prefix, device.byteLength);
  if (!('needs' in first)) return first;
  const whole = parseHeader(await readUpTo(device, 0, first.needs), device.byteLength);
  if ('needs' in whole)
    throw new PlimsollError('corrupt', 'QCOW2_HEADER_END', {
      doing: 'read qcow2 header',
      found: 'extensions without an end',
      expected: 'an end inside the first cluster',
    });
  return whole;
}

/**
 * The checked header in `prefix`, or how many bytes are needed to read it whole.
 *
 * `prefix` is the start of the file: at least 4096 bytes or the whole file; when extensions or the backing name reach
 * past it, `{needs}` asks for more, never more than one cluster.
 * Throws: corrupt (a field out of its range, a table outside the file), unsupported (version, feature bits).
 */
export function parseHeader(prefix: Uint8Array, fileLength: number): Header | { needs: number } {
  // First of all: in a file of another kind, every other field is noise.
  if (!hasMagic(prefix))
    throw wrong('corrupt', 'QCOW2_MAGIC', 'magic', 0, `0x${Buffer.from(prefix.subarray(0, 4)).toString('hex')}`, '0x514649fb');
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const fixed = HEADER_V2.read(view);
  const { version } = fixed;
  if (version !== 2 && version !== 3) throw wrong('unsupported', 'QCOW2_VERSION', 'version', 4, version, '2 or 3');
  const { clusterBits } = fixed;
  inRange('QCOW2_CLUSTER_BITS', 'cluster_bits', 20, clusterBits, LIMITS.minClusterBits, LIMITS.maxClusterBits);
  const clusterSize = 2 ** clusterBits;
  const tail = version === 3 ? parseVersion3(view, clusterSize) : VERSION_2_TAIL;
  const extendedL2 = (tail.incompatibleFeatures & INCOMPATIBLE.extendedL2) !== 0n;
  if (extendedL2) inRange('QCOW2_CLUSTER_BITS', 'cluster_bits', 20, clusterBits, LIMITS.minExtendedL2ClusterBits, LIMITS.maxClusterBits);
  const l2Entries = clusterSize / (extendedL2 ? 16 : 8);
  checkTables(fixed, clusterSize, l2Entries, fileLength);
  const encryption = (['none', 'aes', 'luks'] as const)[fixed.cryptMethod];
  if (encryption === undefined) throw wrong('unsupported', 'QCOW2_CRYPT_METHOD', 'crypt_method', 32, fixed.cryptMethod, '0, 1 or 2');

  const extensionsEnd = fixed.backingFileOffset === 0 ? clusterSize : fixed.backingFileOffset;
  checkBackingName(fixed, clusterSize, fileLength);
  const bitmapsVouched = (tail.autoclearFeatures & AUTOCLEAR_BITMAPS) !== 0n;
  const extensions = parseExtensions(prefix, tail.headerLength, extensionsEnd, { fileLength, clusterSize, bitmapsVouched });
  const hasBackingFile = fixed.backingFileOffset !== 0 && fixed.backingFileSize !== 0;
  const nameEnd = hasBackingFile ? fixed.backingFileOffset + fixed.backingFileSize : 0;
  const needs = Math.max(extensions.needs ?? 0, nameEnd);
  if (needs > prefix.byteLength) return { needs: Math.min(clusterSize, fileLength) };

  const backingFileBytes = hasBackingFile ? new Uint8Array(prefix.subarray(fixed.backingFileOffset, nameEnd)) : undefined;
  const refcountBlockEntries = (clusterSize * 8) / 2 ** tail.refcountOrder;
  const { backingFormat, dataFileName, dataFileNameBytes, bitmaps, encryptionHeader } = extensions.value;
  // Field by field: spreading one record into another takes V8 twenty times as long, which shows in a store of thousands.
  return {
    backingFormat,
    dataFileName,
    dataFileNameBytes,
    bitmaps,
    encryptionHeader,
    version,
    clusterBits,
    clusterSize,
    capacity: fixed.size,
    encryption,
    l1Size: fixed.l1Size,
    l1TableOffset: fixed.l1TableOffset,
    refcountTableOffset: fixed.refcountTableOffset,
    refcountTableClusters: fixed.refcountTableClusters,
    refcountOrder: tail.refcountOrder,
    nbSnapshots: fixed.nbSnapshots,
    snapshotsOffset: fixed.snapshotsOffset,
    backingFile: backingFileBytes === undefined ? undefined : decodeName(backingFileBytes),
    backingFileBytes,
    dirty: (tail.incompatibleFeatures & INCOMPATIBLE.dirty) !== 0n,
    corrupt: (tail.incompatibleFeatures & INCOMPATIBLE.corrupt) !== 0n,
    externalDataFile: (tail.incompatibleFeatures & INCOMPATIBLE.externalDataFile) !== 0n,
    dataFileRaw: (tail.autoclearFeatures & AUTOCLEAR_DATA_FILE_RAW) !== 0n,
    extendedL2,
    lazyRefcounts: (tail.compatibleFeatures & COMPATIBLE_LAZY_REFCOUNTS) !== 0n,
    compressionType: tail.compressionType === 1 ? 'zstd' : 'zlib',
    bitmapsValid: bitmaps !== undefined,
    l2Entries,
    refcountBlockEntries,
    hostClusterLimit: Math.min(Math.floor(2 ** 53 / clusterSize), (LIMITS.refcountTableBytes / 8) * refcountBlockEntries),
  };
}

type RawHeader = RecordOf<(typeof HEADER_V2)['fields']>;

interface Tail {
  readonly incompatibleFeatures: bigint;
  readonly compatibleFeatures: bigint;
  readonly autoclearFeatures: bigint;
  readonly refcountOrder: number;
  readonly headerLength: number;
  readonly compressionType: number;
}

/** What version 2 leaves out: refcounts of 16 bits, no features. */
const VERSION_2_TAIL: Tail = {
  incompatibleFeatures: 0n,
  compatibleFeatures: 0n,
  autoclearFeatures: 0n,
  refcountOrder: 4,
  headerLength: HEADER_V2.byteLength,
  compressionType: 0,
};

function parseVersion3(view: DataView, clusterSize: number): Tail {
  const tail = HEADER_V3_TAIL.read(view, HEADER_V2.byteLength);
  const unknown = tail.incompatibleFeatures & ~KNOWN_INCOMPATIBLE;
  if (unknown !== 0n) {
    throw wrong(
      'unsupported',
      'QCOW2_FEATURES',
      'incompatible_features',
      72,
      `0x${tail.incompatibleFeatures.toString(16)}`,
      'bits 0 to 4 only',
    );
  }
  inRange('QCOW2_REFCOUNT_ORDER', 'refcount_order', 96, tail.refcountOrder, 0, 6);
  inRange('QCOW2_HEADER_LENGTH', 'header_length', 100, tail.headerLength, HEADER_V3_LENGTH, clusterSize);
  if (tail.headerLength % 8 !== 0) {
    throw wrong('corrupt', 'QCOW2_HEADER_LENGTH', 'header_length', 100, tail.headerLength, 'a multiple of 8');
  }
  const compressionType = tail.headerLength > HEADER_V3_LENGTH && view.byteLength > HEADER_V3_LENGTH ? view.getUint8(HEADER_V3_LENGTH) : 0;
  const flagged = (tail.incompatibleFeatures & INCOMPATIBLE.compressionType) !== 0n;
  if (flagged ? compressionType !== 1 : compressionType !== 0) {
    throw wrong(
      'corrupt',
      'QCOW2_COMPRESSION_TYPE',
      'compression_type',
      104,
      compressionType,
      flagged ? '1 (zstd)' : '0 (zlib), as feature bit 3 says',
    );
  }
  return { ...tail, compressionType };
}

function checkTables(fixed: RawHeader, clusterSize: number, l2Entries: number, fileLength: number): void {
  const l1Bytes = fixed.l1Size * 8;
  if (l1Bytes > LIMITS.l1TableBytes) {
    throw wrong('corrupt', 'QCOW2_L1_SIZE', 'l1_size', 36, fixed.l1Size, `at most ${LIMITS.l1TableBytes / 8}`);
  }
  const needed = divideUp(divideUp(fixed.size, clusterSize), l2Entries);
  if (fixed.l1Size < needed) throw wrong('corrupt', 'QCOW2_L1_SIZE', 'l1_size', 36, fixed.l1Size, `at least ${needed} for this capacity`);
  if (l1Bytes > 0) insideFile('QCOW2_L1_OFFSET', 'l1_table_offset', 40, fixed.l1TableOffset, l1Bytes, clusterSize, fileLength);

  const tableBytes = fixed.refcountTableClusters * clusterSize;
  if (fixed.refcountTableClusters === 0 || tableBytes > LIMITS.refcountTableBytes) {
    throw wrong(
      'corrupt',
      'QCOW2_REFCOUNT_TABLE',
      'refcount_table_clusters',
      56,
      fixed.refcountTableClusters,
      `1 to ${LIMITS.refcountTableBytes / clusterSize}`,
    );
  }
  insideFile('QCOW2_REFCOUNT_TABLE', 'refcount_table_offset', 48, fixed.refcountTableOffset, tableBytes, clusterSize, fileLength);

  inRange('QCOW2_SNAPSHOTS', 'nb_snapshots', 60, fixed.nbSnapshots, 0, LIMITS.snapshots);
  if (fixed.nbSnapshots > 0) {
    insideFile('QCOW2_SNAPSHOTS', 'snapshots_offset', 64, fixed.snapshotsOffset, fixed.nbSnapshots * 40, clusterSize, fileLength);
  }
}

function checkBackingName(fixed: RawHeader, clusterSize: number, fileLength: number): void {
  if (fixed.backingFileOffset === 0) return;
  inRange('QCOW2_BACKING_NAME', 'backing_file_size', 16, fixed.backingFileSize, 0, LIMITS.backingNameBytes);
  const end = fixed.backingFileOffset + fixed.backingFileSize;
  if (fixed.backingFileOffset < HEADER_V2.byteLength || end > Math.min(clusterSize, fileLength)) {
    throw wrong(
      'corrupt',
      'QCOW2_BACKING_NAME',
      'backing_file_offset',
      8,
      fixed.backingFileOffset,
      'the name inside the first cluster, behind the header',
    );
  }
}

/** Refuses an offset that is not cluster-aligned, is 0, or whose table would reach past the file. */
function insideFile(
  code: string,
  field: string,
  at: number,
  offset: number,
  byteLength: number,
  clusterSize: number,
  fileLength: number,
): void {
  if (offset === 0 || offset % clusterSize !== 0)
    throw wrong('corrupt', code, field, at, offset, `a multiple of the cluster size ${clusterSize}, not 0`);
  if (offset + byteLength > fileLength) {
    throw wrong('corrupt', code, field, at, `0x${offset.toString(16)} + ${byteLength} bytes`, `inside the file of ${fileLength} bytes`);
  }
}

function inRange(code: string, field: string, at: number, found: number, least: number, most: number): void {
  if (found < least || found > most) throw wrong('corrupt', code, field, at, found, `${least} to ${most}`);
}

function wrong(
  kind: 'corrupt' | 'unsupported',
  code: string,
  field: string,
  at: number,
  found: ErrorValue,
  expected: string,
): PlimsollError {
  return new PlimsollError(kind, code, { doing: DOING, field, at, found, expected });
}

/** The QED header, checked as QEMU 7.2 does when it opens an image (bdrv_qed_do_open). */
import { divideUp, type ErrorValue, isPowerOfTwo, PlimsollError, roundDown } from '#base';
import { type ReadableDevice, readExactly, readUpTo } from '#block';
import { ENTRY_BYTES, FEATURE, HEADER, KNOWN_FEATURES, LIMITS, MAGIC, SECTOR } from './layout.ts';

/** Units: bytes, unless the name says otherwise. */
export interface QedHeader {
  readonly clusterSize: number;
  /** Of the L1 table and of each L2 table. */
  readonly tableBytes: number;
  /** Entries of one table. */
  readonly tableEntries: number;
  /** The first clusters, which hold the header. */
  readonly headerBytes: number;
  readonly l1Offset: number;
  /** Entries of the L1 table that the capacity needs. */
  readonly l1Entries: number;
  readonly capacity: number;
  /** The image was not closed: QEMU checks and repairs it when it opens it for writing. */
  readonly needsCheck: boolean;
  readonly backingFile: string | undefined;
  readonly backingFileBytes: Uint8Array | undefined;
  /** raw, or undefined: QED records no other, and QEMU probes then. */
  readonly backingFormat: 'raw' | undefined;
  /** The file in whole clusters: what lies behind does not belong to the image, and is written over. */
  readonly usedBytes: number;
}

const DOING = 'read QED header';

/**
 * The header of the image in `device`.
 *
 * Throws: corrupt (a field out of its range, the L1 table outside of the file), unsupported (a feature), over-budget (an L1
 * table of more than 64 MiB); io.
 */
export async function readQedHeader(device: ReadableDevice): Promise<QedHeader> {
  const content = await readUpTo(device, 0, HEADER.byteLength);
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const magic = content.byteLength < 4 ? 0 : view.getUint32(0, true);
  if (magic !== MAGIC) throw wrong('corrupt', 'QED_MAGIC', 'magic', `0x${magic.toString(16)}`, `0x${MAGIC.toString(16)}`);
  const raw = HEADER.read(view);
  const { clusterSize, tableSize, headerSize, imageSize, l1TableOffset } = raw;
  if ((raw.features | KNOWN_FEATURES) !== KNOWN_FEATURES)
    throw wrong('unsupported', 'QED_FEATURES', 'features', `0x${raw.features.toString(16)}`, 'bits 0 to 2 only');
  if (!isPowerOfTwo(clusterSize) || clusterSize < LIMITS.leastClusterSize || clusterSize > LIMITS.mostClusterSize)
    throw wrong('corrupt', 'QED_CLUSTER_SIZE', 'clusterSize', clusterSize, 'a power of two from 4 KiB to 64 MiB');
  if (!isPowerOfTwo(tableSize) || tableSize > LIMITS.mostTableSize)
    throw wrong('corrupt', 'QED_TABLE_SIZE', 'tableSize', tableSize, '1, 2, 4, 8 or 16 clusters');
  const tableBytes = tableSize * clusterSize;
  const tableEntries = tableBytes / ENTRY_BYTES;
  if (imageSize % SECTOR !== 0 || imageSize / clusterSize / tableEntries > tableEntries)
    throw wrong('corrupt', 'QED_IMAGE_SIZE', 'imageSize', imageSize, 'whole sectors, and no more than the tables can map');
  const usedBytes = roundDown(device.byteLength, clusterSize);
  if (usedBytes / clusterSize > LIMITS.fileClusters)
    throw wrong('over-budget', 'QED_FILE_LENGTH', 'clusterSize', clusterSize, `a file of at most ${LIMITS.fileClusters} clusters`);
  const headerBytes = headerSize * clusterSize;
  if (headerSize === 0 || headerBytes > usedBytes)
    throw wrong('corrupt', 'QED_HEADER_SIZE', 'headerSize', headerSize, `1 to ${usedBytes / clusterSize} clusters, as the file has`);
  if (l1TableOffset % clusterSize !== 0 || l1TableOffset < headerBytes || l1TableOffset + tableBytes > usedBytes)
    throw wrong('corrupt', 'QED_L1_OFFSET', 'l1TableOffset', l1TableOffset, `whole clusters, from ${headerBytes} to the end of the file`);
  const l1Entries = divideUp(imageSize, clusterSize * tableEntries);
  if (l1Entries * ENTRY_BYTES > LIMITS.l1Bytes)
    throw wrong('over-budget', 'QED_L1_LIMIT', 'imageSize', imageSize, `at most ${LIMITS.l1Bytes / ENTRY_BYTES} L2 tables`);
  const shape = { clusterSize, tableBytes, tableEntries, headerBytes, l1Offset: l1TableOffset, l1Entries, usedBytes };
  const needsCheck = (raw.features & FEATURE.needCheck) !== 0n;
  return { ...shape, capacity: imageSize, needsCheck, ...(await backingOf(device, raw, headerBytes)) };
}

type Backing = Pick<QedHeader, 'backingFile' | 'backingFileBytes' | 'backingFormat'>;
type RawHeader = ReturnType<typeof HEADER.read>;

async function backingOf(device: ReadableDevice, raw: RawHeader, headerBytes: number): Promise<Backing> {
  const { features, backingFilenameOffset: at, backingFilenameSize: size } = raw;
  if ((features & FEATURE.backingFile) === 0n) return { backingFile: undefined, backingFileBytes: undefined, backingFormat: undefined };
  if (at + size > headerBytes || size > LIMITS.backingFilenameBytes) {
    const expected = `a name of at most ${LIMITS.backingFilenameBytes} bytes inside of the header's ${headerBytes}`;
    throw wrong('corrupt', 'QED_BACKING_NAME', 'backingFilenameOffset', at, expected);
  }
  const content = Uint8Array.from(await readExactly(device, at, size, 'IMAGE_TRUNCATED', DOING));
  const end = content.indexOf(0);
  const backingFileBytes = end < 0 ? content : content.subarray(0, end);
  const backingFile = new TextDecoder('utf-8', { ignoreBOM: true }).decode(backingFileBytes);
  // QEMU takes an empty name for no backing file.
  if (backingFileBytes.byteLength === 0) return { backingFile: undefined, backingFileBytes: undefined, backingFormat: undefined };
  return { backingFile, backingFileBytes, backingFormat: (features & FEATURE.backingFormatNoProbe) === 0n ? undefined : 'raw' };
}

type Kind = 'corrupt' | 'unsupported' | 'over-budget';

function wrong(kind: Kind, code: string, field: keyof typeof HEADER.fields, found: ErrorValue, expected: string): PlimsollError {
  return new PlimsollError(kind, code, { doing: DOING, field, at: HEADER.fields[field].at, found, expected });
}

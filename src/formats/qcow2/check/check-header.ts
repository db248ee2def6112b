/**
 * What a header that can be read still does to QEMU: fields that it refuses or changes when it opens the image for writing,
 * and a header that no longer fits its cluster when QEMU writes it anew. Source: qcow2 spec, "Header", "Header extensions".
 */
import { roundUp } from '#base';
import type { Header } from '../header.ts';
import { AUTOCLEAR_BITMAPS, AUTOCLEAR_DATA_FILE_RAW, EXTENSION, EXTENSION_HEADER, HEADER_V2, HEADER_V3_TAIL } from '../layout.ts';
import type { Unsound } from './check-result.ts';

/** Bytes of the fixed part as QEMU 7.2 writes it: version 3 with the compression type and its padding. */
const WRITTEN_V3_BYTES = 112;
/** Eight names of 48 bytes; QEMU writes the table into clusters of more than 4 KiB. */
const WRITTEN_FEATURE_NAMES_BYTES = 8 * 48;
const BITMAPS_EXTENSION_BYTES = 24;
const SECTOR = 512;
/** QEMU reads extensions one at a time: 250,000 took it 93 seconds. Six are known. */
const MAX_EXTENSIONS = 64;

/** Where fields lie in the file. */
const AT = { backingFile: 8, capacity: 24, cryptMethod: 32, l1Table: 40, snapshots: 64, autoclear: 88 } as const;

interface FoundExtension {
  readonly type: number;
  readonly at: number;
  readonly length: number;
}

/** What contradicts the format, or QEMU's use of it. `prefix` is the first cluster of the file, whose header is `header`. */
export function* headerFaults(prefix: Uint8Array, header: Header): Generator<Unsound> {
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const fixed = HEADER_V2.read(view);
  const tail = header.version === 3 ? HEADER_V3_TAIL.read(view, HEADER_V2.byteLength) : undefined;
  const headerLength = tail?.headerLength ?? HEADER_V2.byteLength;
  if (header.capacity % SECTOR !== 0)
    yield { at: AT.capacity, what: `the capacity ${header.capacity} is not a multiple of ${SECTOR}, and QEMU rounds it down` };
  if (fixed.snapshotsOffset % header.clusterSize !== 0)
    yield { at: AT.snapshots, what: 'the offset of the snapshot table is not a multiple of the cluster size' };
  if (fixed.l1TableOffset % header.clusterSize !== 0)
    yield { at: AT.l1Table, what: 'the offset of the L1 table is not a multiple of the cluster size' };
  if (fixed.backingFileOffset !== 0 && fixed.backingFileOffset < headerLength)
    yield { at: AT.backingFile, what: 'the name of the backing file lies in the header' };
  if (header.backingFileBytes?.includes(0) === true)
    yield { at: fixed.backingFileOffset, what: 'the name of the backing file holds a NUL' };
  const end = fixed.backingFileOffset === 0 ? Math.min(header.clusterSize, prefix.byteLength) : fixed.backingFileOffset;
  const extensions = [...extensionsIn(view, headerLength, end)];
  yield* extensionFaults(view, extensions, end, header);
  yield* autoclearFaults(tail?.autoclearFeatures ?? 0n, extensions, header);
  const written = writtenBytes(header, headerLength, extensions);
  if (written > header.clusterSize)
    yield { at: 0, what: `written anew by QEMU, the header takes ${written} bytes, more than its cluster of ${header.clusterSize}` };
}

function* extensionsIn(view: DataView, start: number, end: number): Generator<FoundExtension> {
  for (let at = start, count = 0; at + 8 <= end && count <= MAX_EXTENSIONS; count += 1) {
    const { type, length } = EXTENSION_HEADER.read(view, at);
    yield { type, at, length };
    if (type === EXTENSION.end) return;
    at += 8 + roundUp(length, 8);
  }
}

function* extensionFaults(view: DataView, extensions: readonly FoundExtension[], end: number, header: Header): Generator<Unsound> {
  const known = new Set<number>(Object.values(EXTENSION));
  const seen = new Set<number>();
  if (extensions.length > MAX_EXTENSIONS)
    yield { at: extensions[MAX_EXTENSIONS]?.at ?? 0, what: `the header has more than ${MAX_EXTENSIONS} extensions` };
  for (const { type, at, length } of extensions) {
    if (length > end - at - 8) yield { at, what: 'a header extension is longer than the room for extensions' };
    if (known.has(type) && seen.has(type)) yield { at, what: `the header extension 0x${type.toString(16)} is there twice` };
    seen.add(type);
    if (type === EXTENSION.bitmaps && (length !== BITMAPS_EXTENSION_BYTES || view.getUint32(at + 12) !== 0))
      yield { at, what: 'the bitmaps extension has another length than 24, or reserved bits' };
    if (type === EXTENSION.fullDiskEncryption && header.encryption !== 'luks')
      yield { at, what: 'an encryption header in an image that is not encrypted with LUKS' };
    if (type === EXTENSION.fullDiskEncryption && length !== 16) yield { at, what: 'the encryption extension has another length than 16' };
  }
  if (header.encryption === 'luks' && !seen.has(EXTENSION.fullDiskEncryption))
    yield { at: AT.cryptMethod, what: 'LUKS is declared, and no extension places its header' };
}

function* autoclearFaults(autoclear: bigint, extensions: readonly FoundExtension[], header: Header): Generator<Unsound> {
  if ((autoclear & AUTOCLEAR_BITMAPS) !== 0n && !extensions.some(({ type }) => type === EXTENSION.bitmaps))
    yield { at: AT.autoclear, what: 'autoclear bit 0 vouches for bitmaps, and no extension lists any' };
  if ((autoclear & AUTOCLEAR_DATA_FILE_RAW) !== 0n && !header.externalDataFile)
    yield { at: AT.autoclear, what: 'autoclear bit 1 describes a data file, and the image has none' };
}

/** Bytes of the header, its extensions and the backing file's name when QEMU writes them. */
function writtenBytes(header: Header, headerLength: number, extensions: readonly FoundExtension[]): number {
  const isVersion3 = header.version === 3;
  const fixed = isVersion3 ? Math.max(WRITTEN_V3_BYTES, headerLength) : HEADER_V2.byteLength;
  const names = isVersion3 && header.clusterSize > 4096 ? 8 + WRITTEN_FEATURE_NAMES_BYTES : 0;
  const others = extensions
    .filter(({ type }) => type !== EXTENSION.featureNames && type !== EXTENSION.end)
    .reduce((total, { length }) => total + 8 + roundUp(length, 8), 0);
  // 8 bytes end the list.
  return fixed + names + others + 8 + (header.backingFileBytes?.byteLength ?? 0);
}

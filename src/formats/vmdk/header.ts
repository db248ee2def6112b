/**
 * The header of a sparse extent and the footer of a stream, checked. Source: VMware "Virtual Disk Format 5.0", "Hosted Sparse
 * Extents" and "Stream-Optimized Compressed Sparse Extents".
 */
import { divideUp, type ErrorValue, isPowerOfTwo, type PlimsollError, type RecordOf } from '#base';
import {
  FLAG,
  GD_AT_END,
  GTES_PER_GT,
  KNOWN_FLAGS,
  LIMITS,
  MAGIC,
  MAGIC_COWD,
  MARKER,
  MARKER_END_OF_STREAM,
  MARKER_FOOTER,
  SECTOR,
  SPARSE_HEADER,
} from './layout.ts';
import { vmdkError, type WrongKind } from './vmdk-error.ts';

/** sparse: grains as they are, written in place; stream: each grain compressed behind a marker (streamOptimized). */
export type ExtentKind = 'sparse' | 'stream';

/** A checked header. Units: bytes, unless the name ends in Sectors. What it points at lies inside the file. */
export interface Header {
  readonly version: 1 | 2 | 3;
  readonly kind: ExtentKind;
  readonly capacity: number;
  readonly grainBytes: number;
  readonly grainSectors: number;
  readonly descriptorOffset: number;
  /** The room for the descriptor; its text may be shorter. */
  readonly descriptorLength: number;
  readonly grainDirectoryOffset: number;
  /** undefined: there is none. */
  readonly redundantDirectoryOffset: number | undefined;
  /** Grain tables that the capacity needs. */
  readonly grainDirectoryEntries: number;
  readonly overHead: number;
  readonly zeroedGrains: boolean;
  readonly uncleanShutdown: boolean;
  /** The grain directory's place was taken from the footer. */
  readonly hasFooter: boolean;
}

/** What is known beside the first sector. */
export interface HeaderContext {
  /** The last FOOTER_BYTES of the file. */
  readonly footer?: Uint8Array;
  /** One extent of a split image: it needs no descriptor. */
  readonly isExtent?: boolean;
}

/** Bytes of the stream's end that tell the grain directory's place: marker, footer, end of stream. */
export const FOOTER_BYTES = 3 * SECTOR;

const DOING = 'read VMDK header';
const DOING_FOOTER = 'read VMDK footer';
type RawHeader = RecordOf<(typeof SPARSE_HEADER)['fields']>;

/** Whether these first bytes of a file are those of a sparse extent, of either generation. */
export function hasSparseMagic(prefix: Uint8Array): boolean {
  if (prefix.byteLength < 4) return false;
  const magic = viewOf(prefix).getUint32(0, true);
  return magic === MAGIC || magic === MAGIC_COWD;
}

/**
 * The checked header in `sector`, the file's first 512 bytes, or `{needs: 'footer'}` when the footer has to be read too:
 * FOOTER_BYTES from the file's end, given as `footer`.
 *
 * Throws: corrupt (a field out of its range, a table outside the file, a footer that differs), unsupported (COWD, version,
 * flags, geometry), refused (capacity 0, no descriptor inside).
 */
export function parseHeader(
  sector: Uint8Array,
  fileLength: number,
  { footer, isExtent = false }: HeaderContext = {},
): Header | { needs: 'footer' } {
  if (sector.byteLength >= 4 && viewOf(sector).getUint32(0, true) === MAGIC_COWD)
    throw headerWrong('unsupported', 'VMDK_COWD', 'magic', 0, 'COWD', 'KDMV; COWD extents, of ESX and VMware 3, are not read');
  const raw = SPARSE_HEADER.read(viewOf(sector));
  if (raw.magic !== MAGIC) throw headerWrong('corrupt', 'VMDK_MAGIC', 'magic', 0, `0x${raw.magic.toString(16)}`, '0x564d444b');
  const { version } = raw;
  if (version !== 1 && version !== 2 && version !== 3) throw headerWrong('unsupported', 'VMDK_VERSION', 'version', 4, version, '1, 2 or 3');
  const kind = checkFlags(raw);
  checkGeometry(raw);
  const hasDescriptor = !isExtent || raw.descriptorOffset !== 0;
  if (hasDescriptor) checkDescriptorPlace(raw, fileLength);
  const isAtEnd = raw.gdOffset === GD_AT_END;
  if (isAtEnd && kind !== 'stream')
    throw headerWrong('corrupt', 'VMDK_FOOTER', 'gdOffset', 56, 'at the end', 'an offset: only a stream has its directory at the end');
  if (isAtEnd && footer === undefined) return { needs: 'footer' };
  const gdOffset = isAtEnd && footer !== undefined ? parseFooter(sector, footer, fileLength) : raw.gdOffset;
  const grainDirectoryEntries = divideUp(raw.capacity, raw.grainSize * GTES_PER_GT);
  if (grainDirectoryEntries > LIMITS.grainDirectoryEntries)
    throw headerWrong('unsupported', 'VMDK_CAPACITY', 'capacity', 12, raw.capacity, `at most ${LIMITS.grainDirectoryEntries} grain tables`);
  const overHead = raw.overHead * SECTOR;
  // QEMU refuses such a file too.
  if (overHead > fileLength)
    throw headerWrong('corrupt', 'VMDK_OVERHEAD', 'overHead', 64, raw.overHead, `sectors inside the file of ${fileLength} bytes`);
  const directoryBytes = grainDirectoryEntries * 4;
  const hasRedundant = hasFlag(raw.flags, FLAG.redundantGrainDirectory);
  return {
    version,
    kind,
    capacity: raw.capacity * SECTOR,
    grainBytes: raw.grainSize * SECTOR,
    grainSectors: raw.grainSize,
    descriptorOffset: raw.descriptorOffset * SECTOR,
    descriptorLength: hasDescriptor ? raw.descriptorSize * SECTOR : 0,
    grainDirectoryOffset: directoryPlace('gdOffset', 56, gdOffset, directoryBytes, fileLength),
    redundantDirectoryOffset: hasRedundant ? directoryPlace('rgdOffset', 48, raw.rgdOffset, directoryBytes, fileLength) : undefined,
    grainDirectoryEntries,
    overHead,
    zeroedGrains: hasFlag(raw.flags, FLAG.zeroedGrains),
    uncleanShutdown: raw.uncleanShutdown !== 0,
    hasFooter: isAtEnd,
  };
}

/** Flags that are known and do not contradict the compression: QEMU goes by the algorithm alone, others by the flags. */
function checkFlags(raw: RawHeader): ExtentKind {
  const { flags, compressAlgorithm } = raw;
  if ((flags | KNOWN_FLAGS) !== KNOWN_FLAGS)
    throw headerWrong('unsupported', 'VMDK_FLAGS', 'flags', 8, `0x${(flags >>> 0).toString(16)}`, 'bits 0 to 2, 16 and 17 only');
  const newline = [raw.singleEndLineChar, raw.nonEndLineChar, raw.doubleEndLineChar1, raw.doubleEndLineChar2];
  const expected = [0x0a, 0x20, 0x0d, 0x0a];
  if (hasFlag(flags, FLAG.newlineDetection) && newline.some((byte, index) => byte !== expected[index]))
    throw headerWrong('corrupt', 'VMDK_NEWLINE', 'newline detection', 73, newline.join(' '), '10 32 13 10: a transfer changed line ends');
  if (compressAlgorithm > 1)
    throw headerWrong('unsupported', 'VMDK_COMPRESSION', 'compressAlgorithm', 77, compressAlgorithm, '0 (none) or 1 (deflate)');
  const isCompressed = compressAlgorithm === 1;
  if (hasFlag(flags, FLAG.compressed) !== isCompressed || hasFlag(flags, FLAG.markers) !== isCompressed) {
    const wanted = isCompressed ? 'bits 16 and 17 set, as the compression says' : 'bits 16 and 17 clear, without compression';
    throw headerWrong('refused', 'VMDK_COMPRESSION', 'flags', 8, `0x${flags.toString(16)}`, wanted);
  }
  return isCompressed ? 'stream' : 'sparse';
}

function checkGeometry(raw: RawHeader): void {
  const { capacity, grainSize, numGTEsPerGT } = raw;
  // QEMU then takes the embedded descriptor for a real one and opens the files that it names.
  if (capacity === 0)
    throw headerWrong('refused', 'VMDK_CAPACITY_ZERO', 'capacity', 12, 0, 'above 0: QEMU would open the files that the descriptor names');
  if (capacity >= 2 ** 53 / SECTOR) throw headerWrong('corrupt', 'VMDK_CAPACITY', 'capacity', 12, capacity, 'fewer than 2^53 bytes');
  if (grainSize < LIMITS.leastGrainSectors || !isPowerOfTwo(grainSize))
    throw headerWrong('corrupt', 'VMDK_GRAIN_SIZE', 'grainSize', 20, grainSize, 'a power of two from 8 sectors on');
  if (grainSize > LIMITS.mostGrainSectors)
    throw headerWrong('unsupported', 'VMDK_GRAIN_SIZE', 'grainSize', 20, grainSize, `at most ${LIMITS.mostGrainSectors} sectors`);
  if (numGTEsPerGT !== GTES_PER_GT)
    throw headerWrong('unsupported', 'VMDK_GRAIN_TABLE_SIZE', 'numGTEsPerGT', 44, numGTEsPerGT, `${GTES_PER_GT}`);
}

const IS_AN_EXTENT = 'this is one extent of a split image, not an image';

/** QEMU gives the extents of a split image room for a descriptor, and leaves it empty. */
export function emptyDescriptor(at: number): PlimsollError {
  return headerWrong('refused', 'VMDK_NO_DESCRIPTOR', 'descriptor', at, 'empty', `a text: ${IS_AN_EXTENT}`);
}

/** QEMU looks for the descriptor's words in sector 1, wherever the header says it is. */
function checkDescriptorPlace(raw: RawHeader, fileLength: number): void {
  if (raw.descriptorOffset === 0) throw headerWrong('refused', 'VMDK_NO_DESCRIPTOR', 'descriptorOffset', 28, 0, `1: ${IS_AN_EXTENT}`);
  if (raw.descriptorOffset !== 1)
    throw headerWrong('refused', 'VMDK_DESCRIPTOR_PLACE', 'descriptorOffset', 28, raw.descriptorOffset, '1, where QEMU reads it');
  const most = Math.min(LIMITS.descriptorBytes / SECTOR, Math.floor(fileLength / SECTOR) - 1);
  if (raw.descriptorSize === 0 || raw.descriptorSize > most)
    throw headerWrong('corrupt', 'VMDK_DESCRIPTOR_PLACE', 'descriptorSize', 36, raw.descriptorSize, `1 to ${most} sectors`);
}

function directoryPlace(field: string, at: number, sectors: bigint, byteLength: number, fileLength: number): number {
  // Compared before it becomes a number: all 64 bits are the image's.
  if (sectors === 0n || sectors > BigInt(Math.floor((fileLength - byteLength) / SECTOR)))
    throw headerWrong(
      'corrupt',
      'VMDK_GRAIN_DIRECTORY',
      field,
      at,
      sectors,
      `a sector, not 0, with ${byteLength} bytes behind it inside the file of ${fileLength} bytes`,
    );
  return Number(sectors) * SECTOR;
}

/** gdOffset as the footer in `tail` says, the last three sectors of the file; all else must be as in the header. */
function parseFooter(header: Uint8Array, tail: Uint8Array, fileLength: number): bigint {
  const start = fileLength - FOOTER_BYTES;
  if (start < SECTOR || fileLength % SECTOR !== 0 || tail.byteLength !== FOOTER_BYTES)
    throw footerWrong('file length', fileLength, fileLength, 'whole sectors, with a footer behind the header');
  const view = viewOf(tail);
  const before = MARKER.read(view, 0, start);
  if (before.value !== 1 || before.size !== 0 || before.type !== MARKER_FOOTER)
    throw footerWrong('footer marker', start, `${before.value}, ${before.size}, ${before.type}`, '1, 0, 3');
  const end = MARKER.read(view, 2 * SECTOR, start);
  if (end.value !== 0 || end.size !== 0 || end.type !== MARKER_END_OF_STREAM)
    throw footerWrong('end-of-stream marker', start + 2 * SECTOR, `${end.value}, ${end.size}, ${end.type}`, '0, 0, 0');
  const { at, width } = SPARSE_HEADER.fields.gdOffset;
  for (let index = 0; index < SECTOR; index += 1) {
    if (index === at) index += width;
    const found = tail[SECTOR + index];
    if (found !== header[index]) throw footerWrong('footer', start + SECTOR + index, `${found}`, `${header[index]}, as in the header`);
  }
  return view.getBigUint64(SECTOR + at, true);
}

function hasFlag(flags: number, flag: number): boolean {
  return (flags & flag) !== 0;
}

export function viewOf(content: Uint8Array): DataView {
  return new DataView(content.buffer, content.byteOffset, content.byteLength);
}

function headerWrong(kind: WrongKind, code: string, field: string, at: number, found: ErrorValue, expected: string): PlimsollError {
  return vmdkError(kind, code, { doing: DOING, field, at }, found, expected);
}

function footerWrong(field: string, at: number, found: ErrorValue, expected: string): PlimsollError {
  return vmdkError('corrupt', 'VMDK_FOOTER', { doing: DOING_FOOTER, field, at }, found, expected);
}

/** Header extensions: a list of typed, length-prefixed records behind the header. Source: qcow2 spec, "Header extensions". */
import { type ErrorValue, PlimsollError } from '#base';
import { BITMAPS_EXTENSION, ENCRYPTION_EXTENSION, EXTENSION, EXTENSION_HEADER, LIMITS } from './layout.ts';

const DOING = 'read qcow2 header extensions';

export interface BitmapsPointer {
  readonly nbBitmaps: number;
  readonly directoryOffset: number;
  readonly directorySize: number;
}

export interface HeaderExtensions {
  readonly backingFormat: string | undefined;
  readonly dataFileName: string | undefined;
  /** The same name as the kernel takes it. */
  readonly dataFileNameBytes: Uint8Array | undefined;
  readonly bitmaps: BitmapsPointer | undefined;
  readonly encryptionHeader: { readonly offset: number; readonly length: number } | undefined;
}

/** What the extensions' contents are checked against. */
export interface ExtensionContext {
  readonly fileLength: number;
  readonly clusterSize: number;
  /** Autoclear bit 0: without it a writer that knew no bitmaps has been here, and what the extension says is stale. */
  readonly bitmapsVouched: boolean;
}

/**
 * The extensions in [start, end) of `prefix`; `needs` is set when the list goes on past the bytes at hand.
 *
 * Bounds: every record is at least 8 bytes, so the walk ends with the area.
 * Throws: corrupt, when a record or what it points at reaches outside.
 */
export function parseExtensions(
  prefix: Uint8Array,
  start: number,
  end: number,
  file: ExtensionContext,
): { value: HeaderExtensions; needs?: number } {
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const found: { -readonly [K in keyof HeaderExtensions]: HeaderExtensions[K] } = {
    backingFormat: undefined,
    dataFileName: undefined,
    dataFileNameBytes: undefined,
    bitmaps: undefined,
    encryptionHeader: undefined,
  };
  let at = start;
  while (at + 8 <= end) {
    if (at + 8 > prefix.byteLength) return { value: found, needs: end };
    const { type, length } = EXTENSION_HEADER.read(view, at);
    if (type === EXTENSION.end) break;
    const dataAt = at + 8;
    if (dataAt + length > end) throw wrong('EXTENSION_LENGTH', 'length', at + 4, length, `at most ${end - dataAt}`);
    if (dataAt + length > prefix.byteLength) return { value: found, needs: end };
    const data = new DataView(prefix.buffer, prefix.byteOffset + dataAt, length);
    if (type === EXTENSION.backingFormat) found.backingFormat = text(data, dataAt, LIMITS.backingFormatBytes);
    else if (type === EXTENSION.dataFile) {
      found.dataFileName = text(data, dataAt, LIMITS.dataFileNameBytes);
      found.dataFileNameBytes = new Uint8Array(prefix.subarray(dataAt, dataAt + length));
    } else if (type === EXTENSION.bitmaps && file.bitmapsVouched) found.bitmaps = parseBitmapsPointer(data, dataAt, file);
    else if (type === EXTENSION.fullDiskEncryption) found.encryptionHeader = parseEncryptionPointer(data, dataAt, file);
    at = dataAt + Math.ceil(length / 8) * 8;
  }
  return { value: found };
}

function parseBitmapsPointer(data: DataView, at: number, { fileLength, clusterSize }: ExtensionContext): BitmapsPointer {
  const { nbBitmaps, directorySize, directoryOffset } = BITMAPS_EXTENSION.read(data, 0, at);
  if (nbBitmaps === 0 || nbBitmaps > LIMITS.bitmaps) throw wrong('BITMAPS', 'nb_bitmaps', at, nbBitmaps, `1 to ${LIMITS.bitmaps}`);
  if (directorySize > LIMITS.bitmapDirectoryBytes || directoryOffset % clusterSize !== 0 || directoryOffset + directorySize > fileLength) {
    throw wrong(
      'BITMAPS',
      'bitmap_directory_offset',
      at + 16,
      `0x${directoryOffset.toString(16)} + ${directorySize} bytes`,
      `cluster-aligned and inside the file of ${fileLength} bytes`,
    );
  }
  return { nbBitmaps, directorySize, directoryOffset };
}

function parseEncryptionPointer(
  data: DataView,
  at: number,
  { fileLength, clusterSize }: ExtensionContext,
): { offset: number; length: number } {
  const { offset, length } = ENCRYPTION_EXTENSION.read(data, 0, at);
  if (offset % clusterSize !== 0 || offset + length > fileLength) {
    throw wrong(
      'ENCRYPTION_HEADER',
      'offset',
      at,
      `0x${offset.toString(16)} + ${length} bytes`,
      `cluster-aligned and inside the file of ${fileLength} bytes`,
    );
  }
  return { offset, length };
}

function text(data: DataView, at: number, mostBytes: number): string {
  if (data.byteLength > mostBytes) throw wrong('EXTENSION_LENGTH', 'length', at - 4, data.byteLength, `at most ${mostBytes}`);
  return decodeName(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

/** A name from the image for people; bytes that are not UTF-8 become U+FFFD, a byte order mark stays. Open by its bytes. */
export function decodeName(raw: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(raw);
}

function wrong(code: string, field: string, at: number, found: ErrorValue, expected: string): PlimsollError {
  return new PlimsollError('corrupt', `QCOW2_${code}`, { doing: DOING, field, at, found, expected });
}

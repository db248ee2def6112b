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
  readonly bitmaps: BitmapsPointer | undefined;
  readonly encryptionHeader: { readonly offset: number; readonly length: number } | undefined;
}

/**
 * The extensions in [start, end) of `prefix`; `needs` is set when the list goes on past the bytes at hand.
 *
 * Bounds: every record is at least 8 bytes, so the walk ends with the area.
 * Throws: corrupt, when a record or what it points at reaches outside.
 */
export function parseExtensions(prefix: Uint8Array, start: number, end: number, fileLength: number): { value: HeaderExtensions; needs?: number } {
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const found: { -readonly [K in keyof HeaderExtensions]: HeaderExtensions[K] } = {
    backingFormat: undefined,
    dataFileName: undefined,
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
    if (type === EXTENSION.backingFormat) found.backingFormat = text(data);
    else if (type === EXTENSION.dataFile) found.dataFileName = text(data);
    else if (type === EXTENSION.bitmaps) found.bitmaps = parseBitmapsPointer(data, dataAt, fileLength);
    else if (type === EXTENSION.fullDiskEncryption) found.encryptionHeader = parseEncryptionPointer(data, dataAt, fileLength);
    at = dataAt + Math.ceil(length / 8) * 8;
  }
  return { value: found };
}

function parseBitmapsPointer(data: DataView, at: number, fileLength: number): BitmapsPointer {
  const { nbBitmaps, directorySize, directoryOffset } = BITMAPS_EXTENSION.read(data);
  if (nbBitmaps === 0 || nbBitmaps > LIMITS.bitmaps) throw wrong('BITMAPS', 'nb_bitmaps', at, nbBitmaps, `1 to ${LIMITS.bitmaps}`);
  if (directorySize > LIMITS.bitmapDirectoryBytes || directoryOffset + directorySize > fileLength) {
    throw wrong('BITMAPS', 'bitmap_directory_offset', at + 16, `0x${directoryOffset.toString(16)} + ${directorySize} bytes`, `inside the file of ${fileLength} bytes`);
  }
  return { nbBitmaps, directorySize, directoryOffset };
}

function parseEncryptionPointer(data: DataView, at: number, fileLength: number): { offset: number; length: number } {
  const { offset, length } = ENCRYPTION_EXTENSION.read(data);
  if (offset + length > fileLength) {
    throw wrong('ENCRYPTION_HEADER', 'offset', at, `0x${offset.toString(16)} + ${length} bytes`, `inside the file of ${fileLength} bytes`);
  }
  return { offset, length };
}

function text(data: DataView): string {
  return new TextDecoder().decode(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function wrong(code: string, field: string, at: number, found: ErrorValue, expected: string): PlimsollError {
  return new PlimsollError('corrupt', `QCOW2_${code}`, { doing: DOING, field, at, found, expected });
}

/**
 * What a Zstandard frame says of itself, found without decompressing: where it ends, and how much it stands for. What is
 * checked here bounds what the decoder is asked to do. Source: RFC 8878, sections 3.1.1 "Zstandard Frames" and 3.1.1.2
 * "Blocks".
 */

/** 0xFD2FB528, little-endian. */
const MAGIC = 0xfd2fb528;

export interface ZstdFrame {
  /** Of the frame itself; what follows is padding. */
  readonly byteLength: number;
  readonly windowBytes: number;
  /** Bytes that it stands for; undefined where the frame does not say. */
  readonly contentBytes: number | undefined;
}

/** Bytes of the field Frame_Content_Size by its flag; 0 stands for 1 byte in a frame of a single segment. */
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];
const DICTIONARY_ID_BYTES = [0, 1, 2, 4];

/** The frame at the start of `input`; a string says in what way there is none. */
export function parseZstdFrame(input: Uint8Array): ZstdFrame | string {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  // Magic number, descriptor and the longest of what follows it: 4 + 1 + 1 + 4 + 8.
  if (input.byteLength < 6) return 'too short for a frame';
  if (view.getUint32(0, true) !== MAGIC) return `magic number 0x${view.getUint32(0, true).toString(16)}`;
  const descriptor = view.getUint8(4);
  if ((descriptor & 8) !== 0) return 'a reserved bit of the frame header set';
  const isSingleSegment = (descriptor & 32) !== 0;
  const dictionaryBytes = DICTIONARY_ID_BYTES[descriptor & 3] ?? 0;
  const sizeBytes = descriptor >>> 6 === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[descriptor >>> 6] ?? 0);
  const dictionaryAt = isSingleSegment ? 5 : 6;
  const sizeAt = dictionaryAt + dictionaryBytes;
  const blocksAt = sizeAt + sizeBytes;
  if (blocksAt > input.byteLength) return 'cut off in its header';
  for (let at = dictionaryAt; at < sizeAt; at += 1) if (view.getUint8(at) !== 0) return 'a dictionary needed';
  const contentBytes = readContentSize(view, sizeAt, sizeBytes);
  const windowBytes = isSingleSegment ? (contentBytes ?? 0) : windowSize(view.getUint8(5));
  const end = endOfBlocks(view, blocksAt);
  if (typeof end === 'string') return end;
  const byteLength = end + ((descriptor & 4) === 0 ? 0 : 4);
  if (byteLength > input.byteLength) return 'cut off in its checksum';
  return { byteLength, windowBytes, contentBytes };
}

function readContentSize(view: DataView, at: number, width: number): number | undefined {
  if (width === 0) return undefined;
  if (width === 1) return view.getUint8(at);
  if (width === 2) return view.getUint16(at, true) + 256;
  if (width === 4) return view.getUint32(at, true);
  return view.getUint32(at + 4, true) * 0x100000000 + view.getUint32(at, true);
}

/** Window_Descriptor: five bits of exponent, three of mantissa. */
function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >>> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** Each block takes three bytes at the least, so the walk ends with the input. */
function endOfBlocks(view: DataView, blocksAt: number): number | string {
  let at = blocksAt;
  for (;;) {
    if (at + 3 > view.byteLength) return 'cut off between two blocks';
    const header = view.getUint16(at, true) + view.getUint8(at + 2) * 0x10000;
    const type = (header >>> 1) & 3;
    if (type === 3) return 'a block of the reserved type';
    at += 3 + (type === 1 ? 1 : header >>> 3);
    if (at > view.byteLength) return 'cut off in a block';
    if ((header & 1) === 1) return at;
  }
}

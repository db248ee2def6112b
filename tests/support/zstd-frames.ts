/** Zstandard frames by hand: for frames that no compressor writes. Source: RFC 8878, section 3.1.1. */

/** Of `rle`: how many times the byte; of the others: how many of them are stored. */
export type ZstdBlock = readonly [type: 'raw' | 'rle' | 'compressed' | 'reserved', bytes: number, byte: number];

export interface ZstdFrameChoice {
  /** Makes the frame a single segment. */
  readonly contentBytes?: number;
  readonly windowDescriptor?: number;
  readonly dictionary?: number;
}

const TYPES = ['raw', 'rle', 'compressed', 'reserved'];

/** A frame with these blocks; a single segment of 8 bytes of content size, or a window and no content size. */
export function zstdFrame(blocks: readonly ZstdBlock[], { contentBytes, windowDescriptor, dictionary }: ZstdFrameChoice): Uint8Array {
  const header = Buffer.alloc(4);
  header.writeUInt32LE(0xfd2fb528);
  const hasSize = contentBytes !== undefined;
  const size = Buffer.alloc(hasSize ? 8 : 0);
  if (hasSize) size.writeBigUInt64LE(BigInt(contentBytes));
  return Buffer.concat([
    header,
    Uint8Array.of((hasSize ? 0xe0 : 0) + (dictionary === undefined ? 0 : 1)),
    Uint8Array.from(windowDescriptor === undefined ? [] : [windowDescriptor]),
    Uint8Array.from(dictionary === undefined ? [] : [dictionary]),
    size,
    ...blocks.flatMap((block, index) => blockBytes(block, index === blocks.length - 1)),
  ]);
}

function blockBytes([type, bytes, byte]: ZstdBlock, isLast: boolean): Uint8Array[] {
  const header = Buffer.alloc(3);
  header.writeUIntLE((isLast ? 1 : 0) + TYPES.indexOf(type) * 2 + bytes * 8, 0, 3);
  return [header, new Uint8Array(type === 'rle' ? 1 : bytes).fill(byte)];
}

/** One compressed grain: a marker, then a zlib stream. Source: VMware "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". */
import type { ErrorValue, PlimsollError } from '#base';
import { type ReadableDevice, readExactly } from '#block';
import { inflate } from '#codec';
import { type Header, viewOf } from './header.ts';
import { GRAIN_MARKER, SECTOR } from './layout.ts';
import { vmdkError } from './vmdk-error.ts';

const DOING = 'read VMDK grain';
/** Read at once with the marker: most grains of a sparse disk are no longer. */
const FIRST_READ_BYTES = 4096;

/**
 * The bytes of grain `index`, whose marker lies at sector `sector`: a whole grain, or at the disk's end what is left of it
 * (more is possible).
 *
 * Bounds: reads and gives at most two grains.
 * Throws: corrupt (another grain's marker, a length that no writer has, no zlib stream, too few bytes); io, over-budget.
 */
export async function readCompressedGrain(file: ReadableDevice, header: Header, index: number, sector: number): Promise<Uint8Array> {
  const { grainBytes, capacity } = header;
  const at = sector * SECTOR;
  const begun = await readExactly(file, at, Math.min(FIRST_READ_BYTES, file.byteLength - at), 'VMDK_TRUNCATED', 'read VMDK image');
  const size = markedSize(begun, header, index, at, file.byteLength);
  const end = GRAIN_MARKER.byteLength + size;
  const whole = end <= begun.byteLength ? begun.subarray(0, end) : await readExactly(file, at, end, 'VMDK_TRUNCATED', 'read VMDK image');
  const data = whole.subarray(GRAIN_MARKER.byteLength);
  const grain = inflate(data, { wrapping: 'zlib', mostBytes: grainBytes, doing: DOING, at: at + GRAIN_MARKER.byteLength });
  const needed = Math.min(grainBytes, capacity - index * grainBytes);
  if (grain.byteLength >= needed) return grain;
  throw grainWrong('VMDK_GRAIN_SHORT', 'compressed data', at + GRAIN_MARKER.byteLength, grain.byteLength, `${needed} bytes once inflated`);
}

/**
 * Bytes of compressed data behind the marker in `content`, which lies at byte `at` of the file and must be that of grain `index`.
 *
 * Throws: corrupt (another grain's marker, a length that no writer has).
 */
export function markedSize(content: Uint8Array, header: Header, index: number, at: number, fileLength: number): number {
  const { grainBytes, grainSectors } = header;
  const { lba, size } = GRAIN_MARKER.read(viewOf(content), 0, at);
  if (lba !== index * grainSectors)
    throw grainWrong('VMDK_MARKER', 'LBA', at, lba, `${index * grainSectors}, the grain that was looked up`);
  const most = Math.min(2 * grainBytes, fileLength - at) - GRAIN_MARKER.byteLength;
  if (size === 0 || size > most) throw grainWrong('VMDK_MARKER', 'size', at + 8, size, `1 to ${most} bytes`);
  return size;
}

function grainWrong(
  code: 'VMDK_MARKER' | 'VMDK_GRAIN_SHORT',
  field: string,
  at: number,
  found: ErrorValue,
  expected: string,
): PlimsollError {
  return vmdkError('corrupt', code, { doing: DOING, field, at }, found, expected);
}

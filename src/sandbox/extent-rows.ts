/** Extents on their way out of a confined worker: a row of doubles each. */
import type { Extent, ExtentStatus } from '#block';
import { protocolError } from '#confined';

const STATUSES: readonly ExtentStatus[] = ['data', 'zero', 'unallocated'];
/** start, end, index of the status, depth, whether compressed, fileOffset or -1. */
const NUMBERS_PER_ROW = 6;
const ROW_BYTES = NUMBERS_PER_ROW * 8;
/** Rows that one part of an answer holds. */
export const MAX_ROWS = 16_384;

export function packExtents(extents: readonly Extent[]): Uint8Array {
  const rows = new Float64Array(extents.length * NUMBERS_PER_ROW);
  for (const [index, { start, end, status, depth, compressed, fileOffset = -1 }] of extents.entries())
    rows.set([start, end, STATUSES.indexOf(status), depth, compressed ? 1 : 0, fileOffset], index * NUMBERS_PER_ROW);
  return new Uint8Array(rows.buffer);
}

/** The extents in `data`, which must continue each other from `start` on, and end by `end`. Throws: bug, WORKER_PROTOCOL. */
export function unpackExtents(data: Uint8Array, start: number, end: number): Extent[] {
  if (data.byteLength % ROW_BYTES !== 0 || data.byteLength > MAX_ROWS * ROW_BYTES) throw protocolError('a part of an extent');
  const numbers = new Float64Array(new Uint8Array(data).buffer);
  const extents: Extent[] = [];
  let at = start;
  for (let row = 0; row < numbers.length; row += NUMBERS_PER_ROW) {
    const [from = -1, to = -1, statusIndex = -1, depth = -1, compressed = -1, fileOffset = -1] = numbers.subarray(
      row,
      row + NUMBERS_PER_ROW,
    );
    const status = STATUSES[statusIndex];
    const isSound = from === at && to > from && to <= end && [to, depth, compressed].every(Number.isSafeInteger) && depth >= 0;
    if (!isSound || status === undefined || (fileOffset !== -1 && !(Number.isSafeInteger(fileOffset) && fileOffset >= 0)))
      throw protocolError('an extent that is out of order or out of bounds');
    extents.push({
      start: from,
      end: to,
      status,
      depth,
      compressed: compressed === 1,
      fileOffset: fileOffset === -1 ? undefined : fileOffset,
    });
    at = to;
  }
  return extents;
}

/** A disk cut into blocks of one size, each stored whole at some place of the file or not at all: what VHD and VDI share. */
import { type Extent, type ExtentStatus, type ReadableDevice, readableDevice, readExactly } from '#block';

/** Where a block lies; the bytes of a stored one are contiguous. */
export interface BlockPlace {
  readonly status: ExtentStatus;
  /** undefined where nothing is stored. */
  readonly fileOffset: number | undefined;
}

export interface BlockMapping {
  readonly device: ReadableDevice;
  readonly capacity: number;
  readonly blockSize: number;
  /** Synchronous and cheap: it is asked for every block of a range. */
  placeOf(blockIndex: number): BlockPlace;
  /**
   * Asked before a piece of one block is answered, of a differencing disk only: throws where the bytes are the parent's.
   */
  readonly requireOwn?: (blockIndex: number, startInBlock: number, endInBlock: number) => Promise<void>;
}

/** Blocks looked at between two looks at the signal. */
const BLOCKS_AT_ONCE = 65536;

/** The disk of `mapping`. */
export function blockMappedImage(mapping: BlockMapping): ReadableDevice {
  const { device, capacity } = mapping;
  return readableDevice({
    byteLength: capacity,
    async read(target, offset, options) {
      const end = Math.min(offset + target.byteLength, capacity);
      for await (const { start, end: runEnd, fileOffset } of runs(mapping, offset, end, options?.signal)) {
        const piece = target.subarray(start - offset, runEnd - offset);
        if (fileOffset === undefined) piece.fill(0);
        else await readExactly(device, fileOffset, runEnd - start, 'IMAGE_TRUNCATED', 'read image', piece);
      }
      return Math.max(0, end - offset);
    },
    extents: (offset, length, options) => runs(mapping, offset, Math.min(offset + length, capacity), options?.signal),
    dispose: () => Promise.resolve(device[Symbol.asyncDispose]()),
  });
}

/** Runs of one status that continue each other in the file, covering [start, end). */
async function* runs(mapping: BlockMapping, start: number, end: number, signal: AbortSignal | undefined): AsyncGenerator<Extent> {
  const { blockSize, requireOwn } = mapping;
  let run: { start: number; end: number; status: ExtentStatus; fileOffset: number | undefined } | undefined;
  let at = start;
  for (let count = 0; at < end; count += 1) {
    if (count % BLOCKS_AT_ONCE === 0) signal?.throwIfAborted();
    const block = Math.floor(at / blockSize);
    const inBlock = at - block * blockSize;
    const next = Math.min(end, (block + 1) * blockSize);
    if (requireOwn !== undefined) await requireOwn(block, inBlock, inBlock + next - at);
    const place = mapping.placeOf(block);
    const fileOffset = place.fileOffset === undefined ? undefined : place.fileOffset + inBlock;
    const continues =
      run !== undefined &&
      run.status === place.status &&
      (fileOffset === undefined
        ? run.fileOffset === undefined
        : run.fileOffset !== undefined && run.fileOffset + at - run.start === fileOffset);
    if (run !== undefined && continues) run.end = next;
    else {
      if (run !== undefined) yield { ...run, depth: 0, compressed: false };
      run = { start: at, end: next, status: place.status, fileOffset };
    }
    at = next;
  }
  if (run !== undefined) yield { ...run, depth: 0, compressed: false };
}

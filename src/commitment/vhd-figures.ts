/**
 * Figures of a VHD image by QEMU's rules: a fixed disk is the file, a dynamic one gets its blocks behind the last, each
 * with its sector bitmap, and the footer behind them.
 *
 * A differencing disk grows in the same way; what its parent takes is the parent's figure.
 */
import type { Range } from '#base';
import type { FileFacts } from '#block';
import type { VhdBlocks, VhdImage } from '#formats';
import { component } from '#wire';
import { growthFigures } from './block-growth.ts';
import type { Figures } from './figures.ts';

const SECTOR = 512;
const UNUSED = 0xffffffff;
const ENTRY_BYTES = 4;

/** Figures of the image, of which `facts` tells what its filesystem knows. */
export function vhdFigures({ capacity, blocks }: Pick<VhdImage, 'capacity' | 'blocks'>, facts: FileFacts): Figures {
  if (blocks === undefined) {
    return growthFigures(facts, {
      capacity,
      inPlace: () => [[{ start: 0, end: capacity }]],
      appended: undefined,
      parts: [],
      neverWritten: 0,
      neverWrittenEnd: 0,
      wholeBlocks: false,
      blockSize: facts.fsBlockSize,
    });
  }
  const { blockSize, sectorBitmapBytes, guestBlocks, appendAt } = blocks;
  const missing = guestBlocks - blocks.allocatedBlocks;
  const lastIsMissing = guestBlocks > 0 && blocks.entries[guestBlocks - 1] === UNUSED;
  const dataEnd = appendAt + missing * (sectorBitmapBytes + blockSize);
  return growthFigures(facts, {
    capacity,
    inPlace: () => [allocatedRuns(blocks, capacity), missing === 0 ? [] : [tableRun(blocks)]],
    appended: missing === 0 ? undefined : { start: appendAt, end: dataEnd + SECTOR },
    parts:
      missing === 0
        ? []
        : [
            component('guest-data', missing * blockSize),
            component('sector-bitmaps', missing * sectorBitmapBytes),
            component('footer', SECTOR),
          ],
    neverWritten: lastIsMissing ? guestBlocks * blockSize - capacity : 0,
    neverWrittenEnd: dataEnd,
    wholeBlocks: false,
    blockSize,
  });
}

/** Blocks that are there, with their bitmaps (the first write marks them anew), ascending in the file. */
function* allocatedRuns({ entries, guestBlocks, blockSize, sectorBitmapBytes }: VhdBlocks, capacity: number): Generator<Range> {
  const sorted = entries.slice(0, guestBlocks).sort();
  const last = guestBlocks === 0 ? UNUSED : (entries[guestBlocks - 1] as number);
  for (const entry of sorted) {
    if (entry === UNUSED) return;
    const start = entry * SECTOR;
    const visible = entry === last ? capacity - (guestBlocks - 1) * blockSize : blockSize;
    yield { start, end: start + sectorBitmapBytes + visible };
  }
}

function tableRun({ tableOffset, guestBlocks }: VhdBlocks): Range {
  return { start: tableOffset, end: tableOffset + guestBlocks * ENTRY_BYTES };
}

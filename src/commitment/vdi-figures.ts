/**
 * Figures of a VDI image by QEMU's rules: a new block gets the number that `blocks allocated` says, and is written whole;
 * the header and the sectors of the block map follow. A static image has all its blocks.
 *
 * A differencing image grows in the same way; what its parent takes is the parent's figure.
 */
import { type Range, roundUp } from '#base';
import type { FileFacts } from '#block';
import type { VdiImage } from '#formats';
import { component } from '#wire';
import { growthFigures } from './block-growth.ts';
import type { Figures } from './figures.ts';

const SECTOR = 512;
/** Entries from here on have no block. */
const UNUSED = 0xfffffffe;
const ENTRY_BYTES = 4;

/** What the figures need of an open image. */
type Facts = Pick<VdiImage, 'capacity' | 'header' | 'entries' | 'guestBlocks' | 'allocatedBlocks'>;

/** Figures of the image, of which `facts` tells what its filesystem knows. */
export function vdiFigures(image: Facts, facts: FileFacts): Figures {
  const { capacity, header, guestBlocks } = image;
  const { blockSize, offsetData, blocksAllocated } = header;
  const missing = guestBlocks - image.allocatedBlocks;
  const start = offsetData + blocksAllocated * blockSize;
  const end = start + missing * blockSize;
  return growthFigures(facts, {
    capacity,
    inPlace: () => [allocatedRuns(image), missing === 0 ? [] : tables(image)],
    appended: missing === 0 ? undefined : { start, end },
    parts: missing === 0 ? [] : [component('guest-data', missing * blockSize)],
    neverWritten: 0,
    neverWrittenEnd: end,
    wholeBlocks: true,
    blockSize,
  });
}

/** Blocks that are there, ascending in the file; of the last one what the guest sees. */
function* allocatedRuns({ entries, guestBlocks, capacity, header }: Facts): Generator<Range> {
  const { blockSize, offsetData } = header;
  const sorted = entries.slice(0, guestBlocks).sort();
  const last = guestBlocks === 0 ? UNUSED : (entries[guestBlocks - 1] as number);
  for (const entry of sorted) {
    if (entry >= UNUSED) return;
    const start = offsetData + entry * blockSize;
    yield { start, end: start + (entry === last ? capacity - (guestBlocks - 1) * blockSize : blockSize) };
  }
}

function tables({ header, guestBlocks }: Facts): Range[] {
  return [
    { start: 0, end: SECTOR },
    { start: header.offsetBmap, end: roundUp(header.offsetBmap + guestBlocks * ENTRY_BYTES, SECTOR) },
  ];
}

/** What goes wrong when QEMU writes to an image in place. Source: QEMU 7.2 block/vpc.c, as observed with qemu-io. */
import type { WriteHazard } from '../write-hazard.ts';
import { DYNAMIC_HEADER, SECTOR } from './layout.ts';
import type { VhdBlocks } from './image.ts';

/** The block allocation table has 32 bits for a block's sector; the last number stands for an unused entry. */
const MAX_SECTORS = 0xffffffff;

/** Every hazard of a write to the image; none for a dynamic disk that QEMU made. `blocks`: undefined for a fixed disk. */
export function writeHazards(blocks: VhdBlocks | undefined, fileLength: number): WriteHazard[] {
  if (blocks === undefined) return [FIXED];
  return [placeOfNextBlock(blocks, fileLength), bytesBehindBlocks(blocks, fileLength), farBlocks(blocks)].filter(
    (hazard) => hazard !== undefined,
  );
}

const FIXED: WriteHazard = {
  code: 'VHD_FIXED',
  message:
    'The guest can write the header of a dynamic disk into its first sector, and QEMU then opens that disk instead: attach a copy, or the file as raw with its size given.',
  at: 0,
};

/** QEMU puts the next block behind the table and the last block, whatever lies there. */
function placeOfNextBlock({ appendAt, fileOffset }: VhdBlocks, fileLength: number): WriteHazard | undefined {
  const headerEnd = fileOffset + DYNAMIC_HEADER.byteLength;
  if (headerEnd <= appendAt && fileLength >= appendAt) return undefined;
  const found = headerEnd > appendAt ? 'the dynamic disk header lies there' : 'the file ends before it';
  return { code: 'VHD_NEXT_BLOCK', message: `QEMU writes the next block at byte ${appendAt}, and ${found}.`, at: appendAt };
}

/** The new footer lies behind the new block: what was behind the old footer's place becomes the guest's. */
function bytesBehindBlocks({ appendAt }: VhdBlocks, fileLength: number): WriteHazard | undefined {
  if (fileLength <= appendAt + SECTOR) return undefined;
  return {
    code: 'VHD_BYTES_BEHIND_BLOCKS',
    message: `${fileLength - appendAt} bytes lie behind the last block, where a footer of ${SECTOR} is expected: the guest reads them in sectors that it never wrote, once QEMU puts the next block there.`,
    at: appendAt,
  };
}

function farBlocks({ appendAt, guestBlocks, allocatedBlocks, blockSize, sectorBitmapBytes }: VhdBlocks): WriteHazard | undefined {
  const end = appendAt + (guestBlocks - allocatedBlocks) * (blockSize + sectorBitmapBytes);
  if (end <= MAX_SECTORS * SECTOR) return undefined;
  return {
    code: 'VHD_FILE_TOO_LONG',
    message: 'Once written in full the file is longer than 2 TiB, and the block allocation table has no number for a place behind.',
    at: undefined,
  };
}

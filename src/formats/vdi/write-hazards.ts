/** What goes wrong when QEMU writes to an image in place. Source: QEMU 7.2 block/vdi.c, as observed with qemu-io. */
import type { WriteHazard } from '../write-hazard.ts';
import type { VdiHeader } from './header.ts';
import { ENTRY_ZERO, HEADER } from './layout.ts';

/** Every hazard of a write to the image; none for one that VirtualBox or QEMU made. `entries`: the block map. */
export function writeHazards(entries: Uint32Array, { blocksAllocated }: VdiHeader): WriteHazard[] {
  let end = 0;
  for (const entry of entries) if (entry < ENTRY_ZERO && entry >= end) end = entry + 1;
  if (end === blocksAllocated) return [];
  const consequence =
    blocksAllocated < end
      ? 'the next block that the guest writes lies over one that is in use'
      : 'the file grows by far more than the guest writes';
  return [
    {
      code: 'VDI_BLOCKS_ALLOCATED',
      message: `The header counts ${blocksAllocated} allocated blocks, and the blocks of the map end at ${end}: ${consequence}.`,
      at: HEADER.fields.blocksAllocated.at,
    },
  ];
}

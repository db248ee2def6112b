/** What goes wrong when QEMU writes to an image in place. Source: QEMU 7.2 block/vhdx.c and vhdx-log.c, as observed with qemu-io. */
import type { WriteHazard } from '../write-hazard.ts';
import type { VhdxFacts } from './image.ts';
import { UNIT_BYTES } from './layout.ts';

/** Every hazard of a write to the image; none for one that QEMU made; a pending log is not among them. */
export function writeHazards({ header }: VhdxFacts): WriteHazard[] {
  const hazards: WriteHazard[] = [];
  if (header.logLength < UNIT_BYTES)
    hazards.push({
      code: 'VHDX_LOG_MISSING',
      message: 'The image has no room for a log, through which every change of its tables is written.',
      at: undefined,
    });
  return hazards;
}

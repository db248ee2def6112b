/** What a copy of an image leaves out. Codes are listed in docs/findings.md. */
import { plural } from '#base';
import type { Qcow2Header } from '#formats';
import type { Finding } from '#wire';

/** What a copy made by `qemu-img convert` does not have. */
export function leftOutOfCopy({ bitmaps, bitmapsValid, nbSnapshots }: Qcow2Header): Finding[] {
  const findings: Finding[] = [];
  const count = bitmaps !== undefined && bitmapsValid ? bitmaps.nbBitmaps : 0;
  if (count > 0)
    findings.push({
      level: 'warning',
      code: 'COPY_WITHOUT_BITMAPS',
      message: `The ${plural(count, 'persistent bitmap')} of the source ${count === 1 ? 'is' : 'are'} not in the figures: a copy has no bitmaps, except with qemu-img convert --bitmaps.`,
    });
  if (nbSnapshots > 0)
    findings.push({
      level: 'warning',
      code: 'COPY_WITHOUT_SNAPSHOTS',
      message: `The ${plural(nbSnapshots, 'internal snapshot')} of the source ${nbSnapshots === 1 ? 'is' : 'are'} not in the figures: a copy holds only the current state of the disk.`,
    });
  return findings;
}

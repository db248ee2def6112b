/**
 * Figures of a VMDK descriptor that is a file of its own. QEMU and VMware write a new content ID into it, in whole sectors; the
 * guest's data lies in the extent files, which have figures of their own.
 */
import type { FileFacts } from '#block';
import type { SplitDisk } from '#formats';
import type { Finding } from '#wire';
import { type Figures, rawFigures } from './figures.ts';

export function splitDiskFigures(disk: Pick<SplitDisk, 'capacity' | 'qemuCapacity'>, facts: FileFacts): Figures {
  const { capacity } = disk;
  const figures = rawFigures(facts);
  const findings = figures.findings.filter(({ code }) => code !== 'RAW_PARTIAL_SECTOR');
  return { ...figures, capacity, findings: [...findings, ...capacityFindings(disk)] };
}

function capacityFindings({ capacity, qemuCapacity }: Pick<SplitDisk, 'capacity' | 'qemuCapacity'>): Finding[] {
  if (capacity === qemuCapacity) return [];
  return [
    {
      level: 'warning',
      code: 'VMDK_CAPACITY_DIFFERS',
      message: `QEMU 7.2 reads a disk of ${qemuCapacity} bytes in this descriptor: it leaves out extents that are not RW or are ZERO, and repeats one with an empty line in front of it.`,
    },
  ];
}

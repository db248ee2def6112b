/** What an administrator should know about a VMDK image, in sentences. Codes are listed in docs/findings.md. */
import { plural } from '#base';
import type { VmdkCensus } from '#formats';
import type { Finding } from '#wire';

/** Findings on the image's own state. */
export function vmdkFindings({ header, needing, missingTables }: VmdkCensus): Finding[] {
  const findings: Finding[] = [];
  if (header.kind === 'stream') {
    findings.push({
      level: 'info',
      code: 'VMDK_STREAM_OPTIMIZED',
      message:
        needing === 0
          ? 'streamOptimized with all grains present: it is not writable, so it does not grow.'
          : 'streamOptimized is a transport format: an existing grain cannot be rewritten. QEMU adds a missing grain when a guest writes it whole, and the commitment counts these as incompressible. If no VM writes to the image, it does not grow.',
    });
  }
  if (missingTables > 0) {
    findings.push({
      level: header.kind === 'sparse' ? 'critical' : 'warning',
      code: 'VMDK_TABLES_MISSING',
      message: `${plural(missingTables, 'grain table')} ${missingTables === 1 ? 'is' : 'are'} missing: QEMU writes guest data for them over the header of the image.`,
    });
  }
  if (header.kind === 'sparse' && header.zeroedGrains) {
    findings.push({
      level: 'info',
      code: 'VMDK_ZEROED_GRAINS',
      message:
        'When a guest writes zeros, QEMU abandons the space of a whole grain and never reuses it: the figures assume no such writes.',
    });
  }
  if (header.uncleanShutdown) {
    findings.push({
      level: 'warning',
      code: 'VMDK_UNCLEAN',
      message: 'The image is marked as open: a VM uses it, or it was not closed cleanly.',
    });
  }
  return findings;
}

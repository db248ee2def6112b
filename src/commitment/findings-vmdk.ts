/** What an administrator should know about a VMDK image, in sentences. Codes are listed in docs/findings.md. */
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
          ? 'streamOptimized with all grains there: nothing can write to it, so it stays as it is.'
          : 'streamOptimized is made for transport: a grain that is there cannot be written again. QEMU adds grains that are missing when a guest writes them whole, and the commitment counts them as if they could not be compressed. Where no machine writes to it, the image stays as it is.',
    });
  }
  if (missingTables > 0) {
    findings.push({
      level: header.kind === 'sparse' ? 'critical' : 'warning',
      code: 'VMDK_TABLES_MISSING',
      message: `${missingTables} grain table${missingTables === 1 ? ' is' : 's are'} missing: QEMU writes what a guest puts there over the header of the image.`,
    });
  }
  if (header.kind === 'sparse' && header.zeroedGrains) {
    findings.push({
      level: 'info',
      code: 'VMDK_ZEROED_GRAINS',
      message:
        'When a guest writes zeros, QEMU gives up the place of a whole grain and never uses it again: the figures hold as long as no zeros are written so.',
    });
  }
  if (header.uncleanShutdown) {
    findings.push({
      level: 'warning',
      code: 'VMDK_UNCLEAN',
      message: 'The image is marked as open: a machine uses it, or it was not closed cleanly.',
    });
  }
  return findings;
}

/** What an administrator should know about a VHD image, in sentences. Codes are listed in docs/findings.md. */
import { quoteForHumans } from '#base';
import { hasTwoVhdSizes, type VhdFooter } from '#formats';
import type { Finding } from '#wire';

/** Findings on what the footer says. */
export function vhdFindings(footer: VhdFooter): Finding[] {
  if (!hasTwoVhdSizes(footer)) return [];
  const { currentSize, geometryBytes, capacityFrom, creatorApplication } = footer;
  const creator = quoteForHumans(creatorApplication.replaceAll('\0', ''), 20);
  return [
    {
      level: 'warning',
      code: 'VHD_GEOMETRY_SIZE_MISMATCH',
      message: `The footer gives two sizes: a current size of ${currentSize} bytes and a geometry of ${geometryBytes}. QEMU takes the ${capacityFrom} because the creator is "${creator}"; other programs may take the other one.`,
    },
  ];
}

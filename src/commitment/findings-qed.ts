/** What an administrator should know of a QED image. */
import type { QedHeader } from '#formats';
import type { Finding } from '#wire';

export function qedFindings({ needsCheck }: QedHeader): Finding[] {
  if (!needsCheck) return [];
  return [
    {
      level: 'warning',
      code: 'QED_NEEDS_CHECK',
      message:
        'The image is marked as open: a VM uses it, or it was not closed cleanly. QEMU checks it at the next start; clusters leaked by an interrupted write stay in the file, and each further interruption can leak more.',
    },
  ];
}

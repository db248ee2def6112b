/** A raw disk has no metadata to doubt; what it begins with is named. */
import type { ReadableDevice } from '#block';
import type { Inspected, InspectContext } from './inspectors.ts';
import type { VetPolicy } from './policy.ts';
import type { Reasons } from './reasons.ts';

const SECTOR = 512;

export function inspectRaw(device: ReadableDevice, { reasons, signs, policy }: InspectContext): Promise<Inspected> {
  const has = (name: string): boolean => signs.some((sign) => sign.name === name);
  if (device.byteLength % SECTOR !== 0)
    reasons.note(
      'PARTIAL_SECTOR',
      `The length is not a multiple of ${SECTOR}: the file may be truncated.`,
      device.byteLength - (device.byteLength % SECTOR),
    );
  if (signs.some(({ class: kind }) => kind === 'media') && (has('mbr') || has('gpt')))
    reasons.note('HYBRID_DISC', 'A disc image that also has a partition table, as bootable installation media have.');
  if (has('gpt') && !has('mbr')) reasons.note('GPT_WITHOUT_MBR', 'GPT without a protective MBR: old tools treat the disk as empty.');
  if (has('gpt-backup') && !has('gpt'))
    reasons.note('GPT_BACKUP_ONLY', 'Only the backup GPT is present: tools differ in whether they use it.');
  // A container's header shows no disk: a raw disk has one where its guest wrote it.
  if (signs.every(({ class: kind }) => kind === 'wrapping' || kind === 'container')) judgeUnrecognised(policy, reasons);
  const content = [...new Set(signs.map(({ name }) => name))].join(', ');
  return Promise.resolve({
    capacity: Math.ceil(device.byteLength / SECTOR) * SECTOR,
    examined: 'tables',
    details: content === '' ? {} : { content },
  });
}

function judgeUnrecognised({ unrecognised, guestWritten }: VetPolicy, reasons: Reasons): void {
  const message = 'The file has no sign of being a disk: no partition table, filesystem, boot sector or volume was found.';
  // A guest may empty its disk.
  if (unrecognised || guestWritten) reasons.unrecognised('NOT_RECOGNISED', message);
  else reasons.refuse('NOT_RECOGNISED', message);
}

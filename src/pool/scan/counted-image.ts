/** What the sums of a store count of one image. Units: bytes. */
import type { ScannedImage } from '#wire';

/** An image that could not be read as what it says it is counts as the raw disk that it may be: its commitment is a lower bound. */
export function isLeastKnown({ error, findings }: ScannedImage): boolean {
  return error !== undefined && findings.some(({ code }) => code === 'FORMAT_UNPROVEN');
}

/** Whether no process can write an image, by its row. */
function isUnwritable({ findings }: ScannedImage): boolean {
  return findings.some(({ code }) => code === 'IMAGE_UNWRITABLE');
}

/** Whether the sums count an image with what it holds now. */
export function staysAsItIs(row: ScannedImage): boolean {
  return row.neverWritten !== null || isUnwritable(row);
}

export function countedCommitment(row: ScannedImage): number {
  if (staysAsItIs(row)) return row.allocation ?? 0;
  return row.commitment === null ? 0 : Math.max(row.allocation ?? 0, row.commitment - row.reclaimable);
}

/** What the store's sums count of a row's residual. */
export function countedResidual(row: ScannedImage): number {
  if (staysAsItIs(row)) return 0;
  return Math.max(0, (row.residual ?? 0) - row.reclaimable);
}

/** How far it can grow is unknown. */
export function isUnbounded(row: ScannedImage): boolean {
  return isUnread(row) || (row.commitment === null && !staysAsItIs(row));
}

/** Not read, so that its growth is unknown. */
export function isUnread(row: ScannedImage): boolean {
  return row.error !== undefined && !staysAsItIs(row);
}

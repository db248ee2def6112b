/** The order of risk of images: one for scans and for the daemon, which knows growth as well. */
import type { Outlook, ScannedImage } from '#wire';
import { countedResidual, isUnbounded } from './counted-image.ts';

/** An image of a scan; one of the daemon has a forecast besides. */
export type RankedImage = ScannedImage & { readonly toCommitment?: Outlook };

/**
 * Highest risk at the lowest number, equal ones by the next key: images of unknown growth, then those that reach their commitment
 * soonest, then by residual.
 */
export const RISK_KEYS: readonly ((image: RankedImage) => number)[] = [
  (image) => (isUnbounded(image) ? 0 : 1),
  ({ toCommitment }) => {
    // An image at its commitment cannot grow.
    if (toCommitment === undefined || toCommitment.outcome === 'reached') return Number.POSITIVE_INFINITY;
    return toCommitment.earliest ?? Number.POSITIVE_INFINITY;
  },
  (image) => -countedResidual(image),
];

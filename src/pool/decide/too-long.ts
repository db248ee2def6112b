/** An image that fits the store's sum, and does not fit into one file of its filesystem. */
import { formatBytes } from '#base';
import type { AdmissionDecision } from '#wire';

/** `decision` about one image of at most `bytes` in one file; `largest`: the filesystem's largest new file, undefined for no limit. */
export function withLargestFile(decision: AdmissionDecision, bytes: number, largest: number | undefined): AdmissionDecision {
  if (largest === undefined || bytes <= largest || decision.admitted === false) return decision;
  const message = `${formatBytes(bytes)} do not fit into one file: this filesystem ends a file at ${formatBytes(largest)}.`;
  return { ...decision, admitted: false, message };
}

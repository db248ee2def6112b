/** What comes of one file among many. */
import { asPlimsollError, type PlimsollError } from '#base';
import type { VetReport } from '#wire';

/** What came of one file: a report, or why there is none. */
export type VetOutcome =
  | { readonly path: string | Buffer; readonly report: VetReport; readonly error: null }
  | { readonly path: string | Buffer; readonly report: null; readonly error: PlimsollError };

/** Never throws. */
export async function outcomeOf(path: string | Buffer, vetting: () => Promise<VetReport>): Promise<VetOutcome> {
  try {
    return { path, report: await vetting(), error: null };
  } catch (thrown) {
    return { path, report: null, error: asPlimsollError(thrown, 'vet image', path.toString()) };
  }
}

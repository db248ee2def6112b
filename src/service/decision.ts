/** The decision on a request for space: the one computation for a daemon's stores and for a single scan. */
import type { Assumption } from '#base';
import { admits, explainVerdict, mapsExceed, type StoreFacts, sumOf, withLargestFile } from '#pool';
import type { AdmissionDecision, AdmissionRequest, StoreRules } from '#wire';

/** The facts about a store that a decision rests on. */
export interface DecisionBasis {
  /** With the reservations of others, and with what the request assumes. */
  readonly facts: StoreFacts;
  readonly rules: StoreRules;
  readonly host: string | null;
  /** Maximum length of a new file; undefined: no known limit. */
  readonly largestNewFile: number | undefined;
  readonly scannedAtMs: number;
  /** The declarations that the answer rests on. */
  readonly assumed: (restsOnUsualWrites: boolean) => readonly Assumption[];
}

/** The size of the request, on the store's filesystem. */
export interface SizedFor {
  readonly bytes: number;
  readonly isImage: boolean;
}

export type AdmissionRules = Pick<AdmissionRequest, 'policy' | 'idleShare'>;

export function decideAdmission(
  basis: DecisionBasis,
  { policy, idleShare }: AdmissionRules,
  { bytes, isImage }: SizedFor,
): AdmissionDecision {
  const { facts, rules } = basis;
  const request = { bytes, ...(policy === undefined ? {} : { policy }), ...(idleShare === undefined ? {} : { idleShare }) };
  const sum = sumOf(facts, rules, request);
  const decision: AdmissionDecision = {
    schema: 'plimsoll.admission/1',
    admitted: admits(sum),
    store: facts.store,
    host: basis.host,
    bytes,
    sum,
    message: explainVerdict(sum, facts, bytes),
    assumed: basis.assumed(facts.usualWrites === true && mapsExceed(facts, sum, request)),
    scannedAt: new Date(basis.scannedAtMs).toISOString(),
    reservation: null,
  };
  return isImage ? withLargestFile(decision, bytes, basis.largestNewFile) : decision;
}

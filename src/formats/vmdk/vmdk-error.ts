/** Errors of the VMDK parser, in one shape. */
import { type ErrorKind, type ErrorValue, PlimsollError } from '#base';

export type WrongKind = Extract<ErrorKind, 'corrupt' | 'unsupported' | 'refused' | 'over-budget'>;

export interface Place {
  readonly doing: string;
  readonly field: string;
  readonly at: number;
}

/** Every code of this folder is written out at a call of this function. */
export function vmdkError(kind: WrongKind, code: string, place: Place, found: ErrorValue, expected: string): PlimsollError {
  return new PlimsollError(kind, code, { ...place, found, expected });
}

/** What every part of the VHDX parser says when it finds something wrong. */
import { type ErrorKind, type ErrorValue, PlimsollError } from '#base';

/** Where it was found: what was read, the field in the specification's words, and the byte of the file. */
export interface Place {
  readonly doing: string;
  readonly field: string;
  readonly at: number;
}

export function vhdxError(kind: ErrorKind, code: string, place: Place, found: ErrorValue, expected: string): PlimsollError {
  return new PlimsollError(kind, code, { ...place, found, expected });
}

/** An offset as errors show it. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** Bytes as Latin-1 text: signatures. */
export function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Validates the admission form: produces a request or a list of errors. Pure. */
import { PlimsollError, parseSize } from '#base';
import { type AdmissionRequest, POLICIES, type Policy, type ReservationRequest } from '#wire';
import { parseDuration } from './durations.ts';

export interface AdmissionFields {
  readonly store: string;
  readonly format: string;
  readonly size: string;
  readonly options: string;
  /** Empty: the store's own policy. */
  readonly policy: string;
  /** Percent, for the policy `entitled`. */
  readonly idleShare: string;
}

export interface ReservationFields {
  readonly key: string;
  readonly ttl: string;
  readonly path: string;
  readonly overcommit: boolean;
}

export type Wrong<F> = Partial<Record<keyof F, string>>;
export type Parsed<T, F> = { readonly request: T } | { readonly wrong: Wrong<F> };

/** The request described by the form, or a message for each invalid field. */
export function parseAdmission(fields: AdmissionFields): Parsed<AdmissionRequest, AdmissionFields> {
  const wrong: Wrong<AdmissionFields> = {};
  if (fields.store === '') wrong.store = 'Choose a store';
  const capacity = sizeOf(fields.size, wrong);
  const policy = (POLICIES as readonly string[]).includes(fields.policy) ? (fields.policy as Policy) : undefined;
  const share = Number(fields.idleShare);
  if (policy === 'entitled' && !(fields.idleShare.trim() !== '' && share >= 0 && share <= 100)) {
    wrong.idleShare = 'Enter a share of the residual between 0 and 100 percent';
  }
  if (capacity === undefined || Object.keys(wrong).length > 0) return { wrong };
  const options = fields.options.trim();
  return {
    request: {
      store: fields.store,
      image: { format: fields.format === 'raw' ? 'raw' : 'qcow2', capacity, ...(options === '' ? {} : { options }) },
      ...(policy === undefined ? {} : { policy }),
      ...(policy === 'entitled' ? { idleShare: share / 100 } : {}),
    },
  };
}

function sizeOf(text: string, wrong: Wrong<AdmissionFields>): number | undefined {
  try {
    const bytes = parseSize(text, 'the size');
    if (bytes > 0) return bytes;
    wrong.size = 'Enter a size above 0, such as 40G';
  } catch (error) {
    if (!(error instanceof PlimsollError)) throw error;
    wrong.size = text.trim() === '' ? 'Enter a size, such as 40G' : error.message;
  }
  return undefined;
}

/** The reservation for the checked request, or a message for each invalid field. */
export function parseReservation(asked: AdmissionRequest, fields: ReservationFields): Parsed<ReservationRequest, ReservationFields> {
  const wrong: Wrong<ReservationFields> = {};
  const ttlSeconds = parseDuration(fields.ttl);
  const key = fields.key.trim();
  const path = fields.path.trim();
  if (key === '') wrong.key = 'Enter a key, with which to release it';
  if (ttlSeconds === undefined) wrong.ttl = 'Enter a duration, such as 15m, 2h or 1d';
  if (path !== '' && !path.startsWith('/')) wrong.path = 'Enter an absolute path, or leave it empty';
  if (ttlSeconds === undefined || Object.keys(wrong).length > 0) return { wrong };
  return {
    request: { ...asked, key, ttlSeconds, ...(path === '' ? {} : { path }), ...(fields.overcommit ? { overcommit: true } : {}) },
  };
}

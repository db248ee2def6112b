/** The bytes of a request for space: given, or the commitment of the new image that it describes. */
import type { StorageRules } from '#block';
import { PlimsollError } from '#base';
import { commitmentOfNew, type CreateOptions, parseCreateOptions, plannedTables } from '#create';
import type { AdmissionRequest } from '#wire';

/**
 * Maximum of the preallocated L2 tables of a requested image: each is placed separately, which must not delay other requests.
 * 16 TiB at clusters of 64 KiB.
 */
const MAX_PLANNED_TABLES = 2 ** 15;

/** A request whose image was checked, so that only the rules of the filesystem are missing. */
export interface RequestedSize {
  /** It is for one image, which must fit into one file. */
  readonly isImage: boolean;
  /** On a filesystem that allocates storage by `rules`. */
  readonly bytesOn: (rules: StorageRules) => number;
}

/** Throws: usage, ADMISSION_WHAT, and others for the options of the image; over-budget, PLAN_TOO_LARGE. */
export function requestedSize({ bytes, image }: Pick<AdmissionRequest, 'bytes' | 'image'>): RequestedSize {
  if (bytes !== undefined && image === undefined) return { isImage: false, bytesOn: () => bytes };
  if (bytes === undefined && image !== undefined) return imageSize(image);
  throw new PlimsollError('usage', 'ADMISSION_WHAT', {
    doing: 'parse request',
    found: bytes === undefined ? 'neither bytes nor image' : 'both bytes and image',
    expected: 'exactly one of bytes and image',
  });
}

function imageSize({ format, capacity, options }: NonNullable<AdmissionRequest['image']>): RequestedSize {
  const parsed = parseCreateOptions(format, options === undefined ? [] : [options]);
  requireFewTables(parsed, capacity);
  // Invalid capacities and options are reported before a store is scanned for them.
  commitmentOfNew(format, capacity, parsed);
  return { isImage: true, bytesOn: (rules) => commitmentOfNew(format, capacity, parsed, { rules, isOwn: false }) };
}

function requireFewTables(options: CreateOptions, capacity: number): void {
  const tables = plannedTables(options, capacity);
  if (tables <= MAX_PLANNED_TABLES) return;
  throw new PlimsollError('over-budget', 'PLAN_TOO_LARGE', {
    doing: 'compute the commitment of the image',
    found: `${tables} preallocated tables`,
    expected: `at most ${MAX_PLANNED_TABLES}; compute it with plimsoll measure, and request bytes`,
  });
}

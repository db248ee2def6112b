/** What a site accepts from strangers. */
import { MiB, PlimsollError } from '#base';
import { IMAGE_FORMATS, type ImageFormat } from '#wire';

/** For each format that is read: whether it can be accepted. The compiler requires a decision, and an inspector where it is yes. */
const CAN_BE_ACCEPTED = {
  raw: true,
  qcow2: true,
  vmdk: true,
  vhd: true,
  vhdx: true,
  vdi: true,
  qed: false,
  qcow: false,
  luks: false,
} as const satisfies Record<ImageFormat, boolean>;

export type VetFormat = { [Format in ImageFormat]: (typeof CAN_BE_ACCEPTED)[Format] extends true ? Format : never }[ImageFormat];

/** Formats that can be accepted: those that have an inspector. */
export const VET_FORMATS: readonly VetFormat[] = IMAGE_FORMATS.filter((format): format is VetFormat => CAN_BE_ACCEPTED[format]);

export interface VetPolicy {
  readonly formats: readonly VetFormat[];
  /** Formats that may be attached to a guest; every other accepted format may only be converted. */
  readonly attach: readonly VetFormat[];
  /** Whether a raw file without any sign of a disk is accepted. */
  readonly unrecognised: boolean;
  /** Whether a guest has run on the image: what a disk declared raw begins or ends with is then noted, not refused. */
  readonly guestWritten: boolean;
  /** Largest capacity in bytes; null: any. */
  readonly maxCapacity: number | null;
  /** Longest file in bytes; null: any. A stream is not read further. */
  readonly maxLength: number | null;
  /** Largest capacity for each byte of length; null: any, since an empty disk of any size is a small file. */
  readonly maxRatio: number | null;
  /** Memory in bytes that QEMU may allocate because the image tells it to, at the open and in `qemu-img check`; null: any. */
  readonly maxQemuMemory: number | null;
  /** Whether the image may name other files that belong to it: a backing file or a parent. */
  readonly chains: boolean;
  readonly snapshots: boolean;
  readonly encryption: boolean;
  readonly bitmaps: boolean;
}

/** Safe for an upload: one file, nothing outside of it, nothing in it that cannot be looked at. */
export const DEFAULT_POLICY: VetPolicy = {
  formats: VET_FORMATS,
  attach: ['raw', 'qcow2'],
  unrecognised: true,
  guestWritten: false,
  maxCapacity: null,
  maxLength: null,
  maxRatio: null,
  maxQemuMemory: 256 * MiB,
  chains: false,
  snapshots: true,
  encryption: false,
  bitmaps: true,
};

/** More internal snapshots than this are refused under any policy: only listing them takes other tools seconds. */
export const MAX_SNAPSHOTS = 1024;

const BYTES: readonly [string, (value: unknown) => boolean] = [
  'a whole number of bytes, or null',
  (value) => value === null || (Number.isSafeInteger(value) && (value as number) > 0),
];

const isListOfFormats = (value: unknown): boolean =>
  Array.isArray(value) && value.every((one) => (VET_FORMATS as readonly unknown[]).includes(one));

const CHECKS: { readonly [K in keyof VetPolicy]: readonly [expected: string, isSound: (value: unknown) => boolean] } = {
  formats: [`a list of ${VET_FORMATS.join(', ')}`, (value) => isListOfFormats(value) && (value as readonly unknown[]).length > 0],
  attach: [`a list of ${VET_FORMATS.join(', ')}`, isListOfFormats],
  unrecognised: ['true or false', isBoolean],
  guestWritten: ['true or false', isBoolean],
  maxCapacity: BYTES,
  maxLength: BYTES,
  maxRatio: ['a number above 0, or null', (value) => value === null || (Number.isFinite(value) && (value as number) > 0)],
  maxQemuMemory: BYTES,
  chains: ['true or false', isBoolean],
  snapshots: ['true or false', isBoolean],
  encryption: ['true or false', isBoolean],
  bitmaps: ['true or false', isBoolean],
};

function isBoolean(value: unknown): boolean {
  return typeof value === 'boolean';
}

/**
 * The policy that `value`, parsed JSON, describes: what it leaves out is as in DEFAULT_POLICY.
 *
 * Throws: usage (an unknown key, a value of the wrong kind): a misspelt rule must not be a rule less.
 */
export function parsePolicy(value: unknown): VetPolicy {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badPolicy('policy', value, 'a JSON object');
  for (const [key, given] of Object.entries(value)) {
    if (!Object.hasOwn(CHECKS, key)) throw badPolicy(key, 'an unknown key', `one of ${Object.keys(CHECKS).join(', ')}`);
    const [expected, isSound] = CHECKS[key as keyof VetPolicy];
    if (!isSound(given)) throw badPolicy(key, given, expected);
  }
  return { ...DEFAULT_POLICY, ...value };
}

function badPolicy(field: string, found: unknown, expected: string): PlimsollError {
  return new PlimsollError('usage', 'VET_POLICY', {
    doing: 'read policy',
    field,
    found: (typeof found === 'string' ? found : JSON.stringify(found)).slice(0, 100),
    expected,
  });
}

/** The segments of a LUKS2 volume: which bytes of the file are its disk. Source: LUKS2 1.1.4, 3.3, "Segments Object". */
import type { LuksHeader } from './header.ts';

type Disk = Pick<LuksHeader, 'capacity' | 'payloadOffset' | 'cipher'>;

/** A volume has one segment; two or three while it is encrypted anew. */
const MAX_SEGMENTS = 32;
const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;

/** The disk that the JSON text in `area` describes, in a file of `fileLength` bytes; or what is wrong with it. */
export function segmentsOf(area: Uint8Array, fileLength: number): Disk | string {
  const end = area.indexOf(0);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(end < 0 ? area : area.subarray(0, end)));
  } catch {
    return 'a text that is not JSON';
  }
  const segments = recordOf(recordOf(value)?.['segments']);
  if (segments === undefined) return 'a text without segments';
  const all = Object.values(segments).map(recordOf);
  if (all.length > MAX_SEGMENTS) return `${all.length} segments`;
  // Those of a re-encryption that describe the time before or after it.
  const current = all.filter((one) => !flagsOf(one).some((flag) => flag.startsWith('backup-')));
  let capacity = 0;
  let payloadOffset = fileLength;
  let cipher: string | undefined;
  for (const segment of current) {
    const offset = decimal(segment?.['offset']);
    if (offset === undefined || offset > fileLength) return 'a segment outside of the file';
    const size = segment?.['size'] === 'dynamic' ? fileLength - offset : decimal(segment?.['size']);
    if (size === undefined || offset + size > fileLength) return 'a segment outside of the file';
    capacity += size;
    payloadOffset = Math.min(payloadOffset, offset);
    const encryption = segment?.['encryption'];
    if (typeof encryption === 'string') cipher ??= encryption.slice(0, 64);
  }
  if (current.length === 0 || !Number.isSafeInteger(capacity)) return 'segments without a disk';
  return { capacity, payloadOffset, cipher: cipher ?? 'none' };
}

/** A number of bytes, which LUKS2 writes as text. */
function decimal(value: unknown): number | undefined {
  if (typeof value !== 'string' || !DECIMAL.test(value)) return undefined;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

function flagsOf(segment: Readonly<Record<string, unknown>> | undefined): string[] {
  const flags = segment?.['flags'];
  return Array.isArray(flags) ? flags.filter((flag): flag is string => typeof flag === 'string') : [];
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
}

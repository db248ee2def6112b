/** The VHDX file identifier and the two headers; checked. Source: [MS-VHDX] 2.2.1 and 2.2.2. */
import { crc32c } from '#codec';
import { guidText, NO_GUID } from './guid.ts';
import { FILE_IDENTIFIER, FILE_SIGNATURE, HEADER, HEADER_OFFSETS, HEADER_SECTION_BYTES, UNIT_BYTES } from './layout.ts';
import { hex, latin1, type Place, vhdxError } from './error.ts';

const DOING = 'read VHDX header';

/** The current one of the two headers. Its log, empty or not, lies inside the file. */
export interface Header {
  readonly creator: string;
  readonly sequenceNumber: bigint;
  /** Changes whenever the file is written, and whenever what the guest sees is. */
  readonly fileWriteGuid: string;
  readonly dataWriteGuid: string;
  /** Undefined where there is no log to replay. */
  readonly logGuid: string | undefined;
  readonly logOffset: number;
  readonly logLength: number;
}

/** Whether these first bytes of a file carry the VHDX signature. */
export function hasSignature(prefix: Uint8Array): boolean {
  return prefix.byteLength >= FILE_SIGNATURE.length && latin1(prefix.subarray(0, FILE_SIGNATURE.length)) === FILE_SIGNATURE;
}

/**
 * The checked header in `section`, the file's first bytes up to the end of the second header at least.
 *
 * Of two valid headers the one with the higher sequence number is current. Two equal numbers are an error unless the
 * headers are the same to the letter: Disk2vhd writes such.
 * Throws: corrupt (signature, no valid header, a log outside of the file), unsupported (version).
 */
export function parseHeader(section: Uint8Array, fileLength: number): Header {
  const view = new DataView(section.buffer, section.byteOffset, section.byteLength);
  if (!hasSignature(section)) {
    throw vhdxError('corrupt', 'VHDX_SIGNATURE', place('Signature', 0), latin1(section.subarray(0, 8)), FILE_SIGNATURE);
  }
  const identifier = FILE_IDENTIFIER.read(view);
  const { at } = currentHeader(section, view);
  const record = HEADER.read(view, at);
  if (record.version !== 1) throw vhdxError('unsupported', 'VHDX_VERSION', place('Version', at + 66), record.version, '1');
  if (record.logVersion !== 0) throw vhdxError('unsupported', 'VHDX_VERSION', place('LogVersion', at + 64), record.logVersion, '0');
  const { logOffset, logLength } = record;
  checkLogPlace(at, logOffset, logLength, fileLength);
  const logGuid = guidText(record.logGuid);
  return {
    creator: creatorText(identifier.creator),
    sequenceNumber: record.sequenceNumber,
    fileWriteGuid: guidText(record.fileWriteGuid),
    dataWriteGuid: guidText(record.dataWriteGuid),
    logGuid: logGuid === NO_GUID ? undefined : logGuid,
    logOffset,
    logLength,
  };
}

interface Candidate {
  readonly at: number;
  readonly sequenceNumber: bigint;
}

function currentHeader(section: Uint8Array, view: DataView): Candidate {
  const [first, second] = HEADER_OFFSETS.map((at) => candidate(section, view, at));
  if (first !== undefined && second !== undefined) {
    const [one, other] = [first.sequenceNumber, second.sequenceNumber];
    if (one !== other) return one > other ? first : second;
    const same = crcOfHeader(section, first.at) === crcOfHeader(section, second.at) && sameBytes(section, first.at, second.at);
    if (same) return first;
    throw vhdxError('corrupt', 'VHDX_HEADERS', place('SequenceNumber', first.at + 8), one, 'another number than in the second header');
  }
  const only = first ?? second;
  if (only !== undefined) return only;
  throw vhdxError('corrupt', 'VHDX_HEADERS', place('headers', HEADER_OFFSETS[0]), 'none valid', 'one with a valid signature and checksum');
}

/** A header with signature and checksum right. */
function candidate(section: Uint8Array, view: DataView, at: number): Candidate | undefined {
  if (latin1(section.subarray(at, at + 4)) !== 'head' || section.byteLength < at + HEADER.byteLength) return undefined;
  return view.getUint32(at + 4, true) === crcOfHeader(section, at)
    ? { at, sequenceNumber: view.getBigUint64(at + HEADER.fields.sequenceNumber.at, true) }
    : undefined;
}

function crcOfHeader(section: Uint8Array, at: number): number {
  return crcWithoutChecksum(section.subarray(at, at + HEADER.byteLength));
}

const NO_CHECKSUM = new Uint8Array(4);

/** The checksum of a structure whose own checksum, bytes 4 to 7, counts as zeros. */
export function crcWithoutChecksum(structure: Uint8Array): number {
  return crc32c(structure.subarray(8), crc32c(NO_CHECKSUM, crc32c(structure.subarray(0, 4))));
}

function sameBytes(section: Uint8Array, one: number, other: number): boolean {
  for (let at = 0; at < HEADER.byteLength; at += 1) if (section[one + at] !== section[other + at]) return false;
  return true;
}

function checkLogPlace(at: number, logOffset: number, logLength: number, fileLength: number): void {
  const isEmpty = logLength === 0 && logOffset === 0;
  if (isEmpty) return;
  if (logOffset < HEADER_SECTION_BYTES || logOffset % UNIT_BYTES !== 0) {
    throw vhdxError(
      'corrupt',
      'VHDX_LOG_PLACE',
      place('LogOffset', at + 72),
      hex(logOffset),
      'a multiple of 1 MiB behind the header section',
    );
  }
  if (logLength % UNIT_BYTES !== 0)
    throw vhdxError('corrupt', 'VHDX_LOG_PLACE', place('LogLength', at + 68), logLength, 'a multiple of 1 MiB');
  if (logOffset + logLength > fileLength) {
    const found = `${hex(logOffset)} + ${logLength} bytes`;
    throw vhdxError('corrupt', 'VHDX_LOG_PLACE', place('LogOffset', at + 72), found, `inside the file of ${fileLength} bytes`);
  }
}

function creatorText(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-16le').decode(bytes);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function place(field: string, at: number): Place {
  return { doing: DOING, field, at };
}

/** One entry of the log: header, descriptors, data sectors; valid or not. Source: [MS-VHDX] 2.3.1. */
import type { RecordOf } from '#base';
import { guidText } from './guid.ts';
import { crcWithoutChecksum } from './header.ts';
import {
  LOG_DATA_DESCRIPTOR,
  LOG_DATA_SECTOR,
  LOG_DESCRIPTOR_BYTES,
  LOG_ENTRY_HEADER,
  LOG_SECTOR_BYTES,
  LOG_ZERO_DESCRIPTOR,
} from './layout.ts';
import { latin1 } from './error.ts';

/** What an entry wants to be written. */
export type Update =
  | { readonly kind: 'zero'; readonly fileOffset: bigint; readonly byteLength: bigint }
  | { readonly kind: 'data'; readonly fileOffset: bigint; readonly sector: Uint8Array };

/** A valid entry. */
export interface LogEntry {
  /** Where in the log it begins. */
  readonly at: number;
  readonly byteLength: number;
  readonly tail: number;
  readonly sequenceNumber: bigint;
  readonly flushedFileOffset: bigint;
  readonly lastFileOffset: bigint;
  readonly descriptorCount: number;
}

type RawEntry = RecordOf<(typeof LOG_ENTRY_HEADER)['fields']>;

/** The header at `at` of the log, if all that it says by itself is right; cheap. */
export function entryHeader(log: Uint8Array, at: number, logGuid: string): RawEntry | undefined {
  if (log[at] !== 0x6c || latin1(log.subarray(at, at + 4)) !== 'loge') return undefined;
  const header = LOG_ENTRY_HEADER.read(new DataView(log.buffer, log.byteOffset, log.byteLength), at);
  const { entryLength, tail, sequenceNumber, descriptorCount } = header;
  const isValid =
    entryLength > 0 &&
    entryLength % LOG_SECTOR_BYTES === 0 &&
    entryLength <= log.byteLength &&
    tail % LOG_SECTOR_BYTES === 0 &&
    tail < log.byteLength &&
    sequenceNumber > 0n &&
    descriptorBytes(descriptorCount) <= entryLength &&
    guidText(header.logGuid) === logGuid;
  return isValid ? header : undefined;
}

/** Bytes of header and descriptors, in whole sectors; data sectors follow. */
function descriptorBytes(descriptorCount: number): number {
  const bytes = LOG_ENTRY_HEADER.byteLength + descriptorCount * LOG_DESCRIPTOR_BYTES;
  return Math.ceil(bytes / LOG_SECTOR_BYTES) * LOG_SECTOR_BYTES;
}

/** The entry whose header was valid, if its checksum, descriptors and data sectors are too. `bytes`: all of it, unwrapped. */
export function checkEntry(bytes: Uint8Array, at: number, header: RawEntry): LogEntry | undefined {
  if (crcWithoutChecksum(bytes) !== header.checksum) return undefined;
  const { tail, sequenceNumber, flushedFileOffset, lastFileOffset, descriptorCount } = header;
  const entry = { at, byteLength: bytes.byteLength, tail, sequenceNumber, flushedFileOffset, lastFileOffset, descriptorCount };
  // Walked once for its checks; what is valid is walked again when it is replayed.
  for (const update of walk(bytes, entry)) if (update === undefined) return undefined;
  return entry;
}

/** The updates of a valid entry, in order. */
export function* updates(bytes: Uint8Array, entry: LogEntry): Generator<Update> {
  for (const update of walk(bytes, entry)) if (update !== undefined) yield update;
}

/** The updates; undefined for one that is not valid, which is the last then. */
function* walk(bytes: Uint8Array, { descriptorCount, sequenceNumber }: LogEntry): Generator<Update | undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sectorBytes = BigInt(LOG_SECTOR_BYTES);
  let sectorAt = descriptorBytes(descriptorCount);
  for (let index = 0; index < descriptorCount; index += 1) {
    const at = LOG_ENTRY_HEADER.byteLength + index * LOG_DESCRIPTOR_BYTES;
    const zero = LOG_ZERO_DESCRIPTOR.read(view, at);
    const signature = latin1(zero.signature);
    const isRight = zero.sequenceNumber === sequenceNumber && zero.fileOffset % sectorBytes === 0n;
    if (isRight && signature === 'zero' && zero.zeroLength % sectorBytes === 0n) {
      yield { kind: 'zero', fileOffset: zero.fileOffset, byteLength: zero.zeroLength };
      continue;
    }
    const sector = isRight && signature === 'desc' ? dataSector(view, at, sectorAt, sequenceNumber) : undefined;
    if (sector === undefined) {
      yield undefined;
      return;
    }
    sectorAt += LOG_SECTOR_BYTES;
    yield { kind: 'data', fileOffset: zero.fileOffset, sector };
  }
}

function dataSector(view: DataView, descriptorAt: number, at: number, sequenceNumber: bigint): Uint8Array | undefined {
  if (at + LOG_SECTOR_BYTES > view.byteLength) return undefined;
  const { leadingBytes, trailingBytes } = LOG_DATA_DESCRIPTOR.read(view, descriptorAt);
  const { signature, sequenceHigh, sequenceLow, data } = LOG_DATA_SECTOR.read(view, at);
  const sequence = BigInt(sequenceHigh) * 0x100000000n + BigInt(sequenceLow);
  if (latin1(signature) !== 'data' || sequence !== sequenceNumber) return undefined;
  const sector = new Uint8Array(LOG_SECTOR_BYTES);
  sector.set(leadingBytes, 0);
  sector.set(data, 8);
  sector.set(trailingBytes, LOG_SECTOR_BYTES - 4);
  return sector;
}

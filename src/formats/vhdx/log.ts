/**
 * The log: its active sequence, replayed in memory. Nothing is ever written: what the sequence would change in the file
 * is laid over it. Source: [MS-VHDX] 2.3.2 (log sequence) and 2.3.3 (log replay).
 */
import { roundUp } from '#base';
import { type ReadableDevice, readExactly } from '#block';
import type { Header } from './header.ts';
import { HEADERS_END, LIMITS, LOG_SECTOR_BYTES, UNIT_BYTES } from './layout.ts';
import { checkEntry, entryHeader, type LogEntry, updates } from './log-entry.ts';
import { Overlay } from './overlay.ts';
import { hex, type Place, vhdxError } from './error.ts';

const DOING = 'replay VHDX log';

/** What was replayed. */
export interface ReplayedLog {
  readonly entryCount: number;
  /** The file as it will be when the log is replayed in it. */
  readonly overlay: Overlay;
}

/**
 * The file with its log replayed in memory; undefined where there is nothing to replay.
 *
 * Bounds: the log is at most 64 MiB and inside the file; it is read once, and checksums cover it a few times at the most.
 * Throws: corrupt (no valid sequence, one that writes where none may, a file shorter than the log knows), over-budget.
 */
export async function replayLog(device: ReadableDevice, header: Header): Promise<ReplayedLog | undefined> {
  const { logGuid, logOffset, logLength } = header;
  if (logGuid === undefined) return undefined;
  if (logLength > LIMITS.logBytes) {
    throw vhdxError('over-budget', 'VHDX_LOG_SIZE', place('LogLength', logOffset), logLength, `at most ${LIMITS.logBytes} bytes to replay`);
  }
  // The log, and the entries that wrap around its end or are laid over the file.
  device.memory?.take(2 * logLength);
  const log = new Log(await readExactly(device, logOffset, logLength, 'VHDX_TRUNCATED', 'read VHDX log'), logOffset, logGuid);
  const sequence = log.activeSequence();
  return { entryCount: sequence.length, overlay: overlayOf(device, log, sequence, header) };
}

/** The log's bytes, taken for a ring. */
class Log {
  readonly fileOffset: number;
  readonly #bytes: Uint8Array;
  readonly #logGuid: string;
  #checksumBytes: number;
  #descriptors: number;

  constructor(bytes: Uint8Array, fileOffset: number, logGuid: string) {
    this.#bytes = bytes;
    this.fileOffset = fileOffset;
    this.#logGuid = logGuid;
    this.#checksumBytes = LIMITS.logChecksumRatio * bytes.byteLength;
    this.#descriptors = LIMITS.logChecksumRatio * (bytes.byteLength / LOG_SECTOR_BYTES + LIMITS.logZeroDescriptors);
  }

  /** The bytes of an entry, in one piece even where it goes on at the log's beginning. */
  entryBytes(at: number, byteLength: number): Uint8Array {
    const behind = at + byteLength - this.#bytes.byteLength;
    if (behind <= 0) return this.#bytes.subarray(at, at + byteLength);
    const whole = new Uint8Array(byteLength);
    whole.set(this.#bytes.subarray(at), 0);
    whole.set(this.#bytes.subarray(0, behind), byteLength - behind);
    return whole;
  }

  /**
   * The entries from the tail to the head of the active sequence: of all sequences that hold the tail their head names,
   * the one whose head has the highest sequence number.
   */
  activeSequence(): LogEntry[] {
    const entries = this.#validEntries();
    const next = (entry: LogEntry): LogEntry | undefined => {
      const following = entries.get((entry.at + entry.byteLength) % this.#bytes.byteLength);
      return following?.sequenceNumber === entry.sequenceNumber + 1n ? following : undefined;
    };
    let active: LogEntry[] = [];
    for (const head of entries.values()) {
      const highest = active.at(-1)?.sequenceNumber ?? 0n;
      if (next(head) !== undefined || head.sequenceNumber < highest) continue;
      const sequence = sequenceTo(head, entries, next);
      if (sequence === undefined) continue;
      if (head.sequenceNumber === highest) {
        throw vhdxError('corrupt', 'VHDX_LOG', this.#place('SequenceNumber', head.at), highest, 'one sequence with the highest number');
      }
      active = sequence;
    }
    if (active.length > 0) return active;
    throw vhdxError(
      'corrupt',
      'VHDX_LOG',
      this.#place('entries', 0),
      'no valid sequence of entries',
      'one, since LogGuid says there is a log',
    );
  }

  /** Each sector where a valid entry begins. */
  #validEntries(): Map<number, LogEntry> {
    const entries = new Map<number, LogEntry>();
    for (let at = 0; at < this.#bytes.byteLength; at += LOG_SECTOR_BYTES) {
      const header = entryHeader(this.#bytes, at, this.#logGuid);
      if (header === undefined) continue;
      this.#spend(header.entryLength, header.descriptorCount, at);
      const entry = checkEntry(this.entryBytes(at, header.entryLength), at, header);
      if (entry !== undefined) entries.set(at, entry);
    }
    return entries;
  }

  /** Entries may overlap: one is begun in each sector, and each says that it fills the log. No writer makes such. */
  #spend(entryLength: number, descriptorCount: number, at: number): void {
    this.#checksumBytes -= entryLength;
    this.#descriptors -= descriptorCount;
    if (this.#checksumBytes >= 0 && this.#descriptors >= 0) return;
    const found = `${entryLength} bytes and ${descriptorCount} descriptors more`;
    const expected = `entries that do not overlap, in a log of ${this.#bytes.byteLength} bytes`;
    throw vhdxError('over-budget', 'VHDX_LOG_WORK', this.#place('EntryLength', at + 8), found, expected);
  }

  #place(field: string, at: number): Place {
    return place(field, this.fileOffset + at);
  }
}

/** From the tail that `head` names up to it; undefined if that does not lead there. Ends: sequence numbers ascend. */
function sequenceTo(
  head: LogEntry,
  entries: ReadonlyMap<number, LogEntry>,
  next: (entry: LogEntry) => LogEntry | undefined,
): LogEntry[] | undefined {
  const sequence: LogEntry[] = [];
  for (let entry = entries.get(head.tail); entry !== undefined; entry = next(entry)) {
    sequence.push(entry);
    if (entry === head) return sequence;
  }
  return undefined;
}

/** Later updates win: the newest is looked at first, and what it covers is not touched again. */
function overlayOf(device: ReadableDevice, log: Log, sequence: readonly LogEntry[], header: Header): Overlay {
  const fileLength = replayedLength(device, log, sequence);
  const overlay = new Overlay(device, fileLength);
  let zeroDescriptors = 0;
  for (const entry of [...sequence].reverse()) {
    for (const update of [...updates(log.entryBytes(entry.at, entry.byteLength), entry)].reverse()) {
      const byteLength = update.kind === 'zero' ? update.byteLength : BigInt(LOG_SECTOR_BYTES);
      const end = update.fileOffset + byteLength;
      const isOnLog = update.fileOffset < BigInt(header.logOffset + header.logLength) && end > BigInt(header.logOffset);
      if (update.fileOffset < BigInt(HEADERS_END) || isOnLog || end > BigInt(fileLength)) {
        const expected = `inside the file of ${fileLength} bytes, not on headers or log`;
        const found = `${hex(update.fileOffset)} + ${byteLength} bytes`;
        throw vhdxError('corrupt', 'VHDX_LOG', place('FileOffset', log.fileOffset + entry.at), found, expected);
      }
      if (update.kind === 'data') overlay.addSector(Number(update.fileOffset), update.sector);
      else {
        zeroDescriptors += 1;
        if (zeroDescriptors > LIMITS.logZeroDescriptors) {
          const expected = `at most ${LIMITS.logZeroDescriptors} runs of zeros`;
          throw vhdxError('over-budget', 'VHDX_LOG_WORK', place('DescriptorCount', log.fileOffset + entry.at), zeroDescriptors, expected);
        }
        overlay.addZeros(Number(update.fileOffset), Number(update.byteLength));
      }
    }
  }
  return overlay;
}

/** How long the file is once the log is replayed: it holds all structures that the log knows of, in whole MiB. */
function replayedLength(device: ReadableDevice, log: Log, sequence: readonly LogEntry[]): number {
  let length = device.byteLength;
  for (const { at, flushedFileOffset, lastFileOffset } of sequence) {
    if (flushedFileOffset > BigInt(device.byteLength)) {
      const expected = `at most the file's length ${device.byteLength}: it was cut off`;
      throw vhdxError('corrupt', 'VHDX_LOG', place('FlushedFileOffset', log.fileOffset + at + 48), flushedFileOffset, expected);
    }
    if (lastFileOffset > BigInt(LIMITS.fileBytes)) {
      const expected = `at most ${LIMITS.fileBytes}`;
      throw vhdxError('corrupt', 'VHDX_LOG', place('LastFileOffset', log.fileOffset + at + 56), lastFileOffset, expected);
    }
    if (Number(lastFileOffset) > length) length = roundUp(Number(lastFileOffset), UNIT_BYTES);
  }
  return length;
}

function place(field: string, at: number): Place {
  return { doing: DOING, field, at };
}

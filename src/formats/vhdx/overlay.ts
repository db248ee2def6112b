/** A file with sectors laid over it: what the replay of a log would write. */
import { type Range, roundDown } from '#base';
import type { BlockDevice, TableMemory } from '#block';
import { LOG_SECTOR_BYTES } from './layout.ts';

/**
 * A device over a file that may be longer than it; bytes behind the file's end are zeros.
 *
 * Sectors and zeros are added newest first: what is covered already stays.
 */
export class Overlay implements BlockDevice {
  readonly byteLength: number;
  readonly memory: TableMemory | undefined;
  readonly #file: BlockDevice;
  readonly #sectors = new Map<number, Uint8Array>();
  readonly #zeros: Range[] = [];

  constructor(file: BlockDevice, byteLength: number) {
    this.#file = file;
    this.memory = file.memory;
    this.byteLength = byteLength;
  }

  /** `sector` at `fileOffset`, a multiple of 4 KiB. */
  addSector(fileOffset: number, sector: Uint8Array): void {
    if (this.#sectors.has(fileOffset)) return;
    if (this.#zeros.some(({ start, end }) => start <= fileOffset && fileOffset < end)) return;
    this.#sectors.set(fileOffset, sector);
  }

  addZeros(fileOffset: number, byteLength: number): void {
    if (byteLength > 0) this.#zeros.push({ start: fileOffset, end: fileOffset + byteLength });
  }

  /** The bytes that the replay will write, unordered; runs may overlap. */
  writtenRuns(): Range[] {
    return [...this.#zeros, ...[...this.#sectors.keys()].map((start) => ({ start, end: start + LOG_SECTOR_BYTES }))];
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const end = Math.min(offset + length, this.byteLength);
    if (end <= offset) return new Uint8Array(0);
    const given = into !== undefined && into.byteLength >= end - offset ? into : new Uint8Array(end - offset);
    const bytes = given.subarray(0, end - offset);
    const stored = Math.max(0, Math.min(end, this.#file.byteLength) - offset);
    const read = stored === 0 ? new Uint8Array(0) : await this.#file.read(offset, stored, bytes);
    // A file that shrank meanwhile: the caller asked for more and is told so.
    if (read.byteLength < stored) return read;
    if (read.buffer !== bytes.buffer || read.byteOffset !== bytes.byteOffset) bytes.set(read);
    bytes.fill(0, stored);
    this.#layOver(bytes, offset, end);
    return bytes;
  }

  #layOver(bytes: Uint8Array, offset: number, end: number): void {
    for (const zeros of this.#zeros) {
      if (zeros.start < end && zeros.end > offset) bytes.fill(0, Math.max(0, zeros.start - offset), Math.min(end, zeros.end) - offset);
    }
    if (this.#sectors.size === 0) return;
    for (let at = roundDown(offset, LOG_SECTOR_BYTES); at < end; at += LOG_SECTOR_BYTES) {
      const sector = this.#sectors.get(at);
      if (sector === undefined) continue;
      const from = Math.max(0, offset - at);
      bytes.set(sector.subarray(from, Math.min(LOG_SECTOR_BYTES, end - at)), at + from - offset);
    }
  }
}

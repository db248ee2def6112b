/** A file with sectors laid over it: what the replay of a log would write. */
import { type Range, roundDown } from '#base';
import type { Extent, ReadableDevice, ReadOptions, TableMemory } from '#block';
import { LOG_SECTOR_BYTES } from './layout.ts';

/**
 * A device over a file that may be longer than it; bytes behind the file's end are zeros.
 *
 * Sectors and zeros are added newest first: what is covered already stays.
 */
export class Overlay implements ReadableDevice {
  readonly byteLength: number;
  readonly memory: TableMemory | undefined;
  readonly #file: ReadableDevice;
  readonly #sectors = new Map<number, Uint8Array>();
  readonly #zeros: Range[] = [];

  constructor(file: ReadableDevice, byteLength: number) {
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

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    const end = Math.min(offset + target.byteLength, this.byteLength);
    if (end <= offset) return 0;
    const bytes = target.subarray(0, end - offset);
    const stored = Math.max(0, Math.min(end, this.#file.byteLength) - offset);
    const count = stored === 0 ? 0 : await this.#file.read(bytes.subarray(0, stored), offset, options);
    // A file that shrank meanwhile ends here, too.
    if (count < stored) return count;
    bytes.fill(0, stored);
    this.#layOver(bytes, offset, end);
    return bytes.byteLength;
  }

  /** The file, of which only the bytes matter here, is one extent. */
  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    options?.signal?.throwIfAborted();
    const end = Math.min(offset + length, this.byteLength);
    if (offset < end) yield { start: offset, end, status: 'data', depth: 0, compressed: false, fileOffset: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
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

/** Copy on write in memory: a device that can be written while the one below stays as it is, for dry runs and tests. */
import { PlimsollError, type Range, RangeSet, roundDown } from '#base';
import { type Extent, type ReadableDevice, readableDevice, type ReadOptions, type WritableDevice } from '../device.ts';

/** Written bytes are kept in pieces of this size. */
const PIECE_BYTES = 4096;

export interface OverlayOptions {
  /** Left out: as long as the device below. Bytes past the end of that are zeros. */
  readonly byteLength?: number;
  /** Memory that written bytes may take. Exceeding it rejects the write: over-budget OVERLAY_MEMORY. */
  readonly mostBytes?: number;
}

/** `device` under an overlay that takes all writes. `flush` keeps them in memory; nothing reaches the device. */
export function overlayDevice(device: ReadableDevice, options: OverlayOptions = {}): WritableDevice {
  return new Overlay(device, options.byteLength ?? device.byteLength, options.mostBytes ?? Infinity);
}

class Overlay implements WritableDevice {
  readonly byteLength: number;
  readonly limits = { blockSize: 1, canDiscard: true, canWriteZeroes: true };
  readonly #below: ReadableDevice;
  readonly #mostBytes: number;
  readonly #pieces = new Map<number, Uint8Array>();
  /** Bytes whose content is in the pieces. */
  readonly #written = new RangeSet();
  /** Bytes that are zeros, whatever is below. */
  readonly #zeroed = new RangeSet();

  constructor(below: ReadableDevice, byteLength: number, mostBytes: number) {
    this.#below = below;
    this.byteLength = byteLength;
    this.#mostBytes = mostBytes;
  }

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    options?.signal?.throwIfAborted();
    const length = Math.max(0, Math.min(target.byteLength, this.byteLength - offset));
    const bytes = target.subarray(0, length);
    const fromBelow = length === 0 ? 0 : await this.#below.read(bytes, offset, options);
    bytes.fill(0, fromBelow);
    for (const { start, end } of this.#zeroed.intersect(offset, offset + length)) bytes.fill(0, start - offset, end - offset);
    for (const { start, end } of this.#written.intersect(offset, offset + length))
      for (const { at, memory } of this.#memoryOf(start, end)) bytes.set(memory, at - offset);
    return length;
  }

  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    options?.signal?.throwIfAborted();
    const end = Math.min(offset + length, this.byteLength);
    let at = offset;
    while (at < end) {
      const [zero] = this.#zeroed.intersect(at, end);
      const [data] = this.#written.intersect(at, end);
      const next = Math.min(zero?.start ?? end, data?.start ?? end);
      if (next > at) yield* this.#extentsBelow(at, next, options);
      if (next === end) return;
      const own = next === zero?.start ? zero : (data as Range);
      const status = own === zero ? 'zero' : 'data';
      yield { start: own.start, end: own.end, status, depth: 0, compressed: false, fileOffset: undefined };
      at = own.end;
    }
  }

  async write(source: Uint8Array, offset: number): Promise<void> {
    const end = offset + source.byteLength;
    this.#requireInside(offset, end);
    const firsts: number[] = [];
    for (let first = roundDown(offset, PIECE_BYTES); first < end; first += PIECE_BYTES) if (!this.#pieces.has(first)) firsts.push(first);
    if ((this.#pieces.size + firsts.length) * PIECE_BYTES > this.#mostBytes) {
      const expected = `at most ${this.#mostBytes} bytes`;
      throw new PlimsollError('over-budget', 'OVERLAY_MEMORY', { doing: 'write into memory', at: offset, found: 'more bytes', expected });
    }
    for (const first of firsts) this.#pieces.set(first, new Uint8Array(PIECE_BYTES));
    for (const { at, memory } of this.#memoryOf(offset, end)) memory.set(source.subarray(at - offset, at - offset + memory.byteLength));
    this.#written.add(offset, end);
    this.#zeroed.subtract(offset, end);
    return Promise.resolve();
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    this.#requireInside(offset, offset + length);
    this.#zeroed.add(offset, offset + length);
    this.#written.subtract(offset, offset + length);
    return Promise.resolve();
  }

  discard(offset: number, length: number): Promise<void> {
    return this.writeZeroes(offset, length);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#below[Symbol.asyncDispose]();
  }

  async *#extentsBelow(start: number, end: number, options?: ReadOptions): AsyncGenerator<Extent> {
    const stop = Math.min(end, this.#below.byteLength);
    if (stop > start) yield* this.#below.extents(start, stop - start, options);
    const behind = Math.max(start, stop);
    if (behind < end) yield { start: behind, end, status: 'zero', depth: 0, compressed: false, fileOffset: undefined };
  }

  /** The memory of [start, end), which has pieces: piece by piece, each with the offset of its first byte. */
  *#memoryOf(start: number, end: number): Generator<{ readonly at: number; readonly memory: Uint8Array }> {
    for (let at = start; at < end; ) {
      const first = roundDown(at, PIECE_BYTES);
      const stop = Math.min(end, first + PIECE_BYTES);
      yield { at, memory: (this.#pieces.get(first) as Uint8Array).subarray(at - first, stop - first) };
      at = stop;
    }
  }

  #requireInside(offset: number, end: number): void {
    if (offset >= 0 && end <= this.byteLength) return;
    const expected = `a range inside of ${this.byteLength} bytes`;
    throw new PlimsollError('bug', 'WRITE_OUT_OF_RANGE', { doing: 'write to device', at: offset, found: `${offset} to ${end}`, expected });
  }
}

/** A device that is all in memory and can be written, with zeros at first. */
export function memoryDisk(byteLength: number): WritableDevice {
  const zeros = readableDevice({
    byteLength: 0,
    read: () => Promise.resolve(0),
  });
  return overlayDevice(zeros, { byteLength });
}

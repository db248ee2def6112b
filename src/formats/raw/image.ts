/** A raw image: the file's bytes are the guest's. There is nothing to parse; the end and the holes need care. */
import { roundUp } from '#base';
import type { Extent, ReadableDevice, ReadOptions, StorageMap } from '#block';
import { ExtentJoiner } from '../join-extents.ts';

/** QEMU counts capacity in sectors. */
const SECTOR_BYTES = 512;

/**
 * `device` as the guest sees it: up to the next multiple of 512 bytes, as QEMU rounds, with zeros behind the file's end.
 *
 * `stored`: which bytes have storage, where the caller knows; what has none, or was never written, is an extent of zeros.
 * Without it all of the file is one extent of data.
 */
export function openRaw(device: ReadableDevice, stored?: StorageMap): ReadableDevice {
  return new RawImage(device, stored);
}

class RawImage implements ReadableDevice {
  readonly byteLength: number;
  readonly #device: ReadableDevice;
  readonly #stored: StorageMap | undefined;

  constructor(device: ReadableDevice, stored: StorageMap | undefined) {
    this.byteLength = roundUp(device.byteLength, SECTOR_BYTES);
    this.#device = device;
    this.#stored = stored;
  }

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    const wanted = Math.max(0, Math.min(target.byteLength, this.byteLength - offset));
    const inFile = Math.max(0, Math.min(wanted, this.#device.byteLength - offset));
    const count = await this.#device.read(target.subarray(0, inFile), offset, options);
    target.fill(0, count, wanted);
    return wanted;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#device[Symbol.asyncDispose]();
  }

  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    const joiner = new ExtentJoiner();
    options?.signal?.throwIfAborted();
    for (const extent of this.#pieces(offset, Math.min(offset + length, this.byteLength))) {
      options?.signal?.throwIfAborted();
      const whole = joiner.add(extent);
      if (whole !== undefined) yield whole;
    }
    const last = joiner.finish();
    if (last !== undefined) yield last;
  }

  *#pieces(start: number, end: number): Generator<Extent> {
    const fileEnd = Math.min(end, this.#device.byteLength);
    let at = start;
    for (const { start: from, end: to } of this.#written(start, fileEnd)) {
      if (from > at) yield zeros(at, from);
      yield { start: from, end: to, status: 'data', depth: 0, compressed: false, fileOffset: from };
      at = to;
    }
    if (at < end) yield zeros(at, end);
  }

  *#written(start: number, end: number): Generator<{ start: number; end: number }> {
    if (this.#stored === undefined) {
      if (start < end) yield { start, end };
      return;
    }
    let at = start;
    for (let index = firstEndingAfter(this.#stored, start); index < this.#stored.length; index += 1) {
      const range = this.#stored[index];
      if (range === undefined || range.fileOffset >= end) return;
      const from = Math.max(at, range.fileOffset);
      const to = Math.min(end, range.fileOffset + range.byteLength);
      if (range.unwritten || to <= from) continue;
      yield { start: from, end: to };
      at = to;
    }
  }
}

function zeros(start: number, end: number): Extent {
  return { start, end, status: 'zero', depth: 0, compressed: false, fileOffset: undefined };
}

function firstEndingAfter(map: StorageMap, offset: number): number {
  let low = 0;
  let high = map.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const range = map[middle];
    if (range !== undefined && range.fileOffset + range.byteLength <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

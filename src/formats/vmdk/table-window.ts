/** Reading grain tables ahead, where they lie one behind the other: a terabyte has 65,536 of them, of 2 KiB each. */
import { type ReadableDevice, readExactly } from '#block';
import { GRAIN_TABLE_BYTES } from './layout.ts';

/** 128 tables; a window grows to it as long as tables are asked for in order. */
export const MAX_WINDOW_BYTES = 256 * 1024;

export class TableWindow {
  readonly #file: ReadableDevice;
  #start = 0;
  #content: Uint8Array = new Uint8Array(0);

  constructor(file: ReadableDevice) {
    this.#file = file;
  }

  /**
   * The grain table at `offset`, a view that stays as it is. May be called concurrently.
   *
   * Bounds: what is read ahead is at most what was asked for in order before.
   * Throws: corrupt; io, over-budget.
   */
  async read(offset: number): Promise<Uint8Array> {
    const at = offset - this.#start;
    const isInside = at >= 0 && at + GRAIN_TABLE_BYTES <= this.#content.byteLength;
    if (isInside) return this.#content.subarray(at, at + GRAIN_TABLE_BYTES);
    const isNext = at === this.#content.byteLength;
    const wanted = isNext ? Math.min(MAX_WINDOW_BYTES, 2 * Math.max(this.#content.byteLength, GRAIN_TABLE_BYTES)) : GRAIN_TABLE_BYTES;
    const length = Math.max(GRAIN_TABLE_BYTES, Math.min(wanted, this.#file.byteLength - offset));
    const content = await readExactly(this.#file, offset, length, 'VMDK_TRUNCATED', 'read VMDK image');
    this.#start = offset;
    this.#content = content;
    return content.subarray(0, GRAIN_TABLE_BYTES);
  }
}

/** A set of MiB-sized units of the file: who occupies what. A bit each, in pieces that come up as they are used. */
import type { Range } from '#base';
import type { TableMemory } from '#block';

/** Units of one piece: 64 GiB of the file in 8 KiB of memory. */
const PIECE_UNITS = 65536;

export class UnitSet {
  readonly #pieces = new Map<number, Uint32Array>();
  readonly #memory: TableMemory | undefined;

  constructor(memory?: TableMemory) {
    this.#memory = memory;
  }

  /** Adds the units [start, end); false when one of them was there already, then up to that one. Throws: over-budget. */
  add(start: number, end: number): boolean {
    for (let unit = start; unit < end; unit += 1) {
      const index = Math.floor(unit / PIECE_UNITS);
      let piece = this.#pieces.get(index);
      if (piece === undefined) {
        this.#memory?.take(PIECE_UNITS / 8);
        piece = new Uint32Array(PIECE_UNITS / 32);
        this.#pieces.set(index, piece);
      }
      const bit = unit % PIECE_UNITS;
      const word = piece[bit >>> 5] as number;
      if (((word >>> (bit & 31)) & 1) === 1) return false;
      piece[bit >>> 5] = word | (1 << (bit & 31));
    }
    return true;
  }

  /** Runs of units, ascending, disjoint, merged. */
  *runs(): Generator<Range> {
    let start = -1;
    let end = -1;
    for (const index of [...this.#pieces.keys()].sort((a, b) => a - b)) {
      const piece = this.#pieces.get(index) as Uint32Array;
      for (let bit = 0; bit < PIECE_UNITS; bit += 1) {
        const word = piece[bit >>> 5] as number;
        if (word === 0) {
          bit |= 31;
          continue;
        }
        if (((word >>> (bit & 31)) & 1) === 0) continue;
        const unit = index * PIECE_UNITS + bit;
        if (unit !== end) {
          if (end >= 0) yield { start, end };
          start = unit;
        }
        end = unit + 1;
      }
    }
    if (end >= 0) yield { start, end };
  }
}

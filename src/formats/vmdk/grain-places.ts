/** Where the grains of a sparse extent lie, so that no two of them share a sector. Units: sectors, unless named. */
import { type ChunkBudget, ClusterSet } from '../clusters/index.ts';
import { vmdkError } from './vmdk-error.ts';

/** Grains whose place differs from the others' by no whole number of grains: no writer makes them, and 16 MiB of them suffice. */
const MAX_ODD_GRAINS = 2 ** 22;

/**
 * Writers put all grains at the same distance from a multiple of the grain size. Of those a set of steps shows which are used;
 * the others are kept one by one.
 */
export class GrainPlaces {
  readonly #grainSectors: number;
  /** What is left of the first grain's sector divided by the grain size. */
  #phase: number | undefined;
  readonly #steps: ClusterSet;
  #odd = new Uint32Array(1024);
  #oddCount = 0;
  #twice: number | undefined;

  /** `budget` bounds the memory of the steps. */
  constructor(grainSectors: number, budget?: ChunkBudget) {
    this.#grainSectors = grainSectors;
    this.#steps = new ClusterSet(budget);
  }

  /** Throws: over-budget, when too many grains lie at odd places to be compared. */
  add(sector: number): void {
    this.#phase ??= sector % this.#grainSectors;
    if (sector % this.#grainSectors !== this.#phase) return this.#addOdd(sector);
    const step = Math.floor(sector / this.#grainSectors);
    if (this.#steps.has(step)) this.#twice ??= sector;
    else this.#steps.add(step);
  }

  /** First sector of a grain that shares sectors with another one; undefined: none does. To be called after the last `add`. */
  shared(): number | undefined {
    if (this.#twice !== undefined) return this.#twice;
    const odd = this.#odd.subarray(0, this.#oddCount).sort();
    for (let index = 0; index < odd.length; index += 1) {
      const sector = odd[index] as number;
      if (index > 0 && sector < (odd[index - 1] as number) + this.#grainSectors) return sector;
      const before = Math.floor((sector - (this.#phase ?? 0)) / this.#grainSectors);
      if ((before >= 0 && this.#steps.has(before)) || this.#steps.has(before + 1)) return sector;
    }
    return undefined;
  }

  #addOdd(sector: number): void {
    if (this.#oddCount === MAX_ODD_GRAINS) {
      const place = { doing: 'read VMDK grain table', field: 'grains', at: sector * 512 };
      throw vmdkError('over-budget', 'VMDK_GRAINS_ODD', place, `more than ${MAX_ODD_GRAINS} at odd places`, 'grains one behind the other');
    }
    if (this.#oddCount === this.#odd.length) {
      const longer = new Uint32Array(this.#odd.length * 2);
      longer.set(this.#odd);
      this.#odd = longer;
    }
    this.#odd[this.#oddCount] = sector;
    this.#oddCount += 1;
  }
}

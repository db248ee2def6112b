/** A small seeded generator (Lehmer, modulo 2^31 - 1), so that every order and history can be repeated. */

const MODULUS = 0x7fff_ffff;
const MULTIPLIER = 48271;

export class Prng {
  #state: number;

  /** `seed` is any non-negative integer. */
  constructor(seed: number) {
    this.#state = (seed % (MODULUS - 1)) + 1;
    // Neighbouring seeds start alike; a few rounds part them.
    for (let round = 0; round < 8; round++) this.#next();
  }

  /** The next number in [0, 1). */
  ratio(): number {
    return (this.#next() - 1) / (MODULUS - 1);
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.ratio() * bound);
  }

  chance(probability: number): boolean {
    return this.ratio() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new Error('Cannot pick: nothing to choose from');
    return choices[this.below(choices.length)] as T;
  }

  /** A new array with the same elements in another order. */
  shuffled<T>(elements: readonly T[]): T[] {
    const result = [...elements];
    for (let last = result.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      [result[last], result[other]] = [result[other] as T, result[last] as T];
    }
    return result;
  }

  /** `byteLength` bytes that no compressor shortens. */
  bytes(byteLength: number): Uint8Array {
    return Uint8Array.from({ length: byteLength }, () => this.below(256));
  }

  #next(): number {
    this.#state = (this.#state * MULTIPLIER) % MODULUS;
    return this.#state;
  }
}

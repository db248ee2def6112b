/** The beginning and the end of a file, in memory: for who looks for signatures at places counted from both. */

export class FileEnds {
  readonly byteLength: number;
  readonly #head: Uint8Array;
  readonly #tail: Uint8Array;
  readonly #tailAt: number;

  /** `head`: the first bytes of the file; `tail`: the last ones. */
  constructor(byteLength: number, head: Uint8Array, tail: Uint8Array) {
    this.byteLength = byteLength;
    this.#head = head;
    this.#tail = tail;
    this.#tailAt = byteLength - tail.byteLength;
  }

  /** undefined outside of both ends. */
  byte(at: number): number | undefined {
    return at < this.#head.byteLength ? this.#head[at] : this.#tail[at - this.#tailAt];
  }

  /** The `length` bytes from `at` on; 0 outside of both ends. */
  bytes(at: number, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, index) => this.byte(at + index) ?? 0);
  }

  /** Whether `wanted`, Latin-1, stands at `at`. */
  has(at: number, wanted: string): boolean {
    for (let index = 0; index < wanted.length; index += 1) if (this.byte(at + index) !== wanted.charCodeAt(index)) return false;
    return true;
  }

  /** The number of `width` bytes at `at`, the least significant byte first; 0 outside of both ends. */
  little(at: number, width: 2 | 4): number {
    let value = 0;
    for (let index = width - 1; index >= 0; index -= 1) value = value * 256 + (this.byte(at + index) ?? 0);
    return value;
  }

  /** The same, the most significant byte first. */
  big(at: number, width: 2 | 4): number {
    let value = 0;
    for (let index = 0; index < width; index += 1) value = value * 256 + (this.byte(at + index) ?? 0);
    return value;
  }
}

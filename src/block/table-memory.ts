/** Bounds the memory that the tables of one image may take while it is examined: some formats need far more of it than bytes of the file. */
import { PlimsollError } from '#base';

/** Units: bytes. What is counted is an estimate of what the structures take, and no smaller than their content. */
export class TableMemory {
  readonly limit: number;
  #taken = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get taken(): number {
    return this.#taken;
  }

  has(byteLength: number): boolean {
    return this.#taken + byteLength <= this.limit;
  }

  /** Throws: over-budget, TABLE_MEMORY. */
  take(byteLength: number): void {
    if (!this.has(byteLength)) {
      throw new PlimsollError('over-budget', 'TABLE_MEMORY', {
        doing: 'read image metadata',
        found: `tables that need more than ${this.limit} bytes of memory`,
        expected: 'tables within the memory that one image may take',
      });
    }
    this.#taken += byteLength;
  }

  give(byteLength: number): void {
    this.#taken = Math.max(0, this.#taken - byteLength);
  }
}

let inForce: TableMemory | undefined;

/** Runs `work`, which must not wait for anything, with `memory` for the structures that it makes. */
export function withTableMemory<T>(memory: TableMemory | undefined, work: () => T): T {
  const before = inForce;
  inForce = memory;
  try {
    return work();
  } finally {
    inForce = before;
  }
}

/** The memory of the `withTableMemory` that is running. */
export function tableMemoryInForce(): TableMemory | undefined {
  return inForce;
}

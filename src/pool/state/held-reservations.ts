/** The held reservations of a ledger in memory, with their sums by store and by holder. */

export interface HeldReservation {
  readonly key: string;
  readonly store: string;
  readonly bytes: number;
  readonly path: string | null;
  readonly holder: string | undefined;
  readonly createdMs: number;
  readonly ttlMs: number;
  /** Of the monotonic clock of this boot. */
  readonly deadlineMs: number;
}

export class HeldReservations {
  readonly #byKey = new Map<string, HeldReservation>();
  readonly #bytesByStore = new Map<string, number>();
  readonly #countByHolder = new Map<string, number>();
  #textLength = 0;
  #revision = 0;
  /** No deadline in #byKey is earlier. */
  #nextDeadlineMs = Number.POSITIVE_INFINITY;

  get size(): number {
    return this.#byKey.size;
  }

  /** Changes with every change. */
  get revision(): number {
    return this.#revision;
  }

  /** Characters of all keys and paths. */
  get textLength(): number {
    return this.#textLength;
  }

  get nextDeadlineMs(): number {
    return this.#nextDeadlineMs;
  }

  get(key: string): HeldReservation | undefined {
    return this.#byKey.get(key);
  }

  /** In order of their creation. */
  all(): readonly HeldReservation[] {
    return [...this.#byKey.values()];
  }

  add(held: HeldReservation): void {
    this.#byKey.set(held.key, held);
    this.#revision += 1;
    this.#textLength += textLengthOf(held);
    if (held.holder !== undefined) this.#countByHolder.set(held.holder, this.countOf(held.holder) + 1);
    this.#bytesByStore.set(held.store, (this.#bytesByStore.get(held.store) ?? 0) + held.bytes);
    this.#nextDeadlineMs = Math.min(this.#nextDeadlineMs, held.deadlineMs);
  }

  remove(held: HeldReservation | undefined): void {
    if (held === undefined) return;
    this.#byKey.delete(held.key);
    this.#revision += 1;
    this.#textLength -= textLengthOf(held);
    if (held.holder !== undefined) setOrDelete(this.#countByHolder, held.holder, this.countOf(held.holder) - 1);
    setOrDelete(this.#bytesByStore, held.store, (this.#bytesByStore.get(held.store) ?? 0) - held.bytes);
  }

  /** The same reservation with a later deadline: sums and order stay. */
  extend(held: HeldReservation): void {
    this.#byKey.set(held.key, held);
    this.#revision += 1;
  }

  /** After removals: the earliest deadline may be later now. */
  refreshDeadline(): void {
    this.#nextDeadlineMs = this.all().reduce((least, { deadlineMs }) => Math.min(least, deadlineMs), Number.POSITIVE_INFINITY);
  }

  countOf(holder: string | undefined): number {
    return holder === undefined ? 0 : (this.#countByHolder.get(holder) ?? 0);
  }

  /** Bytes held on a store, without reservations that are over and could not be written as ended yet. */
  bytesOn(store: string, nowMs: number): number {
    const all = this.#bytesByStore.get(store) ?? 0;
    if (nowMs < this.#nextDeadlineMs) return all;
    const over = this.all().filter((one) => one.store === store && isOver(one, nowMs));
    return over.reduce((rest, { bytes }) => rest - bytes, all);
  }
}

export function isOver({ deadlineMs }: HeldReservation, monotonicMs: number): boolean {
  return deadlineMs <= monotonicMs;
}

export function textLengthOf({ key, path }: Pick<HeldReservation, 'key' | 'path'>): number {
  return key.length + (path?.length ?? 0);
}

function setOrDelete(counts: Map<string, number>, name: string, value: number): void {
  if (value > 0) counts.set(name, value);
  else counts.delete(name);
}

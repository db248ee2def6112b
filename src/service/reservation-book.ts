/** The reservations of a daemon: those of the ledger, and those that ended since the last scan, which still count. */
import { PlimsollError } from '#base';
import type { Holding, Ledger, LedgerRequest, Reserved } from '#pool';
import type { Reservation } from '#wire';
import { type Appeared, ReservedSpace } from './reserved-space.ts';
import type { Held } from './monitored-store.ts';

export class ReservationBook {
  readonly #ledger: Ledger;
  readonly #onEnded: (reservation: Reservation) => void;
  readonly #space = new ReservedSpace();
  /**
   * Released or expired, by performance.now(). Their images may have been created during the running scan: they count until a
   * scan that started later has checked the paths.
   */
  readonly #pendingRelease = new Map<Reservation, number>();
  #pendingRevision = 0;
  readonly #sums = new Map<string, { readonly state: string; readonly held: Held }>();

  /** `onEnded`: for each reservation that was released, has expired or was fulfilled. */
  constructor(ledger: Ledger, onEnded: (reservation: Reservation) => void) {
    this.#ledger = ledger;
    this.#onEnded = onEnded;
  }

  holds(key: string): boolean {
    return this.#ledger.holds(key);
  }

  /** The reservations of a store. Computed again only when one has changed: every decision and every view of a store needs it. */
  heldOn(store: string): Held {
    const { mark } = this.#ledger;
    const state = mark === undefined ? undefined : `${mark}/${this.#space.revision}/${this.#pendingRevision}`;
    const known = this.#sums.get(store);
    if (state !== undefined && known?.state === state) return known.held;
    const holding = this.#holding(store);
    const held = { bytes: this.#space.sumOf(holding), count: holding.length };
    if (state !== undefined) this.#sums.set(store, { state, held });
    return held;
  }

  /** The reservations of a store beside the one of `request`, which may be held already. */
  heldBeside(request: Pick<LedgerRequest, 'store' | 'key' | 'bytes' | 'path'>): Held {
    const others = this.#holding(request.store).filter((one) => one.key !== request.key || one.state !== 'held');
    return { bytes: this.#space.sumBeside(others, request), count: others.length };
  }

  /** As `Ledger.reserve`. */
  reserve<T extends Holding>(request: LedgerRequest, decide: () => T): Reserved<T> {
    return this.#ledger.reserve(request, Date.now(), decide);
  }

  /** Throws: as `Ledger.release`. */
  release(key: string): Reservation {
    const isHeld = this.#ledger.holds(key);
    const reservation = this.#ledger.release(key, Date.now());
    if (isHeld) this.#deferRelease(reservation);
    return reservation;
  }

  expire(): void {
    for (const reservation of this.#ledger.expire(Date.now())) this.#deferRelease(reservation);
  }

  list(query: { readonly store?: string; readonly ended: boolean }): readonly Reservation[] {
    return this.#ledger.list(query);
  }

  /** After a scan that began at `beganAt`, by performance.now(). */
  dropReleased(store: string, beganAt: number): void {
    for (const [reservation, atMs] of this.#pendingRelease) {
      if (reservation.store !== store || atMs >= beganAt) continue;
      this.#pendingRelease.delete(reservation);
      this.#pendingRevision += 1;
      this.#space.forget(reservation);
    }
  }

  /** After a scan: ends the reservations whose images are complete. */
  fulfil(store: string, appeared: (path: string) => Appeared | undefined, nowMs: number): void {
    for (const { key, state } of this.#space.look(this.#holding(store), appeared, nowMs)) if (state === 'held') this.#fulfilOne(key, nowMs);
  }

  /** If it cannot be written it stays held until a later scan. */
  #fulfilOne(key: string, nowMs: number): void {
    try {
      const reservation = this.#ledger.fulfil(key, nowMs);
      this.#space.forget(reservation);
      this.#onEnded(reservation);
    } catch (error) {
      if (!(error instanceof PlimsollError) || error.code !== 'LEDGER_UNWRITABLE') throw error;
    }
  }

  #deferRelease(reservation: Reservation): void {
    this.#pendingRelease.set(reservation, performance.now());
    this.#pendingRevision += 1;
    this.#onEnded(reservation);
  }

  #holding(store: string): Reservation[] {
    return [...this.#ledger.held(store), ...[...this.#pendingRelease.keys()].filter((one) => one.store === store)];
  }
}

/**
 * The clocks of the ledger, and reservations in their terms. A deadline is one of the monotonic clock, stored with its boot; the
 * wall clock is used after a reboot, and for display.
 */
import { readBootId } from '#host';
import type { Reservation } from '#wire';
import { asText, fromText, type Value } from './connection.ts';
import type { HeldReservation } from './held-reservations.ts';
import { STATES, timeText } from './ledger-table.ts';

export interface LedgerClock {
  readonly wallMs: () => number;
  /** Runs through one boot of the host, across processes. */
  readonly monotonicMs: () => number;
  readonly boot: string;
}

export function systemClock(): LedgerClock {
  return { wallMs: Date.now, monotonicMs: () => Number(process.hrtime.bigint() / 1_000_000n), boot: readBootId() };
}

export class LedgerTime {
  readonly #clock: LedgerClock;
  /** Wall clock minus monotonic clock, as of the last call. */
  #offsetMs: number;

  constructor(clock: LedgerClock) {
    this.#clock = clock;
    this.#offsetMs = clock.wallMs() - clock.monotonicMs();
  }

  get boot(): string {
    return this.#clock.boot;
  }

  /** By the monotonic clock. */
  nowMs(): number {
    return Math.floor(this.#clock.monotonicMs());
  }

  /** The wall clock now reads `wallMs`. */
  adjust(wallMs: number): void {
    this.#offsetMs = wallMs - this.nowMs();
  }

  wallOf(deadlineMs: number): number {
    return Math.round(deadlineMs + this.#offsetMs);
  }

  /** After a reboot only the wall clock is left; the TTL bounds the remaining time. */
  heldOf(row: readonly unknown[]): HeldReservation {
    const [, createdMs = 0, expiresMs = 0, , ttlMs = 0, deadlineMs = 0, bytes = 0] = row.slice(0, 7).map(Number);
    const [boot, key, store, path] = row.slice(7);
    const remainingMs = boot === this.boot ? deadlineMs - this.nowMs() : expiresMs - this.#clock.wallMs();
    return {
      key: fromText(key),
      store: fromText(store),
      bytes,
      path: path === null ? null : fromText(path),
      holder: undefined,
      createdMs,
      ttlMs,
      deadlineMs: this.nowMs() + Math.min(remainingMs, ttlMs),
    };
  }

  rowOf(held: HeldReservation): Value[] {
    const { createdMs, ttlMs, deadlineMs, bytes } = held;
    const expiresMs = this.wallOf(deadlineMs);
    const path = held.path === null ? null : asText(held.path);
    const texts = [this.boot, asText(held.key), asText(held.store), path];
    return [STATES.held, Math.round(createdMs), expiresMs, expiresMs, ttlMs, deadlineMs, bytes, ...texts];
  }

  reservationOf(held: HeldReservation, state: Reservation['state'] = 'held'): Reservation {
    const { key, store, bytes, path, createdMs, deadlineMs } = held;
    return { key, store, bytes, path, createdAt: timeText(createdMs), expiresAt: timeText(this.wallOf(deadlineMs)), state };
  }
}

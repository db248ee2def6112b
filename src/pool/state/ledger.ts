/**
 * The space that is promised to images that are not there yet: reservations, each held under a client's own key until it is
 * released, expired, or fulfilled by its image.
 *
 * What is held stands in memory and in the database; the database is written first and flushed, so that what was
 * acknowledged outlives the process, and nothing else is ever counted.
 *
 * Time: how long a reservation is held is measured by the monotonic clock, so that a wall clock that jumps neither ends nor
 * prolongs it. The deadline is stored with the boot it belongs to: within one boot it holds across restarts. After a reboot
 * only the wall clock is left: what remains is what it says, but never more than the TTL. Times of day in a `Reservation`
 * are for people.
 *
 * A key that is held already, asked for again with the same store, bytes and path, is the same reservation: it is extended to
 * the new TTL, never shortened; where `decide` says no by now, it stays as it was. An ended key may be used anew.
 */
import { PlimsollError } from '#base';
import type { Finding, Reservation } from '#wire';
import { asText, type Connection, fromText, type Value } from './connection.ts';
import { type DatabaseChoice, openDatabase, type Rebuilt, type StateDatabase } from './database.ts';
import { type HeldReservation, HeldReservations, isOver, textLengthOf } from './held-reservations.ts';
import { type LedgerRequest, MAX_HELD, MAX_HELD_OF_ONE, requireRequest, requireSame, tooMany } from './ledger-request.ts';
import { type LedgerClock, LedgerTime, systemClock } from './ledger-time.ts';
import { refillFromFile, refillFromMemory } from './ledger-salvage.ts';
import { COLUMNS, END, endedReservation, EXTEND, INSERT, MIGRATIONS, removeOld, STATES } from './ledger-table.ts';

/** Characters of all keys and paths that are held: what is held is in memory, and read when the daemon starts. */
const MAX_HELD_TEXT = 16 * 2 ** 20;
/** Ended ones that a list gives where it is not told how many: each may have a path of 4 KiB. */
const LISTED_ENDED = 1000;
/** Reservations that one call ends: more are over all the same, and are written by the next. */
const ENDED_AT_ONCE = 500;
/** Old records are looked for at least so often. */
const CLEANING_MS = 600_000;
const SLACK_BYTES = 2 ** 20;
/** What is held is in memory anyhow; the fewer pages are, the sooner damage to the file is noticed. */
const CACHE_PAGES = 16;

/** What `decide` answers, at least. */
export interface Holding {
  /** Whether it is to be held. */
  readonly hold: boolean;
}

export interface Reserved<T> {
  readonly decision: T;
  /** null: not held. */
  readonly reservation: Reservation | null;
}

export class Ledger {
  readonly #database: StateDatabase;
  readonly #time: LedgerTime;
  readonly #findings: Finding[];
  #unwritable: Finding | undefined;
  readonly #held = new HeldReservations();
  #nextCleaningMs = 0;
  #endedSinceCleaning = 0;

  private constructor(database: StateDatabase, clock: LedgerClock, findings: Finding[]) {
    this.#database = database;
    this.#time = new LedgerTime(clock);
    this.#findings = findings;
    this.#load();
  }

  /**
   * The ledger in `file`, made if it is missing. A damaged one is kept aside; what can be read of it is held again.
   *
   * Throws: as `openDatabase`.
   */
  static async open(file: string, clock: LedgerClock = systemClock()): Promise<Ledger> {
    const findings: Finding[] = [];
    // Before it is loaded there is nothing in memory to make a damaged file anew from.
    const known: { ledger: Ledger | undefined } = { ledger: undefined };
    const onRebuilt = (event: Rebuilt): void => {
      const held = known.ledger?.heldRows();
      findings.push(held === undefined ? refillFromFile(event) : refillFromMemory(event, held));
    };
    const choice: DatabaseChoice = {
      file,
      migrations: MIGRATIONS,
      durability: 'full',
      check: 'whole',
      slackBytes: SLACK_BYTES,
      cachePages: CACHE_PAGES,
      onRebuilt,
      now: clock.wallMs,
    };
    const database = await openDatabase(choice);
    try {
      const ledger = new Ledger(database, clock, findings);
      known.ledger = ledger;
      return ledger;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** What went wrong with the file since it was opened. */
  findings(): readonly Finding[] {
    return this.#unwritable === undefined ? this.#findings : [...this.#findings, this.#unwritable];
  }

  /**
   * Holds space if `decide` says so; `heldBytes` is what others hold on the store, `own` what this key holds already. On
   * return it is flushed. `decide` is called once and must not call the ledger.
   *
   * Throws: usage, RESERVATION_INVALID; conflict, RESERVATION_DIFFERS, when the key is held for something else; over-budget,
   * RESERVATIONS_TOO_MANY; io, LEDGER_UNWRITABLE: then nothing changed.
   */
  reserve<T extends Holding>(
    request: LedgerRequest,
    nowMs: number,
    decide: (heldBytes: number, own: Reservation | undefined) => T,
  ): Reserved<T> {
    requireRequest(request);
    this.#time.adjust(nowMs);
    this.expire(nowMs);
    const own = this.#live(request.key);
    if (own !== undefined) requireSame(own, request);
    const heldBytes = this.#bytesOn(request.store) - (own?.bytes ?? 0);
    const decision = decide(heldBytes, own && this.#time.reservationOf(own));
    if (!decision.hold) return { decision, reservation: own === undefined ? null : this.#time.reservationOf(own) };
    const held = own === undefined ? this.#hold(request, nowMs) : this.#extend(own, request.ttlSeconds);
    return { decision, reservation: this.#time.reservationOf(held) };
  }

  /** What the key holds, unless that is over. */
  #live(key: string): HeldReservation | undefined {
    const held = this.#held.get(key);
    return held === undefined || isOver(held, this.#time.nowMs()) ? undefined : held;
  }

  /**
   * Ends it by its key; one that has ended already is returned as it is.
   *
   * Throws: not-found, RESERVATION_UNKNOWN; io, LEDGER_UNWRITABLE.
   */
  release(key: string, nowMs: number): Reservation {
    return this.#endByKey(key, nowMs, 'released');
  }

  /** The image it was for is there. Otherwise as `release`. */
  fulfil(key: string, nowMs: number): Reservation {
    return this.#endByKey(key, nowMs, 'fulfilled');
  }

  /**
   * Ends what is over, a bounded number at once, and removes old records; what was ended. Cheap when there is nothing to do.
   * On a full disk it ends nothing, and what is over is not counted all the same. Never throws for that.
   */
  expire(nowMs: number): readonly Reservation[] {
    this.#time.adjust(nowMs);
    const now = this.#time.nowMs();
    if (now < this.#held.nextDeadlineMs && now < this.#nextCleaningMs && this.#endedSinceCleaning < ENDED_AT_ONCE) return [];
    const over = this.#held
      .all()
      .filter((one) => isOver(one, now))
      .slice(0, ENDED_AT_ONCE);
    try {
      this.#write((connection) => {
        for (const { key } of over) connection.run(END, STATES.expired, nowMs, asText(key));
        removeOld(connection, nowMs);
      });
    } catch (error) {
      if (error instanceof PlimsollError && error.code === 'LEDGER_UNWRITABLE') return [];
      throw error;
    }
    this.#endedSinceCleaning = 0;
    this.#nextCleaningMs = now + CLEANING_MS;
    for (const one of over) this.#held.remove(one);
    this.#held.refreshDeadline();
    return over.map((one) => this.#time.reservationOf(one, 'expired'));
  }

  /** What is held now, in the order of its making. */
  held(store?: string): readonly Reservation[] {
    const now = this.#time.nowMs();
    const list = this.#held.all().filter((one) => !isOver(one, now) && (store === undefined || one.store === store));
    return list.map((one) => this.#time.reservationOf(one));
  }

  /** Whether the key holds space now. */
  holds(key: string): boolean {
    return this.#live(key) !== undefined;
  }

  /** Bytes held on the store. */
  heldBytes(store: string): number {
    return this.#bytesOn(store);
  }

  /** What is held, and with `ended` what was, the last ended first, at most `limit` of those. */
  list(query: { readonly store?: string; readonly ended: boolean; readonly limit?: number }): readonly Reservation[] {
    const held = this.held(query.store);
    if (!query.ended) return held;
    const store = query.store === undefined ? null : asText(query.store);
    const sql = `SELECT ${COLUMNS} FROM reservation WHERE state <> 2 AND (? IS NULL OR store = ?) ORDER BY ended_ms DESC, id DESC LIMIT ?`;
    const rows = this.#attempt(() => this.#database.read((connection) => connection.all(sql, store, store, query.limit ?? LISTED_ENDED)));
    return [...held, ...rows.map(endedReservation)];
  }

  /**
   * Assigns to the store `to` what was reserved on `from`, an earlier id of it. `isOfThisBoot`: only reservations made since this
   * boot, since a device number can mean another filesystem after it. Never throws: what cannot be written is counted on `to`,
   * and written by the next start.
   */
  adopt(from: string, to: string, { isOfThisBoot }: { readonly isOfThisBoot: boolean }): void {
    const boot = isOfThisBoot ? this.#time.boot : null;
    const where = 'store = ? AND (? IS NULL OR boot = ?)';
    try {
      const rows = this.#attempt(() =>
        this.#database.read((connection) => connection.all(`SELECT key, state FROM reservation WHERE ${where}`, asText(from), boot, boot)),
      );
      for (const [key, state] of rows) if (Number(state) === STATES.held) this.#moveTo(to, this.#held.get(fromText(key)));
      if (rows.length > 0) {
        this.#write((connection) =>
          connection.run(`UPDATE reservation SET store = ? WHERE ${where}`, asText(to), asText(from), boot, boot),
        );
      }
    } catch (error) {
      if (!(error instanceof PlimsollError) || error.code !== 'LEDGER_UNWRITABLE') throw error;
    }
  }

  #moveTo(store: string, held: HeldReservation | undefined): void {
    if (held === undefined) return;
    this.#held.remove(held);
    this.#held.add({ ...held, store });
  }

  close(): void {
    this.#database.close();
  }

  /** What is held, as rows of the table. */
  heldRows(): readonly (readonly Value[])[] {
    return this.#held.all().map((one) => this.#time.rowOf(one));
  }

  #load(): void {
    const rows = this.#attempt(() =>
      this.#database.read((connection) => connection.all(`SELECT ${COLUMNS} FROM reservation WHERE state = 2 ORDER BY id`)),
    );
    for (const row of rows) this.#held.add(this.#time.heldOf(row));
  }

  #hold(request: LedgerRequest, nowMs: number): HeldReservation {
    const { key, store, bytes, path, holder } = request;
    this.#requireRoom(request);
    const ttlMs = Math.ceil(request.ttlSeconds * 1000);
    const held: HeldReservation = { key, store, bytes, path, holder, createdMs: nowMs, ttlMs, deadlineMs: this.#time.nowMs() + ttlMs };
    this.#writeMore((connection) => {
      // One of this key that is over, but was not written as ended yet.
      connection.run(END, STATES.expired, nowMs, asText(key));
      connection.run(INSERT, ...this.#time.rowOf(held));
    });
    this.#held.remove(this.#held.get(key));
    this.#held.add(held);
    return held;
  }

  /** Throws: over-budget, RESERVATIONS_TOO_MANY. */
  #requireRoom({ key, store, bytes, path, holder }: LedgerRequest): void {
    const ofOne = this.#held.countOf(holder);
    if (ofOne >= MAX_HELD_OF_ONE) throw tooMany(`${ofOne} of ${holder}`, `at most ${MAX_HELD_OF_ONE} of one user`);
    const isSafe = Number.isSafeInteger(this.#bytesOn(store) + bytes);
    if (this.#held.size >= MAX_HELD || !isSafe)
      throw tooMany(`${this.#held.size}`, `at most ${MAX_HELD}, of less than 2^53 bytes together`);
    const text = this.#held.textLength + textLengthOf({ key, path });
    if (text > MAX_HELD_TEXT) throw tooMany(`${text} characters of keys and paths`, `at most ${MAX_HELD_TEXT}`);
  }

  /**
   * Changes whenever what is held does; undefined while something that is held is over and not ended yet. Between two equal
   * marks `held` gives the same.
   */
  get mark(): number | undefined {
    return this.#time.nowMs() < this.#held.nextDeadlineMs ? this.#held.revision : undefined;
  }

  #extend(own: HeldReservation, ttlSeconds: number): HeldReservation {
    const ttlMs = Math.ceil(ttlSeconds * 1000);
    const deadlineMs = this.#time.nowMs() + ttlMs;
    if (deadlineMs <= own.deadlineMs) return own;
    const held: HeldReservation = { ...own, ttlMs, deadlineMs };
    const expiresMs = this.#time.wallOf(deadlineMs);
    this.#write((connection) => connection.run(EXTEND, expiresMs, expiresMs, ttlMs, deadlineMs, this.#time.boot, asText(own.key)));
    this.#held.extend(held);
    return held;
  }

  #endByKey(key: string, nowMs: number, state: 'released' | 'fulfilled'): Reservation {
    this.#time.adjust(nowMs);
    const own = this.#held.get(key);
    if (own === undefined) return this.#endedByKey(key);
    const ending = isOver(own, this.#time.nowMs()) ? 'expired' : state;
    this.#write((connection) => connection.run(END, STATES[ending], nowMs, asText(key)));
    this.#held.remove(own);
    this.#endedSinceCleaning += 1;
    return this.#time.reservationOf(own, ending);
  }

  #endedByKey(key: string): Reservation {
    const sql = `SELECT ${COLUMNS} FROM reservation WHERE state <> 2 AND key = ? ORDER BY id DESC LIMIT 1`;
    const [row] = this.#attempt(() => this.#database.read((connection) => connection.all(sql, asText(key))));
    if (row !== undefined) return endedReservation(row);
    throw new PlimsollError('not-found', 'RESERVATION_UNKNOWN', {
      doing: 'find reservation',
      field: 'key',
      found: key,
      expected: 'the key of a reservation, as GET /api/v1/reservations and the dashboard list them',
    });
  }

  #bytesOn(store: string): number {
    return this.#held.bytesOn(store, this.#time.nowMs());
  }

  #write(work: (connection: Connection) => unknown): void {
    this.#attempt(() => this.#database.write(work));
    this.#unwritable = undefined;
  }

  #writeMore(work: (connection: Connection) => unknown): void {
    this.#attempt(() => this.#database.writeMore(work));
    this.#unwritable = undefined;
  }

  #attempt<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof PlimsollError) || error.kind === 'bug') throw error;
      const found = String(error.where.found ?? error.message);
      this.#unwritable = unwritable(found);
      const where = { doing: 'write the ledger of reservations', image: this.#database.file, found, cause: error };
      throw new PlimsollError('io', 'LEDGER_UNWRITABLE', where);
    }
  }
}

function unwritable(found: string): Finding {
  const message = `The ledger of reservations cannot be written: ${found}. HeldReservation reservations stay in force; nothing can be reserved or released until writing succeeds again`;
  return { level: 'critical', code: 'RESERVATIONS_UNWRITABLE', message };
}

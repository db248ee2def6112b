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
import { readBootId } from '#host';
import { formatBytes, PlimsollError, plural } from '#base';
import { type Finding, MAX_TTL_SECONDS, MAX_KEY_LENGTH, type Reservation, MIN_TTL_SECONDS } from '#wire';
import {
  asText,
  type Connection,
  type DatabaseChoice,
  fromText,
  openDatabase,
  type Rebuilt,
  type StateDatabase,
  type Value,
} from './database.ts';

/** Of all clients together, and of one of them. */
export const MAX_HELD = 10_000;
export const MAX_HELD_OF_ONE = 2500;
/** Characters of all keys and paths that are held: what is held is in memory, and read when the daemon starts. */
const MAX_HELD_TEXT = 16 * 2 ** 20;
/** A path or store is a file name at its longest. */
const MAX_NAME_LENGTH = 4096;
/** Ended ones stay for the record. */
const ENDED_KEPT_MS = 7 * 86_400_000;
const MAX_ENDED = 10_000;
/** Ended ones that a list gives where it is not told how many: each may have a path of 4 KiB. */
const LISTED_ENDED = 1000;
/** Reservations that one call ends: more are over all the same, and are written by the next. */
const ENDED_AT_ONCE = 500;
/** Records that one call removes: more than it ends, so that they do not pile up. */
const REMOVED_AT_ONCE = 1000;
/** Old records are looked for at least so often. */
const CLEANING_MS = 600_000;
const SLACK_BYTES = 2 ** 20;
/** What is held is in memory anyhow; the fewer pages are, the sooner damage to the file is noticed. */
const CACHE_PAGES = 16;

/** Stored states all take the same space, so that ending a reservation needs none. */
const STATES = { held: 2, released: 3, expired: 4, fulfilled: 5 } as const;
const STATE_NAMES: Readonly<Record<number, Reservation['state']>> = { 2: 'held', 3: 'released', 4: 'expired', 5: 'fulfilled' };

/** `ended_ms` is the expiry as long as it is held; `deadline_ms` is of the monotonic clock of `boot`. */
const MIGRATIONS = [
  `CREATE TABLE reservation (
     id INTEGER PRIMARY KEY,
     state INTEGER NOT NULL CHECK (state BETWEEN 2 AND 5),
     created_ms INTEGER NOT NULL,
     expires_ms INTEGER NOT NULL,
     ended_ms INTEGER NOT NULL,
     ttl_ms INTEGER NOT NULL CHECK (ttl_ms > 0),
     deadline_ms INTEGER NOT NULL,
     bytes INTEGER NOT NULL CHECK (bytes > 0),
     boot TEXT NOT NULL,
     key TEXT NOT NULL,
     store TEXT NOT NULL,
     path TEXT
   ) STRICT;
   CREATE UNIQUE INDEX held_key ON reservation (key) WHERE state = 2;
   CREATE INDEX ended_at ON reservation (ended_ms) WHERE state <> 2`,
];
const COLUMNS = 'state, created_ms, expires_ms, ended_ms, ttl_ms, deadline_ms, bytes, boot, key, store, path';
const INSERT = `INSERT INTO reservation (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const END = 'UPDATE reservation SET state = ?, ended_ms = ? WHERE state = 2 AND key = ?';
const EXTEND = 'UPDATE reservation SET expires_ms = ?, ended_ms = ?, ttl_ms = ?, deadline_ms = ?, boot = ? WHERE state = 2 AND key = ?';

export interface LedgerRequest {
  /** 1 to 200 characters, any. */
  readonly key: string;
  readonly store: string;
  readonly bytes: number;
  readonly path: string | null;
  /** 1 second to 30 days. */
  readonly ttlSeconds: number;
  /** Who holds it, such as `user 1000`: a quota counts what each holds since the daemon started. Undefined: none counts. */
  readonly holder?: string | undefined;
}

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

/** Where the time comes from. */
export interface LedgerClock {
  readonly wallMs: () => number;
  /** Counts on through one boot of the machine, over processes. */
  readonly monotonicMs: () => number;
  readonly boot: string;
}

interface Held {
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

export class Ledger {
  readonly #database: StateDatabase;
  readonly #clock: LedgerClock;
  readonly #findings: Finding[];
  #unwritable: Finding | undefined;
  #held = new Map<string, Held>();
  /** By store; kept with #held. */
  #heldBytes = new Map<string, number>();
  /** By holder, and characters of all; kept with #held. */
  readonly #heldBy = new Map<string, number>();
  #heldText = 0;
  #revision = 0;
  /** The least deadline that can be among #held. */
  #nextDeadlineMs = Number.POSITIVE_INFINITY;
  #nextCleaningMs = 0;
  #endedSinceCleaning = 0;
  /** Wall clock less monotonic clock, as of the last call. */
  #offsetMs: number;

  private constructor(database: StateDatabase, clock: LedgerClock, findings: Finding[]) {
    this.#database = database;
    this.#clock = clock;
    this.#findings = findings;
    this.#offsetMs = clock.wallMs() - clock.monotonicMs();
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
    this.#see(nowMs);
    this.expire(nowMs);
    const own = this.#live(request.key);
    if (own !== undefined) requireSame(own, request);
    const heldBytes = this.#bytesOf(request.store) - (own?.bytes ?? 0);
    const decision = decide(heldBytes, own && this.#reservationOf(own));
    if (!decision.hold) return { decision, reservation: own === undefined ? null : this.#reservationOf(own) };
    const held = own === undefined ? this.#hold(request, nowMs) : this.#extend(own, request.ttlSeconds);
    return { decision, reservation: this.#reservationOf(held) };
  }

  /** What the key holds, unless that is over. */
  #live(key: string): Held | undefined {
    const held = this.#held.get(key);
    return held === undefined || isOver(held, this.#monotonic()) ? undefined : held;
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
    this.#see(nowMs);
    const now = this.#monotonic();
    if (now < this.#nextDeadlineMs && now < this.#nextCleaningMs && this.#endedSinceCleaning < ENDED_AT_ONCE) return [];
    const over = [...this.#held.values()].filter((one) => isOver(one, now)).slice(0, ENDED_AT_ONCE);
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
    for (const one of over) this.#forget(one);
    this.#nextDeadlineMs = this.#leastDeadline();
    return over.map((one) => this.#reservationOf(one, 'expired'));
  }

  /** What is held now, in the order of its making. */
  held(store?: string): readonly Reservation[] {
    const now = this.#monotonic();
    const list = [...this.#held.values()].filter((one) => !isOver(one, now) && (store === undefined || one.store === store));
    return list.map((one) => this.#reservationOf(one));
  }

  /** Whether the key holds space now. */
  holds(key: string): boolean {
    return this.#live(key) !== undefined;
  }

  /** Bytes held on the store. */
  heldBytes(store: string): number {
    return this.#bytesOf(store);
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
    const boot = isOfThisBoot ? this.#clock.boot : null;
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

  #moveTo(store: string, held: Held | undefined): void {
    if (held === undefined) return;
    this.#forget(held);
    this.#remember({ ...held, store });
  }

  close(): void {
    this.#database.close();
  }

  /** What is held, as rows of the table. */
  heldRows(): readonly (readonly Value[])[] {
    return [...this.#held.values()].map((one) => this.#rowOf(one));
  }

  #load(): void {
    const rows = this.#attempt(() =>
      this.#database.read((connection) => connection.all(`SELECT ${COLUMNS} FROM reservation WHERE state = 2 ORDER BY id`)),
    );
    for (const row of rows) this.#remember(this.#heldOf(row));
  }

  #heldOf(row: readonly unknown[]): Held {
    const [, createdMs = 0, expiresMs = 0, , ttlMs = 0, deadlineMs = 0, bytes = 0] = row.slice(0, 7).map(Number);
    const [boot, key, store, path] = row.slice(7);
    const left = boot === this.#clock.boot ? deadlineMs - this.#monotonic() : expiresMs - this.#clock.wallMs();
    return {
      key: fromText(key),
      store: fromText(store),
      bytes,
      path: path === null ? null : fromText(path),
      holder: undefined,
      createdMs,
      ttlMs,
      deadlineMs: this.#monotonic() + Math.min(left, ttlMs),
    };
  }

  #hold(request: LedgerRequest, nowMs: number): Held {
    const { key, store, bytes, path, holder } = request;
    this.#requireRoom(request);
    const ttlMs = Math.ceil(request.ttlSeconds * 1000);
    const held: Held = { key, store, bytes, path, holder, createdMs: nowMs, ttlMs, deadlineMs: this.#monotonic() + ttlMs };
    this.#writeMore((connection) => {
      // One of this key that is over, but was not written as ended yet.
      connection.run(END, STATES.expired, nowMs, asText(key));
      connection.run(INSERT, ...this.#rowOf(held));
    });
    this.#forget(this.#held.get(key));
    this.#remember(held);
    return held;
  }

  /** Throws: over-budget, RESERVATIONS_TOO_MANY. */
  #requireRoom({ key, store, bytes, path, holder }: LedgerRequest): void {
    const ofOne = holder === undefined ? 0 : (this.#heldBy.get(holder) ?? 0);
    if (ofOne >= MAX_HELD_OF_ONE) throw tooMany(`${ofOne} of ${holder}`, `at most ${MAX_HELD_OF_ONE} of one user`);
    const isSafe = Number.isSafeInteger(this.#bytesOf(store) + bytes);
    if (this.#held.size >= MAX_HELD || !isSafe)
      throw tooMany(`${this.#held.size}`, `at most ${MAX_HELD}, of less than 2^53 bytes together`);
    const text = this.#heldText + textOf({ key, path });
    if (text > MAX_HELD_TEXT) throw tooMany(`${text} characters of keys and paths`, `at most ${MAX_HELD_TEXT}`);
  }

  /**
   * Changes whenever what is held does; undefined while something that is held is over and not ended yet. Between two equal
   * marks `held` gives the same.
   */
  get mark(): number | undefined {
    return this.#monotonic() < this.#nextDeadlineMs ? this.#revision : undefined;
  }

  #extend(own: Held, ttlSeconds: number): Held {
    const ttlMs = Math.ceil(ttlSeconds * 1000);
    const deadlineMs = this.#monotonic() + ttlMs;
    if (deadlineMs <= own.deadlineMs) return own;
    const held: Held = { ...own, ttlMs, deadlineMs };
    const expiresMs = this.#wallOf(deadlineMs);
    this.#write((connection) => connection.run(EXTEND, expiresMs, expiresMs, ttlMs, deadlineMs, this.#clock.boot, asText(own.key)));
    this.#held.set(own.key, held);
    this.#revision += 1;
    return held;
  }

  #endByKey(key: string, nowMs: number, state: 'released' | 'fulfilled'): Reservation {
    this.#see(nowMs);
    const own = this.#held.get(key);
    if (own === undefined) return this.#endedByKey(key);
    const ending = isOver(own, this.#monotonic()) ? 'expired' : state;
    this.#write((connection) => connection.run(END, STATES[ending], nowMs, asText(key)));
    this.#forget(own);
    this.#endedSinceCleaning += 1;
    return this.#reservationOf(own, ending);
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

  #remember(held: Held): void {
    this.#held.set(held.key, held);
    this.#revision += 1;
    this.#heldText += textOf(held);
    if (held.holder !== undefined) this.#heldBy.set(held.holder, (this.#heldBy.get(held.holder) ?? 0) + 1);
    this.#heldBytes.set(held.store, (this.#heldBytes.get(held.store) ?? 0) + held.bytes);
    this.#nextDeadlineMs = Math.min(this.#nextDeadlineMs, held.deadlineMs);
  }

  #forget(held: Held | undefined): void {
    if (held === undefined) return;
    this.#held.delete(held.key);
    this.#revision += 1;
    this.#heldText -= textOf(held);
    const ofOne = (this.#heldBy.get(held.holder ?? '') ?? 0) - 1;
    if (ofOne > 0) this.#heldBy.set(held.holder ?? '', ofOne);
    else this.#heldBy.delete(held.holder ?? '');
    const left = (this.#heldBytes.get(held.store) ?? 0) - held.bytes;
    if (left > 0) this.#heldBytes.set(held.store, left);
    else this.#heldBytes.delete(held.store);
  }

  /** Without what is over and could not be written as ended yet. */
  #bytesOf(store: string): number {
    const now = this.#monotonic();
    const all = this.#heldBytes.get(store) ?? 0;
    if (now < this.#nextDeadlineMs) return all;
    const over = [...this.#held.values()].filter((one) => one.store === store && isOver(one, now));
    return over.reduce((left, { bytes }) => left - bytes, all);
  }

  #leastDeadline(): number {
    return [...this.#held.values()].reduce((least, { deadlineMs }) => Math.min(least, deadlineMs), Number.POSITIVE_INFINITY);
  }

  #monotonic(): number {
    return Math.floor(this.#clock.monotonicMs());
  }

  #see(nowMs: number): void {
    this.#offsetMs = nowMs - this.#monotonic();
  }

  #wallOf(deadlineMs: number): number {
    return Math.round(deadlineMs + this.#offsetMs);
  }

  #rowOf(held: Held): Value[] {
    const { createdMs, ttlMs, deadlineMs, bytes } = held;
    const expiresMs = this.#wallOf(deadlineMs);
    const path = held.path === null ? null : asText(held.path);
    const texts = [this.#clock.boot, asText(held.key), asText(held.store), path];
    return [STATES.held, Math.round(createdMs), expiresMs, expiresMs, ttlMs, deadlineMs, bytes, ...texts];
  }

  #reservationOf(held: Held, state: Reservation['state'] = 'held'): Reservation {
    const { key, store, bytes, path, createdMs, deadlineMs } = held;
    return { key, store, bytes, path, createdAt: timeText(createdMs), expiresAt: timeText(this.#wallOf(deadlineMs)), state };
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

function systemClock(): LedgerClock {
  return { wallMs: Date.now, monotonicMs: () => Number(process.hrtime.bigint() / 1_000_000n), boot: readBootId() };
}

function isOver({ deadlineMs }: Held, monotonicMs: number): boolean {
  return deadlineMs <= monotonicMs;
}

function removeOld(connection: Connection, nowMs: number): void {
  const [row] = connection.all('SELECT count(*) FROM reservation WHERE state <> 2');
  const surplus = Math.max(Number(row?.[0] ?? 0) - MAX_ENDED, 0);
  const oldest = 'SELECT id FROM reservation WHERE state <> 2 ORDER BY ended_ms LIMIT ?';
  connection.run(`DELETE FROM reservation WHERE id IN (${oldest})`, Math.min(surplus, REMOVED_AT_ONCE));
  const old = 'SELECT id FROM reservation WHERE state <> 2 AND ended_ms < ? ORDER BY ended_ms LIMIT ?';
  connection.run(`DELETE FROM reservation WHERE id IN (${old})`, nowMs - ENDED_KEPT_MS, REMOVED_AT_ONCE);
}

function endedReservation(row: readonly unknown[]): Reservation {
  const [state = 0, createdMs = 0, expiresMs = 0, , , , bytes = 0] = row.slice(0, 7).map(Number);
  const [, key, store, path] = row.slice(7);
  return {
    key: fromText(key),
    store: fromText(store),
    bytes,
    path: path === null ? null : fromText(path),
    createdAt: timeText(createdMs),
    expiresAt: timeText(expiresMs),
    state: STATE_NAMES[state] ?? 'expired',
  };
}

/** The clock can say anything; a date cannot. */
function timeText(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString();
}

/** The file went bad while it was in use: what is held stands in memory. */
function refillFromMemory({ aside, reason, fresh }: Rebuilt, rows: readonly (readonly Value[])[]): Finding {
  insertAll(fresh, rows);
  return rebuilt(aside, reason, `All ${rows.length} held reservations were restored; the record of ended ones is lost`);
}

function refillFromFile({ aside, reason, fresh, readDamaged }: Rebuilt): Finding {
  const rows = readDamaged(readHeldRows) ?? [];
  insertAll(fresh, rows);
  const what = `${rows.length === 0 ? 'No held reservation' : plural(rows.length, 'held reservation')} could be read`;
  return rebuilt(aside, reason, `${what} from it and ${rows.length === 1 ? 'was' : 'were'} restored; other held reservations may be lost`);
}

function rebuilt(aside: string, reason: string, outcome: string): Finding {
  const message = `The ledger of reservations was damaged (${reason}). It was renamed to ${aside} and a new one was created. ${outcome}`;
  return { level: 'critical', code: 'LEDGER_REBUILT', message };
}

function unwritable(found: string): Finding {
  const message = `The ledger of reservations cannot be written: ${found}. Held reservations stay in force; nothing can be reserved or released until writing succeeds again`;
  return { level: 'critical', code: 'RESERVATIONS_UNWRITABLE', message };
}

/** In one transaction, and again without harm. */
function insertAll(fresh: Connection, rows: readonly (readonly Value[])[]): void {
  fresh.exec('BEGIN IMMEDIATE');
  try {
    for (const row of rows) fresh.run(INSERT.replace('INSERT', 'INSERT OR IGNORE'), ...row);
    fresh.exec('COMMIT');
  } catch (error) {
    fresh.rollback();
    throw error;
  }
}

/** From both ends of the table up to the damage, then what lies between, one by one. Throws when nothing can be read. */
function readHeldRows(damaged: Connection): Value[][] {
  const found = new Map<number, Value[]>();
  const sql = `SELECT id, ${COLUMNS} FROM reservation NOT INDEXED`;
  const first = readUntilDamage(damaged, `${sql} ORDER BY id`, found);
  const last = first.isWhole ? first : readUntilDamage(damaged, `${sql} ORDER BY id DESC`, found);
  if (!first.isWhole && found.size === 0 && first.lastId === 0) throw new Error('not readable');
  const from = first.lastId + 1;
  const to = Math.min(first.isWhole ? 0 : last.lastId - 1, first.lastId + MAX_HELD + MAX_ENDED);
  for (let id = from; id <= to; id += 1) readUntilDamage(damaged, `${sql} WHERE id = ?`, found, id);
  return newestByKey([...found].sort(([a], [b]) => a - b).map(([, row]) => row));
}

function readUntilDamage(
  damaged: Connection,
  sql: string,
  found: Map<number, Value[]>,
  ...values: Value[]
): { isWhole: boolean; lastId: number } {
  let lastId = 0;
  try {
    for (const [id, ...row] of damaged.each(sql, ...values)) {
      lastId = Number(id);
      if (isSoundRow(row)) found.set(lastId, row as Value[]);
    }
    return { isWhole: true, lastId };
  } catch {
    return { isWhole: false, lastId };
  }
}

/** Held, and as `reserve` would have written it: damage can change what lies inside a row, too. */
function isSoundRow(row: readonly unknown[]): boolean {
  const [state, ...numbers] = row.slice(0, 7).map(Number);
  const texts = row.slice(7).filter((one) => one !== null);
  const bytes = numbers[5] ?? 0;
  return state === STATES.held && numbers.every(Number.isSafeInteger) && bytes > 0 && texts.length >= 3 && texts.slice(1).every(isJsonText);
}

function isJsonText(value: unknown): boolean {
  try {
    return typeof JSON.parse(String(value)) === 'string';
  } catch {
    return false;
  }
}

function newestByKey(rows: readonly Value[][]): Value[][] {
  return [...new Map(rows.map((row) => [row[8], row])).values()];
}

function requireSame(own: Held, { store, bytes, path }: LedgerRequest): void {
  if (own.store === store && own.bytes === bytes && own.path === path) return;
  throw new PlimsollError('conflict', 'RESERVATION_DIFFERS', {
    doing: 'reserve space',
    field: 'key',
    found: own.key,
    expected: `an unused key; this one already reserves ${formatBytes(own.bytes)} (${own.bytes} bytes) for a different request`,
  });
}

function requireRequest({ key, store, bytes, path, ttlSeconds }: LedgerRequest): void {
  if (!isText(key, MAX_KEY_LENGTH)) throw invalid('key', key, `a string of 1 to ${MAX_KEY_LENGTH} characters`);
  if (!isText(store, MAX_NAME_LENGTH)) throw invalid('store', store, `a string of 1 to ${MAX_NAME_LENGTH} characters`);
  if (path !== null && !isText(path, MAX_NAME_LENGTH)) throw invalid('path', path, `a string of 1 to ${MAX_NAME_LENGTH} characters`);
  if (!Number.isSafeInteger(bytes) || bytes <= 0) throw invalid('bytes', bytes, 'an integer from 1 to 2^53 - 1');
  const isTtl = typeof ttlSeconds === 'number' && ttlSeconds >= MIN_TTL_SECONDS && ttlSeconds <= MAX_TTL_SECONDS;
  if (!isTtl) throw invalid('ttlSeconds', ttlSeconds, `${MIN_TTL_SECONDS} to ${MAX_TTL_SECONDS}`);
}

function isText(value: unknown, longest: number): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= longest;
}

function invalid(field: string, found: unknown, expected: string): PlimsollError {
  return new PlimsollError('usage', 'RESERVATION_INVALID', { doing: 'reserve space', field, found: String(found), expected });
}

function tooMany(found: string, expected: string): PlimsollError {
  return new PlimsollError('over-budget', 'RESERVATIONS_TOO_MANY', { doing: 'reserve space', field: 'held reservations', found, expected });
}

function textOf({ key, path }: { readonly key: string; readonly path: string | null }): number {
  return key.length + (path?.length ?? 0);
}

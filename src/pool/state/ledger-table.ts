/** The table of reservations: its columns, its statements, and rows of ended ones. */
import type { Reservation } from '#wire';
import { type Connection, fromText } from './connection.ts';

/** Ended ones stay for the record. */
const ENDED_KEPT_MS = 7 * 86_400_000;
export const MAX_ENDED = 10_000;

/** Records that one call removes: more than it ends, so that they do not pile up. */
const REMOVED_AT_ONCE = 1000;

/** Stored states all take the same space, so that ending a reservation needs none. */
export const STATES = { held: 2, released: 3, expired: 4, fulfilled: 5 } as const;
const STATE_NAMES: Readonly<Record<number, Reservation['state']>> = { 2: 'held', 3: 'released', 4: 'expired', 5: 'fulfilled' };

/** `ended_ms` is the expiry as long as it is held; `deadline_ms` is of the monotonic clock of `boot`. */
export const MIGRATIONS = [
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
export const COLUMNS = 'state, created_ms, expires_ms, ended_ms, ttl_ms, deadline_ms, bytes, boot, key, store, path';
export const INSERT = `INSERT INTO reservation (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
export const END = 'UPDATE reservation SET state = ?, ended_ms = ? WHERE state = 2 AND key = ?';
export const EXTEND =
  'UPDATE reservation SET expires_ms = ?, ended_ms = ?, ttl_ms = ?, deadline_ms = ?, boot = ? WHERE state = 2 AND key = ?';

export function removeOld(connection: Connection, nowMs: number): void {
  const [row] = connection.all('SELECT count(*) FROM reservation WHERE state <> 2');
  const surplus = Math.max(Number(row?.[0] ?? 0) - MAX_ENDED, 0);
  const oldest = 'SELECT id FROM reservation WHERE state <> 2 ORDER BY ended_ms LIMIT ?';
  connection.run(`DELETE FROM reservation WHERE id IN (${oldest})`, Math.min(surplus, REMOVED_AT_ONCE));
  const old = 'SELECT id FROM reservation WHERE state <> 2 AND ended_ms < ? ORDER BY ended_ms LIMIT ?';
  connection.run(`DELETE FROM reservation WHERE id IN (${old})`, nowMs - ENDED_KEPT_MS, REMOVED_AT_ONCE);
}

export function endedReservation(row: readonly unknown[]): Reservation {
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
export function timeText(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString();
}

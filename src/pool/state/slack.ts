/** Free pages kept inside a database, so that small changes succeed on a full disk. */
import { type Connection, transaction } from './connection.ts';

const PAGE_BYTES = 4096;

/**
 * Writes and removes a blob: its pages stay free inside the file, and the log keeps the length it took. Both are used again
 * before new space is.
 */
export function takeSlack(connection: Connection, byteLength: number): void {
  connection.exec('CREATE TABLE IF NOT EXISTS slack (filler BLOB)');
  connection.exec('DELETE FROM slack');
  transaction(connection, () => connection.run('INSERT INTO slack VALUES (zeroblob(?))', byteLength));
  connection.exec('DELETE FROM slack');
  // What lies in the log alone has no space in the file yet.
  connection.all('PRAGMA wal_checkpoint(RESTART)');
}

export function freeBytes(connection: Connection): number {
  return Number(connection.all('PRAGMA freelist_count')[0]?.[0] ?? 0) * PAGE_BYTES;
}

/** Refills a new ledger after the old one was damaged: from memory while the daemon runs, else from the damaged file. */
import { plural } from '#base';
import type { Finding } from '#wire';
import type { Connection, Value } from './connection.ts';
import type { Rebuilt } from './database.ts';
import { MAX_HELD } from './ledger-request.ts';
import { COLUMNS, INSERT, MAX_ENDED, STATES } from './ledger-table.ts';

/** The file went bad while it was in use: what is held stands in memory. */
export function refillFromMemory({ aside, reason, fresh }: Rebuilt, rows: readonly (readonly Value[])[]): Finding {
  insertAll(fresh, rows);
  return rebuilt(aside, reason, `All ${rows.length} held reservations were restored; the record of ended ones is lost`);
}

export function refillFromFile({ aside, reason, fresh, readDamaged }: Rebuilt): Finding {
  const rows = readDamaged(readHeldRows) ?? [];
  insertAll(fresh, rows);
  const what = `${rows.length === 0 ? 'No held reservation' : plural(rows.length, 'held reservation')} could be read`;
  return rebuilt(aside, reason, `${what} from it and ${rows.length === 1 ? 'was' : 'were'} restored; other held reservations may be lost`);
}

function rebuilt(aside: string, reason: string, outcome: string): Finding {
  const message = `The ledger of reservations was damaged (${reason}). It was renamed to ${aside} and a new one was created. ${outcome}`;
  return { level: 'critical', code: 'LEDGER_REBUILT', message };
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

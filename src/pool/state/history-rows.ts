/** Rows of the history: reading and writing them. */
import type { StoreSample } from '#wire';
import type { Connection, Value } from './connection.ts';
import { SECOND } from './history-grid.ts';
import type { ImageRow } from './history-series.ts';

export interface StoreRow extends Omit<StoreSample, 'at'> {
  readonly atMs: number;
}

export function slotsOf(connection: Connection, table: string, from: number, to: number): number[] {
  const sql = `WITH RECURSIVE slots (at) AS (SELECT min(slot) FROM ${table} WHERE slot > ?
    UNION ALL SELECT (SELECT min(slot) FROM ${table} WHERE slot > at) FROM slots WHERE at IS NOT NULL) SELECT at FROM slots WHERE at <= ?`;
  return connection.all(sql, from, to).map(([at]) => Number(at));
}

/** Of a slot's samples up to now, on the next finer grid, the one with the least or the most available space; of equal ones the first. */
export function putExtreme(table: string, finer: string, order: '' | 'DESC'): string {
  return `INSERT OR REPLACE INTO ${table} SELECT ?, series, ?, slot + late - ?, size, available, allocation, commitment, residual, reserved
    FROM ${finer} WHERE slot >= ? AND slot <= ? AND series = ? AND slot + late <= ? ORDER BY available ${order}, slot + late LIMIT 1`;
}

/** Many rows by one statement: a call costs more than a row. */
export function putImages(connection: Connection, table: string, rows: readonly (readonly Value[])[]): void {
  if (rows.length === 0) return;
  const columns = [0, 1, 2, 3, 4, 5].map((index) => `value ->> ${index}`).join(', ');
  connection.run(`INSERT OR REPLACE INTO ${table} SELECT ${columns} FROM json_each(?)`, JSON.stringify(rows));
}

export function storeRow(row: readonly unknown[]): StoreRow {
  const [slot, late, size, available, allocation, commitment, residual, reserved] = row as (number | null)[];
  return {
    atMs: (Number(slot) + Number(late)) * SECOND,
    size: Number(size),
    available: Number(available),
    allocation: Number(allocation),
    commitment: commitment ?? null,
    residual: residual ?? null,
    reserved: Number(reserved),
  };
}

export function imageRow(row: readonly unknown[]): ImageRow {
  const [slot, late, length, allocation, commitment] = row as (number | null)[];
  const atMs = (Number(slot) + Number(late)) * SECOND;
  return { atMs, length: length ?? null, allocation: Number(allocation), commitment: commitment ?? null };
}

/** Loads the series of a history into memory. */
import { yieldToEventLoop } from '#base';
import { fromText } from './connection.ts';
import type { StateDatabase } from './database.ts';
import { DAY, SECOND } from './history-grid.ts';
import { slotsOf } from './history-rows.ts';
import { addPoint, emptySeries, type Series } from './history-series.ts';

/** Range that forecasts look back on when the process has just started. */
const LOADED_MS = 7 * DAY;

/** Series, and of each image what forecasts need, slot by slot. */
export async function loadSeries(database: StateDatabase, stores: Map<string, Series>, images: Map<string, Series>): Promise<void> {
  const rows = database.read((connection) => connection.all('SELECT id, name, store, last FROM series'));
  const byNumber = new Map<number, Series>();
  for (const [number, name, store, last] of rows) {
    const series = emptySeries(Number(number), fromText(name), store === null ? undefined : fromText(store), Number(last));
    byNumber.set(series.number, series);
    (series.storeId === undefined ? stores : images).set(series.id, series);
  }
  await loadPoints(database, byNumber);
}

async function loadPoints(database: StateDatabase, byNumber: ReadonlyMap<number, Series>): Promise<void> {
  const newest = Number(database.read((connection) => connection.all('SELECT max(slot) FROM image_ten'))[0]?.[0] ?? 0);
  const fromSlot = newest - LOADED_MS / SECOND;
  // Six-hourly first, then what changed of late: each list of points stays in order.
  for (const [table, from, to] of [
    ['image_quarter', fromSlot, newest - DAY / SECOND],
    ['image_hour', newest - DAY / SECOND, newest],
  ] as const) {
    const slots = database.read((connection) => slotsOf(connection, table, from, to));
    for (const slot of slots) {
      const sql = `SELECT series, late, allocation FROM ${table} WHERE slot = ?`;
      for (const [number, late, allocation] of database.read((connection) => connection.all(sql, slot))) {
        const series = byNumber.get(Number(number));
        if (series !== undefined) addPoint(series, { atMs: (slot + Number(late)) * SECOND, bytes: Number(allocation) });
      }
      await yieldToEventLoop();
    }
  }
}

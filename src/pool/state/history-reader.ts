/** Reads samples of the history back, from the grid that suits the query. */
import type { HistoryQuery } from '#wire';
import type { StateDatabase } from './database.ts';
import { HOUR, IMAGE_TIERS, place, SECOND, seconds, STORE_TIERS, type Tier, tierFor } from './history-grid.ts';
import { imageRow, storeRow, type StoreRow } from './history-rows.ts';
import { type ImageRow, lastKnown, type Series } from './history-series.ts';

export class HistoryReader {
  /** Time of the last tick, the end of what is shown; without an end before the first. */
  lastAtMs = Number.POSITIVE_INFINITY;
  readonly #database: StateDatabase;
  readonly #retentionMs: number;

  constructor(database: StateDatabase, retentionMs: number) {
    this.#database = database;
    this.#retentionMs = retentionMs;
  }

  storeRows(series: Series | undefined, query: HistoryQuery): readonly StoreRow[] {
    if (series === undefined) return [];
    const toMs = Math.min(query.toMs, this.lastAtMs);
    const tier = tierFor(STORE_TIERS, { ...query, toMs }, this.#now(toMs));
    const bounds = [seconds(query.fromMs - tier.stepMs), seconds(toMs)];
    const sql = `SELECT slot, late, size, available, allocation, commitment, residual, reserved FROM ${tier.table}
      WHERE slot > ? AND slot <= ? AND series = ? ORDER BY slot, most`;
    const rows = this.#database.read((connection) => connection.all(sql, ...bounds, series.number)).map(storeRow);
    const inOrder = rows.filter(({ atMs }) => atMs >= query.fromMs && atMs <= toMs).sort((a, b) => a.atMs - b.atMs);
    // Where the least and the most are the same sample.
    return inOrder.filter((row, index) => row.atMs !== inOrder[index - 1]?.atMs);
  }

  /**
   * From when to when there are samples of a store, to the hour. The grid is chosen by that: by the time that was asked for, or
   * without an end before the first tick, a young history would come down to a few points.
   */
  spanOf(series: Series | undefined, fromMs: number): { readonly fromMs: number; readonly toMs: number } {
    const sql = 'SELECT min(slot), max(slot) FROM store_hour WHERE slot > ? AND series = ?';
    const [[first, last] = []] = this.#database.read((connection) => connection.all(sql, seconds(fromMs - HOUR), series?.number ?? null));
    if (typeof first !== 'number' || typeof last !== 'number') return { fromMs, toMs: fromMs };
    return { fromMs: Math.max(fromMs, first * SECOND), toMs: Math.min(this.lastAtMs, last * SECOND + HOUR) };
  }

  imageRows(series: Series | undefined, query: HistoryQuery): readonly ImageRow[] {
    if (series === undefined) return [];
    const toMs = Math.min(query.toMs, this.lastAtMs);
    const now = this.#now(toMs);
    // Only what changed is on the finest grid: the next one has the rest.
    const coarse = tierFor(IMAGE_TIERS.slice(1), { ...query, toMs }, now);
    const tiers = coarse === IMAGE_TIERS[1] ? IMAGE_TIERS.slice(0, 2) : [coarse];
    const rows = tiers.flatMap((tier) =>
      this.#rowsOfGrid(series.number, tier, Math.max(query.fromMs, now - Math.min(tier.keptMs, this.#retentionMs)), toMs),
    );
    const all = [...rows, ...lastKnown(series)].filter(({ atMs }) => atMs >= query.fromMs && atMs <= toMs).sort((a, b) => a.atMs - b.atMs);
    return all.filter((row, index) => row.atMs !== all[index - 1]?.atMs);
  }

  /** From slot to slot: a row lies at its place or not at all. */
  #rowsOfGrid(number: number, { table, stepMs }: Tier, fromMs: number, toMs: number): ImageRow[] {
    const [first, last, step] = [place(fromMs, stepMs).slot, place(toMs, stepMs).slot, stepMs / SECOND];
    const sql = `WITH RECURSIVE grid (at) AS (SELECT ? UNION ALL SELECT at + ? FROM grid WHERE at + ? <= ?)
      SELECT slot, late, length, allocation, commitment FROM grid CROSS JOIN ${table} ON slot = at AND series = ?`;
    return this.#database.read((connection) => connection.all(sql, first, step, step, last, number)).map(imageRow);
  }

  /** The end of what is kept; a query may end before that. */
  #now(toMs: number): number {
    return Number.isFinite(this.lastAtMs) ? this.lastAtMs : toMs;
  }
}

/**
 * What stores and images were, over time: for charts and for forecasts. Losing it costs foresight, nothing else, so it
 * never fails its caller: what could not be written is a finding, and is tried again with the next sample.
 *
 * Samples lie on grids of time, a table per grid (`TIERS`), the finer ones kept for a shorter while; each sample goes to all
 * of them when it comes, so that thinning out is only deleting. They are real samples with the time they were taken, no
 * means: of a store the coarse grids keep, per slot, the one with the least available space and the one with the most; of an
 * image the first of each slot, on the finest grid only if it changed. Rows are in order of (slot, series): writing a tick
 * appends, and the samples of one image are found by going from slot to slot.
 *
 * Time: a clock that was set back leaves samples in its future. Which of the two times was wrong is unknown, so they stay;
 * until the clock gets there they are not shown and do not count, and then they are written over. A clock that was set ahead
 * must not make all that is kept look old, so nothing is deleted until it has gone evenly for an hour.
 */
import type { Finding, HistoryQuery, ImageSample, StoreSample } from '#wire';
import { PlimsollError, yieldToEventLoop } from '#base';
import type { SizePoint } from '../decide/growth.ts';
import { asText, type Connection, type Value } from './connection.ts';
import { openDatabase, type StateDatabase } from './database.ts';
import { DAY, HOUR, IMAGE_TIERS, MIGRATIONS, MINUTE, place, SECOND, seconds, STORE_TIERS } from './history-grid.ts';
import { loadSeries } from './history-load.ts';
import { HistoryReader } from './history-reader.ts';
import { putExtreme, putImages } from './history-rows.ts';
import { between, emptySeries, type ImageState, moveSeries, remember, type Series, type StoreState } from './history-series.ts';
import { downsample } from './downsample.ts';

const DEFAULT_RETENTION_MS = 400 * DAY;

/** Images written before others get their turn: some milliseconds. */
const IMAGES_AT_ONCE = 100;
/** Rows deleted before others get their turn. */
const ROWS_AT_ONCE = 1000;
/** The clock has gone evenly for so long before anything is deleted. */
const STEADY_MS = HOUR;
/** More than this between what the wall clock and the monotonic one say passed is a jump. */
const JUMP_MS = 2 * MINUTE;
const CACHE_PAGES = 4096;

export interface Tick {
  readonly atMs: number;
  readonly stores: readonly StoreState[];
  readonly images: readonly ImageState[];
}

export interface HistoryChoice {
  /** How long the coarsest samples are kept. */
  readonly retentionMs?: number;
  readonly monotonicMs?: () => number;
}

export class History {
  readonly #database: StateDatabase;
  readonly #reader: HistoryReader;
  readonly #retentionMs: number;
  readonly #monotonicMs: () => number;
  readonly #rebuilt: Finding[];
  #unwritable: Finding | undefined;
  #stores = new Map<string, Series>();
  #images = new Map<string, Series>();
  /** Of the transaction that is being written: not there if it fails. */
  #begun: Series[] = [];
  /** Wall clock less monotonic clock at the last tick, and since when that has been so. */
  #offsetMs: number | undefined;
  #steadySinceMs: number;
  #isAppending = false;

  private constructor(database: StateDatabase, choice: HistoryChoice, rebuilt: Finding[]) {
    this.#database = database;
    this.#retentionMs = choice.retentionMs ?? DEFAULT_RETENTION_MS;
    this.#monotonicMs = choice.monotonicMs ?? ((): number => Number(process.hrtime.bigint() / 1_000_000n));
    this.#reader = new HistoryReader(database, this.#retentionMs);
    this.#steadySinceMs = this.#monotonicMs();
    this.#rebuilt = rebuilt;
  }

  /** The history in `file`, made if it is missing; a damaged one is kept aside. Throws as `openDatabase`. */
  static async open(file: string, choice: HistoryChoice = {}): Promise<History> {
    const rebuilt: Finding[] = [];
    const known: { history: History | undefined } = { history: undefined };
    const database = await openDatabase({
      file,
      migrations: MIGRATIONS,
      durability: 'normal',
      check: 'schema',
      slackBytes: 0,
      cachePages: CACHE_PAGES,
      onRebuilt: ({ aside, reason }) => {
        const message = `The history of stores and images was damaged (${reason}). It was renamed to ${aside} and a new one was created: forecasts start over`;
        rebuilt.push({ level: 'critical', code: 'HISTORY_REBUILT', message });
        known.history?.forgetSeries();
      },
    });
    const history = new History(database, choice, rebuilt);
    known.history = history;
    try {
      await loadSeries(database, history.#stores, history.#images);
    } catch (error) {
      database.close();
      throw error;
    }
    return history;
  }

  findings(): readonly Finding[] {
    return this.#unwritable === undefined ? this.#rebuilt : [...this.#rebuilt, this.#unwritable];
  }

  /**
   * Adds a tick; in pieces, between which others get their turn. While one is being added another is left out. Never rejects:
   * what could not be written is a finding until it could again.
   */
  async append(tick: Tick): Promise<void> {
    if (this.#isAppending) return;
    this.#isAppending = true;
    try {
      this.#seeClock(tick.atMs);
      this.#write((connection) => {
        for (const one of tick.stores) this.#addStore(connection, one, tick.atMs);
      });
      for (let begin = 0; begin < tick.images.length; begin += IMAGES_AT_ONCE) {
        const piece = tick.images.slice(begin, begin + IMAGES_AT_ONCE);
        this.#addImages(piece, tick.atMs);
        await yieldToEventLoop();
      }
      this.#unwritable = undefined;
    } catch (error) {
      this.#unwritable = unwritable(error);
    } finally {
      this.#isAppending = false;
    }
  }

  /** Samples of a store, in order of time, at most `query.points`. Empty for an unknown store. */
  storeSamples(id: string, query: HistoryQuery): readonly StoreSample[] {
    const rows = this.#reader.storeRows(this.#stores.get(id), query);
    return downsample(rows, query.points, ({ available }) => available).map(({ atMs, ...sample }) => ({ at: timeText(atMs), ...sample }));
  }

  /** As `storeSamples`. */
  imageSamples(id: string, query: HistoryQuery): readonly ImageSample[] {
    const rows = this.#reader.imageRows(this.#images.get(id), query);
    return downsample(rows, query.points, ({ allocation }) => allocation).map(({ atMs, ...sample }) => ({ at: timeText(atMs), ...sample }));
  }

  /** Allocation and available space of a store since `fromMs`, at most a few hundred points each. */
  storePoints(id: string, fromMs: number): { readonly allocation: readonly SizePoint[]; readonly available: readonly SizePoint[] } {
    const series = this.#stores.get(id);
    const query = { ...this.#reader.spanOf(series, fromMs), points: 300 };
    const rows = downsample(this.#reader.storeRows(series, query), 300, ({ available }) => available);
    return {
      allocation: rows.map(({ atMs, allocation }) => ({ atMs, bytes: allocation })),
      available: rows.map(({ atMs, available }) => ({ atMs, bytes: available })),
    };
  }

  /**
   * What the images of a store allocated since `fromMs`, by image, at most 64 points each; of equal ones in a row the first and
   * the last. From memory.
   */
  imagePoints(storeId: string, fromMs: number): ReadonlyMap<string, readonly SizePoint[]> {
    const result = new Map<string, readonly SizePoint[]>();
    for (const [id, { points, storeId: lyingOn }] of this.#images) {
      if (lyingOn !== storeId) continue;
      const visible = between(points, fromMs, this.#reader.lastAtMs);
      if (visible.length > 0) result.set(id, visible);
    }
    return result;
  }

  /** As `imagePoints`, of one image; empty where nothing is known. */
  pointsOf(storeId: string, imageId: string, fromMs: number): readonly SizePoint[] {
    const series = this.#images.get(imageId);
    return series?.storeId === storeId ? between(series.points, fromMs, this.#reader.lastAtMs) : [];
  }

  /** Deletes what is too old, in pieces between which others get their turn; how many rows. Never rejects. */
  async compact(nowMs: number): Promise<number> {
    if (this.#monotonicMs() - this.#steadySinceMs < STEADY_MS) return 0;
    let deleted = 0;
    try {
      for (const { table, keptMs } of [...STORE_TIERS, ...IMAGE_TIERS]) {
        const oldest = seconds(nowMs - Math.min(keptMs, this.#retentionMs));
        deleted += await this.#deleteBefore(table, oldest);
      }
      this.#forgetOldSeries(seconds(nowMs - this.#retentionMs));
    } catch (error) {
      this.#unwritable = unwritable(error);
    }
    return deleted;
  }

  /**
   * Gives the samples of the store `from`, an earlier id of it, to `to`, and those of its images to their present ids; only if a
   * sample was taken since `sinceMs`, and nothing is known under `to`. Never throws.
   */
  adopt(from: string, to: string, images: readonly (readonly [from: string, to: string])[], sinceMs: number): void {
    const store = this.#stores.get(from);
    if (store === undefined || this.#stores.has(to)) return;
    try {
      const last = this.#database.read((connection) => connection.all('SELECT max(slot) FROM store_minute WHERE series = ?', store.number));
      if (Number(last[0]?.[0] ?? 0) * SECOND + MINUTE < sinceMs) return;
      this.#write((connection) => {
        const rename = 'UPDATE OR IGNORE series SET name = ?, store = ? WHERE id = ?';
        connection.run(rename, asText(to), null, store.number);
        for (const [old, now] of images) {
          const series = this.#images.get(old);
          if (series?.storeId === from) connection.run(rename, asText(now), asText(to), series.number);
        }
      });
      moveSeries(this.#stores, store, { id: to, storeId: undefined });
      for (const [old, now] of images) {
        const series = this.#images.get(old);
        if (series?.storeId === from) moveSeries(this.#images, series, { id: now, storeId: to });
      }
    } catch (error) {
      this.#unwritable = unwritable(error);
    }
  }

  close(): void {
    this.#database.close();
  }

  /** The file is new: numbers of series mean nothing any more. What is at hand for forecasts goes with them. */
  forgetSeries(): void {
    this.#stores = new Map();
    this.#images = new Map();
  }

  async #deleteBefore(table: string, slot: number): Promise<number> {
    const nth = `SELECT slot, series FROM ${table} WHERE slot < ? ORDER BY slot, series LIMIT 1 OFFSET ${ROWS_AT_ONCE}`;
    for (let total = 0; ; ) {
      const [changes, isLast] = this.#write((connection) => {
        const [edge] = connection.all(nth, slot) as [number, number][];
        if (edge === undefined) return [connection.run(`DELETE FROM ${table} WHERE slot < ?`, slot), true];
        return [connection.run(`DELETE FROM ${table} WHERE (slot, series) < (?, ?)`, ...edge), false];
      });
      total += changes;
      if (isLast) return total;
      await yieldToEventLoop();
    }
  }

  /** Series without a sample that is kept. */
  #forgetOldSeries(oldestSeconds: number): void {
    const gone = this.#database.read((connection) =>
      connection.all(`SELECT id FROM series WHERE last < ? LIMIT ${ROWS_AT_ONCE}`, oldestSeconds),
    );
    if (gone.length === 0) return;
    const numbers = new Set(gone.map(([id]) => Number(id)));
    this.#write((connection) => {
      for (const number of numbers) connection.run('DELETE FROM series WHERE id = ?', number);
    });
    for (const list of [this.#stores, this.#images]) {
      for (const [id, { number }] of list) if (numbers.has(number)) list.delete(id);
    }
  }

  #seeClock(atMs: number): void {
    const now = this.#monotonicMs();
    const offsetMs = atMs - now;
    if (this.#offsetMs !== undefined && Math.abs(offsetMs - this.#offsetMs) > JUMP_MS) this.#clockJumped(now);
    this.#offsetMs = offsetMs;
    this.#reader.lastAtMs = atMs;
  }

  /** What was noted as written may lie in another time: all is written anew. */
  #clockJumped(now: number): void {
    this.#steadySinceMs = now;
    for (const one of this.#images.values()) one.slots = [];
  }

  #addStore(connection: Connection, state: StoreState, atMs: number): void {
    const series = this.#stores.get(state.id) ?? this.#newSeries(connection, state.id, undefined, atMs);
    this.#note(connection, series, atMs);
    const { size, available, allocation, commitment, residual, reserved } = state;
    const { slot, late } = place(atMs, MINUTE);
    const values = [slot, series.number, late, size, available, allocation, commitment, residual, reserved];
    connection.run('INSERT OR REPLACE INTO store_minute VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?)', ...values);
    for (const [index, { table, stepMs }] of STORE_TIERS.slice(1).entries()) {
      const finer = STORE_TIERS[index]?.table ?? '';
      const begin = place(atMs, stepMs).slot;
      const bounds = [begin, seconds(atMs), series.number, seconds(atMs)];
      connection.run(putExtreme(table, finer, ''), begin, 0, begin, ...bounds);
      connection.run(putExtreme(table, finer, 'DESC'), begin, 1, begin, ...bounds);
    }
  }

  /** All of a piece or nothing of it: what is at hand is changed only when it is written. */
  #addImages(piece: readonly ImageState[], atMs: number): void {
    const rows: { readonly table: string; readonly values: Value[] }[] = [];
    const written: (() => void)[] = [];
    this.#write((connection) => {
      rows.length = 0;
      written.length = 0;
      for (const state of piece) {
        const known = this.#images.get(state.id);
        const series = known?.storeId === state.storeId ? known : this.#newSeries(connection, state.id, state.storeId, atMs);
        this.#note(connection, series, atMs);
        const { length, allocation, commitment } = state;
        const hasChanged = series.length !== length || series.allocation !== allocation || series.commitment !== commitment;
        const slots = IMAGE_TIERS.map(({ stepMs }) => place(atMs, stepMs));
        for (const [index, { table }] of IMAGE_TIERS.entries()) {
          const at = slots[index] ?? { slot: 0, late: 0 };
          if (series.slots[index] === at.slot || (index === 0 && !hasChanged)) continue;
          rows.push({ table, values: [at.slot, series.number, at.late, length, allocation, commitment] });
          written.push(() => (series.slots[index] = at.slot));
        }
        written.push(() => remember(series, state, atMs));
      }
      for (const { table } of IMAGE_TIERS)
        putImages(
          connection,
          table,
          rows.filter((one) => one.table === table).map(({ values }) => values),
        );
    });
    for (const one of written) one();
  }

  #newSeries(connection: Connection, id: string, storeId: string | undefined, atMs: number): Series {
    const store = storeId === undefined ? null : asText(storeId);
    const kind = storeId === undefined ? 'store IS NULL' : 'store IS NOT NULL';
    connection.run(`DELETE FROM series WHERE name = ? AND ${kind} AND store IS NOT ?`, asText(id), store);
    connection.run('INSERT OR IGNORE INTO series (name, store, last) VALUES (?, ?, ?)', asText(id), store, seconds(atMs));
    const [row] = connection.all(`SELECT id FROM series WHERE name = ? AND ${kind}`, asText(id));
    const series = emptySeries(Number(row?.[0]), id, storeId, seconds(atMs));
    this.#begun.push(series);
    (storeId === undefined ? this.#stores : this.#images).set(id, series);
    return series;
  }

  /** Once a day, to detect series that are no longer updated. */
  #note(connection: Connection, series: Series, atMs: number): void {
    const now = seconds(atMs);
    if (Math.abs(now - series.lastSeconds) < DAY / SECOND) return;
    connection.run('UPDATE series SET last = ? WHERE id = ?', now, series.number);
    Object.assign(series, { lastSeconds: now });
  }

  #write<T>(work: (connection: Connection) => T): T {
    this.#begun = [];
    try {
      return this.#database.write(work);
    } catch (error) {
      for (const { id, storeId } of this.#begun) (storeId === undefined ? this.#stores : this.#images).delete(id);
      throw error;
    }
  }
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

function unwritable(error: unknown): Finding {
  const found = error instanceof PlimsollError ? String(error.where.found ?? error.message) : String(error);
  const message = `The history cannot be written: ${found}. Existing samples are kept; new ones are lost until writing succeeds again`;
  return { level: 'warning', code: 'HISTORY_UNWRITABLE', message };
}

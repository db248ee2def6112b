/** The grids of time on which samples of the history lie, and their tables. */
import type { HistoryQuery } from '#wire';

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export interface Tier {
  readonly table: string;
  readonly stepMs: number;
  /** The coarsest is kept as long as the caller chose. */
  readonly keptMs: number;
}

export const STORE_TIERS: readonly Tier[] = [
  { table: 'store_minute', stepMs: MINUTE, keptMs: 14 * DAY },
  { table: 'store_ten', stepMs: 10 * MINUTE, keptMs: 90 * DAY },
  { table: 'store_hour', stepMs: HOUR, keptMs: 366 * DAY },
  { table: 'store_day', stepMs: DAY, keptMs: Number.POSITIVE_INFINITY },
];

export const IMAGE_TIERS: readonly Tier[] = [
  { table: 'image_ten', stepMs: 10 * MINUTE, keptMs: 2 * DAY },
  { table: 'image_hour', stepMs: HOUR, keptMs: 7 * DAY },
  { table: 'image_quarter', stepMs: 6 * HOUR, keptMs: 30 * DAY },
  { table: 'image_day', stepMs: DAY, keptMs: Number.POSITIVE_INFINITY },
];

/** Times are in seconds: `slot` begins one of the grid, `late` is how long after that the sample was taken. */
export const MIGRATIONS = [
  [
    'CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL, store TEXT, last INTEGER NOT NULL) STRICT',
    'CREATE UNIQUE INDEX store_name ON series (name) WHERE store IS NULL',
    'CREATE UNIQUE INDEX image_name ON series (name) WHERE store IS NOT NULL',
    ...STORE_TIERS.map(
      ({ table }) =>
        `CREATE TABLE ${table} (slot INTEGER, series INTEGER, most INTEGER, late INTEGER, size INTEGER NOT NULL, available INTEGER NOT NULL,
           allocation INTEGER NOT NULL, commitment INTEGER, residual INTEGER, reserved INTEGER NOT NULL,
           PRIMARY KEY (slot, series, most)) STRICT, WITHOUT ROWID`,
    ),
    ...IMAGE_TIERS.map(
      ({ table }) =>
        `CREATE TABLE ${table} (slot INTEGER, series INTEGER, late INTEGER, length INTEGER, allocation INTEGER NOT NULL, commitment INTEGER,
           PRIMARY KEY (slot, series)) STRICT, WITHOUT ROWID`,
    ),
  ].join(';\n'),
];

/** The finest grid that reaches back to `fromMs`, unless a coarser one has points enough. */
export function tierFor(tiers: readonly Tier[], { fromMs, toMs, points }: HistoryQuery, nowMs: number): Tier {
  const reaching = tiers.filter(({ keptMs }) => nowMs - keptMs <= fromMs);
  const enough = reaching.filter(({ stepMs }) => (toMs - fromMs) / stepMs >= points / 2);
  return enough.at(-1) ?? reaching[0] ?? (tiers.at(-1) as Tier);
}

export function place(atMs: number, stepMs: number): { readonly slot: number; readonly late: number } {
  const slotMs = Math.floor(atMs / stepMs) * stepMs;
  return { slot: slotMs / SECOND, late: Math.floor((atMs - slotMs) / SECOND) };
}

export function seconds(ms: number): number {
  return Math.floor(ms / SECOND);
}

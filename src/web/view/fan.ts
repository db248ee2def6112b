/** The history of a store and the fan of its forecast, as columns for a chart. Pure. */
import { formatBytes } from '#base';
import type { Growth, StoreSample, StoreView } from '#wire';
import { asClause, describeOutlook, formatMoment } from './durations.ts';

/** Columns of equal length, ascending by time; null: nothing to draw there. */
export interface Trend {
  /** Seconds since 1970. */
  readonly at: readonly number[];
  /** size − available. */
  readonly used: readonly (number | null)[];
  readonly allocation: readonly (number | null)[];
  /** The use with every promise written: used + residual + reserved. */
  readonly promised: readonly (number | null)[];
  readonly size: readonly (number | null)[];
  readonly loadLine: readonly (number | null)[];
  readonly low: readonly (number | null)[];
  readonly high: readonly (number | null)[];
  /** Why there is no fan; null if there is one. */
  readonly noFan: string | null;
}

export interface FanPoint {
  readonly atMs: number;
  readonly low: number;
  readonly high: number;
}

const FAN_POINTS = 32;

/**
 * What is used from now to `toMs` at the low and the high growth; never below nothing, and never past `cap`, which is
 * what would be used if everything promised were written. Empty when growth is not known. Units: bytes.
 */
export function fanOf(used: number, growth: Growth, cap: number | null, nowMs: number, toMs: number): FanPoint[] {
  const { low, high } = growth;
  if (low === null || high === null || toMs <= nowMs) return [];
  const most = Math.max(cap ?? Number.POSITIVE_INFINITY, used);
  const hold = (bytes: number): number => Math.min(most, Math.max(0, bytes));
  return Array.from({ length: FAN_POINTS + 1 }, (_, index) => {
    const atMs = nowMs + ((toMs - nowMs) * index) / FAN_POINTS;
    const seconds = (atMs - nowMs) / 1000;
    return { atMs, low: hold(used + low * seconds), high: hold(used + high * seconds) };
  });
}

/** The use with every promise written; null if unknown. */
export function promisedOf(one: Pick<StoreSample, 'size' | 'available' | 'residual' | 'reserved'>): number | null {
  return one.residual === null ? null : one.size - one.available + one.residual + one.reserved;
}

/** Minimum future shown with a young history, so that the fan is visible. */
const MIN_PAST_MS = 10 * 60_000;

/** The past in `samples`, the store as it is now, and half as long again of future. */
export function trendOf(samples: readonly StoreSample[], store: StoreView, nowMs: number, rangeMs: number): Trend {
  const past = samples.map((one) => ({ ...one, atMs: Date.parse(one.at) })).filter(({ atMs }) => atMs < nowMs);
  const now = { ...store, atMs: nowMs };
  const used = store.size - store.available;
  const pastMs = Math.min(rangeMs, Math.max(MIN_PAST_MS, nowMs - (past[0]?.atMs ?? nowMs)));
  const fan = fanOf(used, store.forecast.growth, promisedOf(now), nowMs, nowMs + pastMs / 2);
  const rows = [...past, now].map((one, index) => ({
    at: one.atMs / 1000,
    used: one.size - one.available,
    allocation: one.allocation,
    promised: promisedOf(one),
    size: one.size,
    low: index === past.length && fan.length > 0 ? used : null,
    high: index === past.length && fan.length > 0 ? used : null,
  }));
  const future = fan.slice(1).map(({ atMs, low, high }) => {
    return { at: atMs / 1000, used: null, allocation: null, promised: null, size: store.size, low, high };
  });
  const all = [...rows, ...future];
  return {
    at: all.map((row) => row.at),
    used: all.map((row) => row.used),
    allocation: all.map((row) => row.allocation),
    promised: all.map((row) => row.promised),
    size: all.map((row) => row.size),
    loadLine: all.map((row) => row.size - store.floor),
    low: all.map((row) => row.low),
    high: all.map((row) => row.high),
    noFan: fan.length > 0 ? null : asClause(store.forecast.growth.unknown ?? 'the growth is unknown'),
  };
}

/** The chart in sentences, for screen readers and for quick reading. */
export function summarizeTrend(samples: readonly StoreSample[], store: StoreView, nowMs: number): string {
  const [first] = samples;
  const used = store.size - store.available;
  const sentences =
    first === undefined
      ? [`${formatBytes(used)} are used now; no history yet.`]
      : [`Used: ${formatBytes(first.size - first.available)} at ${formatMoment(Date.parse(first.at), nowMs)}, ${formatBytes(used)} now.`];
  sentences.push(`The load line is at ${formatBytes(store.size - store.floor)} of ${formatBytes(store.size)}.`);
  const { toFloor, growth } = store.forecast;
  if (growth.unknown !== null) sentences.push(`No forecast: ${asClause(growth.unknown)}.`);
  else sentences.push(`At the observed growth, space runs out: ${describeOutlook(toFloor)}.`);
  return sentences.join(' ');
}

/** At most `count` of `rows`, evenly spaced, always including the last. */
export function thin<T>(rows: readonly T[], count: number): readonly T[] {
  if (rows.length <= count) return rows;
  const step = (rows.length - 1) / (count - 1);
  return Array.from({ length: count }, (_, index) => rows[Math.round(index * step)] as T);
}

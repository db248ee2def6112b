/** A series of samples, of one store or image, as far as it is kept in memory. */
import type { ImageSample, StoreSample } from '#wire';
import type { SizePoint } from '../decide/growth.ts';
import { SECOND } from './history-grid.ts';

/** Points of an image that are kept at hand for forecasts, each first of equal ones and the last. */
const MAX_POINTS = 64;

export interface StoreState extends Omit<StoreSample, 'at'> {
  readonly id: string;
}

export interface ImageState {
  readonly id: string;
  readonly storeId: string;
  readonly path: string;
  readonly length: number | null;
  readonly allocation: number;
  readonly commitment: number | null;
}

/** What is at hand of a series. */
export interface Series {
  readonly number: number;
  readonly id: string;
  /** undefined for a store. */
  readonly storeId: string | undefined;
  /** The slot, per tier, that has its sample. */
  slots: number[];
  lastSeconds: number;
  length: number | null | undefined;
  allocation: number | undefined;
  commitment: number | null | undefined;
  points: SizePoint[];
}

export interface ImageRow extends Omit<ImageSample, 'at'> {
  readonly atMs: number;
}

export function emptySeries(number: number, id: string, storeId: string | undefined, lastSeconds: number): Series {
  return { number, id, storeId, slots: [], lastSeconds, length: undefined, allocation: undefined, commitment: undefined, points: [] };
}

export function moveSeries(list: Map<string, Series>, series: Series, named: Pick<Series, 'id' | 'storeId'>): void {
  list.delete(series.id);
  list.set(named.id, { ...series, ...named });
}

export function remember(series: Series, { length, allocation, commitment }: ImageState, atMs: number): void {
  Object.assign(series, { length, allocation, commitment });
  addPoint(series, { atMs, bytes: allocation });
}

/** Of points in order of time. */
export function between(points: readonly SizePoint[], fromMs: number, toMs: number): readonly SizePoint[] {
  const begin = points.findIndex(({ atMs }) => atMs >= fromMs);
  const last = points.findLastIndex(({ atMs }) => atMs <= toMs);
  return begin < 0 ? [] : points.slice(begin, last + 1);
}

/** What is not on a coarse grid yet. */
export function lastKnown({ points, length, allocation, commitment }: Series): ImageRow[] {
  const last = points.at(-1);
  if (last === undefined || allocation === undefined) return [];
  return [{ atMs: Math.floor(last.atMs / SECOND) * SECOND, length: length ?? null, allocation, commitment: commitment ?? null }];
}

/** Of three equal ones in a row the middle one says nothing. When there are too many, every other one of the older half goes. */
export function addPoint(series: Series, point: SizePoint): void {
  const { points } = series;
  while ((points.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) >= point.atMs) points.pop();
  if (points.at(-1)?.bytes === point.bytes && points.at(-2)?.bytes === point.bytes) points.pop();
  points.push(point);
  if (points.length > MAX_POINTS) Object.assign(series, { points: points.filter((_, index) => index > MAX_POINTS / 2 || index % 2 === 0) });
}

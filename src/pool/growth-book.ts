/** How fast images and stores have grown: points of their sizes over time, kept for a day. */
import type { Growth } from '#wire';
import { growthOf, type SizePoint } from './forecast.ts';

/** As far back as growth is judged: long enough to see a day's pattern, short enough to follow a change. */
export const GROWTH_WINDOW_MS = 24 * 3600 * 1000;
/** Of one series. When there are more, every other older one is forgotten. */
const MAX_POINTS = 1500;

/** One series of sizes. */
export class GrowthSeries {
  #points: SizePoint[];
  #known: { readonly nowMs: number; readonly growth: Growth } | undefined;

  constructor(points: readonly SizePoint[] = []) {
    this.#points = [...points];
  }

  add(atMs: number, bytes: number): void {
    this.#points.push({ atMs, bytes });
    this.#known = undefined;
    if (this.#points.length <= MAX_POINTS) return;
    const half = this.#points.length - MAX_POINTS / 2;
    this.#points = this.#points.filter((_, index) => index >= half || index % 2 === 0);
  }

  /** Forgets what lies before `fromMs`, save the last of it: how large it was when the window began. */
  forget(fromMs: number): void {
    const first = this.#points.findIndex(({ atMs }) => atMs >= fromMs);
    if (first > 1) this.#points = this.#points.slice(first - 1);
  }

  growth(nowMs: number): Growth {
    if (this.#known?.nowMs !== nowMs) this.#known = { nowMs, growth: growthOf(this.#points, nowMs) };
    return this.#known.growth;
  }
}

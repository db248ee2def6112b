/** How large a store was, over time: points for its growth, as many as that can use. */
import type { Growth } from '#wire';
import { growthOf, LOOK_BACK_SECONDS, type SizePoint } from '#pool';

/** When there are more, every other one of the older half is forgotten: looks come by the second when much happens. */
const MAX_POINTS = 1500;

export class GrowthSeries {
  #points: SizePoint[];
  #known: { readonly nowMs: number; readonly growth: Growth } | undefined;

  constructor(points: readonly SizePoint[]) {
    this.#points = [...points];
  }

  add(atMs: number, bytes: number): void {
    const last = this.#points.at(-1);
    const beforeLast = this.#points.at(-2);
    // Of a size that stays, the first point and the last.
    if (last?.bytes === bytes && beforeLast?.bytes === bytes && atMs - beforeLast.atMs < STAYS_MS) this.#points.pop();
    this.#points.push({ atMs, bytes });
    this.#known = undefined;
    const oldest = atMs - LOOK_BACK_SECONDS * 1000;
    if ((this.#points[1]?.atMs ?? oldest) < oldest) this.#points.shift();
    if (this.#points.length > MAX_POINTS) this.#points = this.#points.filter((_, index) => index > MAX_POINTS / 2 || index % 2 === 0);
  }

  growth(nowMs: number): Growth {
    if (this.#known === undefined || nowMs - this.#known.nowMs > STAYS_MS) this.#known = { nowMs, growth: growthOf(this.#points, nowMs) };
    return this.#known.growth;
  }
}

/** A size that does not change is a point at least so often, and growth is worked out anew. */
const STAYS_MS = 30_000;

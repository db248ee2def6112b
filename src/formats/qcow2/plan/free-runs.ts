/**
 * Which host clusters of a growing image are free: everything from a frontier on, and a few holes below it. A new image
 * has next to no holes, so a sorted list of them costs nothing where a bit per cluster would cost megabytes.
 */
import type { Range } from '#base';

export class FreeRuns {
  /** Free runs in clusters, ascending, apart from each other, all below the frontier. */
  readonly #holes: Range[] = [];
  #frontier = 0;

  /** Index after the last cluster in use. */
  get frontier(): number {
    return this.#frontier;
  }

  get holes(): readonly Range[] {
    return this.#holes;
  }

  /** The first of `count` neighbouring free clusters at or after `from`. */
  firstRun(from: number, count: number): number {
    for (let index = this.#firstEndingAfter(from); index < this.#holes.length; index += 1) {
      const hole = this.#holes[index] as Range;
      const start = Math.max(hole.start, from);
      if (hole.end - start >= count) return start;
    }
    return Math.max(from, this.#frontier);
  }

  /** How many clusters are free from `start` on, at most `limit`. */
  freeAt(start: number, limit: number): number {
    if (start >= this.#frontier) return limit;
    const hole = this.#holes[this.#firstEndingAfter(start)];
    if (hole === undefined || hole.start > start) return 0;
    return Math.min(limit, hole.end - start);
  }

  /** Takes [start, end), all of it free. */
  take(start: number, end: number): void {
    if (end <= start) return;
    if (start >= this.#frontier) {
      if (start > this.#frontier) this.#holes.push({ start: this.#frontier, end: start });
      this.#frontier = end;
      return;
    }
    const index = this.#firstEndingAfter(start);
    const hole = this.#holes[index] as Range;
    const left: Range[] = [];
    if (hole.start < start) left.push({ start: hole.start, end: start });
    if (end < hole.end) left.push({ start: end, end: hole.end });
    this.#holes.splice(index, 1, ...left);
  }

  /** Gives back [start, end), all of it taken. */
  release(start: number, end: number): void {
    if (end <= start) return;
    const index = this.#firstEndingAfter(start - 1);
    let from = start;
    let to = end;
    let replaced = 0;
    if ((this.#holes[index]?.end ?? -1) === start) {
      from = (this.#holes[index] as Range).start;
      replaced += 1;
    }
    const after = this.#holes[index + replaced];
    if (after !== undefined && after.start === end) {
      to = after.end;
      replaced += 1;
    }
    if (to === this.#frontier) {
      this.#holes.splice(index, replaced);
      this.#frontier = from;
    } else this.#holes.splice(index, replaced, { start: from, end: to });
  }

  /** Index of the first hole that ends after `cluster`. */
  #firstEndingAfter(cluster: number): number {
    let low = 0;
    let high = this.#holes.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#holes[middle] as Range).end > cluster) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

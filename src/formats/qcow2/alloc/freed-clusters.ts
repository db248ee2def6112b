/**
 * Clusters that were freed while an allocator works, the lowest first. Few at a time or by the million, given back
 * in any order, taken one by one or as a run of neighbours: no order of calls costs more than their number and a logarithm.
 */
import type { Range } from '#base';

export class FreedClusters {
  /** Ascending, apart; from `#head` on, since the lowest are taken first. Runs shrink from below and may be empty. */
  #runs: { start: number; end: number }[] = [];
  #head = 0;
  /** Freed since the runs were last put in order. */
  readonly #recent = new MinHeap();
  /** No run before this index has `#searchedCount` clusters. */
  #searchedTo = 0;
  #searchedCount = 0;

  get isEmpty(): boolean {
    return this.#recent.size === 0 && this.#lowestRun() === undefined;
  }

  /** The lowest cluster; there must be one. */
  least(): number {
    const run = this.#lowestRun();
    if (this.#recent.size === 0) return (run as Range).start;
    return run === undefined ? this.#recent.least() : Math.min(run.start, this.#recent.least());
  }

  /** Takes the lowest cluster; there must be one. */
  pop(): number {
    const run = this.#lowestRun();
    if (run === undefined || (this.#recent.size > 0 && this.#recent.least() < run.start)) return this.#recent.pop();
    run.start += 1;
    return run.start - 1;
  }

  push(cluster: number): void {
    this.#recent.push(cluster);
  }

  /** Gives back many runs at once, ascending. */
  pushRuns(runs: readonly Range[]): void {
    if (runs.length > 0) this.#runs = joined(this.#takeAll(), runs);
  }

  /** Takes the lowest `count` neighbours and returns the first, if there are such. */
  takeConsecutive(count: number): number | undefined {
    const start = this.firstConsecutive(count);
    const run = this.#runs[this.#searchedTo];
    if (start !== undefined && run !== undefined) run.start += count;
    return start;
  }

  /** The first of the lowest `count` neighbours, if there are such. */
  firstConsecutive(count: number): number | undefined {
    if (this.#recent.size > 0) this.#runs = joined(this.#takeAll(), this.#drainRecent());
    if (count < this.#searchedCount) this.#searchedTo = 0;
    this.#searchedCount = count;
    let index = Math.max(this.#head, this.#searchedTo);
    for (; index < this.#runs.length; index += 1) {
      const run = this.#runs[index] as { start: number; end: number };
      if (run.end - run.start < count) continue;
      this.#searchedTo = index;
      return run.start;
    }
    this.#searchedTo = index;
    return undefined;
  }

  #lowestRun(): { start: number; end: number } | undefined {
    for (; this.#head < this.#runs.length; this.#head += 1) {
      const run = this.#runs[this.#head] as { start: number; end: number };
      if (run.start < run.end) return run;
    }
    return undefined;
  }

  #takeAll(): Range[] {
    const runs = this.#head === 0 ? this.#runs : this.#runs.slice(this.#head);
    this.#head = 0;
    this.#searchedTo = 0;
    this.#runs = [];
    return runs;
  }

  #drainRecent(): Range[] {
    const runs: { start: number; end: number }[] = [];
    while (this.#recent.size > 0) {
      const cluster = this.#recent.pop();
      const last = runs.at(-1);
      if (last?.end === cluster) last.end += 1;
      else runs.push({ start: cluster, end: cluster + 1 });
    }
    return runs;
  }
}

/** Two ascending lists as one, without empty runs and with neighbours joined. */
function joined(some: readonly Range[], others: readonly Range[]): { start: number; end: number }[] {
  const result: { start: number; end: number }[] = [];
  let [at, otherAt] = [0, 0];
  while (at < some.length || otherAt < others.length) {
    const [one, other] = [some[at], others[otherAt]];
    const isOne = one !== undefined && (other === undefined || one.start < other.start);
    const next = (isOne ? one : other) as Range;
    if (isOne) at += 1;
    else otherAt += 1;
    if (next.start === next.end) continue;
    const last = result.at(-1);
    if (last?.end === next.start) last.end = next.end;
    else result.push({ start: next.start, end: next.end });
  }
  return result;
}

/** A binary heap of cluster indexes, least first. */
class MinHeap {
  readonly #items: number[] = [];

  get size(): number {
    return this.#items.length;
  }

  least(): number {
    return this.#items[0] as number;
  }

  push(value: number): void {
    const items = this.#items;
    let at = items.length;
    items.push(value);
    while (at > 0) {
      const parent = Math.floor((at - 1) / 2);
      if ((items[parent] as number) <= value) break;
      items[at] = items[parent] as number;
      at = parent;
    }
    items[at] = value;
  }

  pop(): number {
    const items = this.#items;
    const least = items[0] as number;
    const last = items.pop() as number;
    if (items.length > 0) this.#sink(last);
    return least;
  }

  #sink(value: number): void {
    const items = this.#items;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && (items[child + 1] as number) < (items[child] as number)) child += 1;
      if ((items[child] as number) >= value) break;
      items[at] = items[child] as number;
      at = child;
    }
    items[at] = value;
  }
}

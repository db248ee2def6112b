/** Half-open ranges of whole numbers (bytes, clusters, blocks): sets of them, and operations on ascending lists. */
import { roundDown, roundUp } from './numbers.ts';

/** [start, end): `end` is not in it. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

const INITIAL_CAPACITY = 8;

/**
 * A set of numbers as ranges: ascending, disjoint, not adjacent. 16 bytes for each range.
 *
 * `add` and `subtract` cost a binary search and the move of what lies behind: cheap in ascending order, or for some thousand
 * ranges. For dense sets of millions, formats/qcow2 has ClusterSet.
 */
export class RangeSet implements Iterable<Range> {
  /** start and end of each range in turn. */
  #bounds = new Float64Array(INITIAL_CAPACITY);
  #length = 0;

  constructor(ranges: Iterable<Range> = []) {
    for (const { start, end } of ranges) this.add(start, end);
  }

  /** How many ranges there are. */
  get count(): number {
    return this.#length / 2;
  }

  /** How many numbers are in the set. */
  get total(): number {
    let total = 0;
    for (let at = 0; at < this.#length; at += 2) total += this.#bound(at + 1) - this.#bound(at);
    return total;
  }

  /** Adds [start, end); nothing where it is empty. */
  add(start: number, end: number): void {
    if (end <= start) return;
    // Ranges that overlap or touch [start, end) become one with it.
    const first = this.#firstEndingFrom(start);
    let last = first;
    while (last < this.#length && this.#bound(last) <= end) last += 2;
    if (first === last) this.#replace(first, last, [start, end]);
    else this.#replace(first, last, [Math.min(start, this.#bound(first)), Math.max(end, this.#bound(last - 1))]);
  }

  /** Removes [start, end), whether it was in the set or not. */
  subtract(start: number, end: number): void {
    if (end <= start) return;
    const first = this.#firstEndingFrom(start + 1);
    let last = first;
    while (last < this.#length && this.#bound(last) < end) last += 2;
    if (first === last) return;
    const rest: number[] = [];
    if (this.#bound(first) < start) rest.push(this.#bound(first), start);
    if (end < this.#bound(last - 1)) rest.push(end, this.#bound(last - 1));
    this.#replace(first, last, rest);
  }

  /** Whether a number of [start, end) is in the set. */
  intersects(start: number, end: number): boolean {
    if (end <= start) return false;
    const first = this.#firstEndingFrom(start + 1);
    return first < this.#length && this.#bound(first) < end;
  }

  /** The parts of [start, end) that are in the set, ascending. */
  *intersect(start: number, end: number): Generator<Range> {
    if (end <= start) return;
    for (let at = this.#firstEndingFrom(start + 1); at < this.#length && this.#bound(at) < end; at += 2) {
      yield { start: Math.max(start, this.#bound(at)), end: Math.min(end, this.#bound(at + 1)) };
    }
  }

  /** The parts of [start, end) that are not in the set, ascending. */
  *gaps(start: number, end: number): Generator<Range> {
    let from = start;
    for (const range of this.intersect(start, end)) {
      if (range.start > from) yield { start: from, end: range.start };
      from = range.end;
    }
    if (from < end) yield { start: from, end };
  }

  *[Symbol.iterator](): Generator<Range> {
    for (let at = 0; at < this.#length; at += 2) yield { start: this.#bound(at), end: this.#bound(at + 1) };
  }

  #bound(at: number): number {
    return this.#bounds[at] as number;
  }

  /** Index of the first range that ends at `least` or later. */
  #firstEndingFrom(least: number): number {
    let low = 0;
    let high = this.#length / 2;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.#bound(2 * middle + 1) < least) low = middle + 1;
      else high = middle;
    }
    return 2 * low;
  }

  /** Puts `bounds` in place of those at [from, to). */
  #replace(from: number, to: number, bounds: readonly number[]): void {
    const length = this.#length - (to - from) + bounds.length;
    if (length > this.#bounds.length) {
      const larger = new Float64Array(2 * length);
      larger.set(this.#bounds.subarray(0, this.#length));
      this.#bounds = larger;
    }
    this.#bounds.copyWithin(from + bounds.length, to, this.#length);
    this.#bounds.set(bounds, from);
    this.#length = length;
  }
}

/** The ranges that are not empty, ascending by start. */
export function sortRanges(ranges: Iterable<Range>): Range[] {
  return [...ranges].filter(({ start, end }) => end > start).sort((a, b) => a.start - b.start);
}

/** `ranges` (ascending by start, not empty) with those that touch or overlap as one: ascending, disjoint, not adjacent. */
export function* joinRanges(ranges: Iterable<Range>): Generator<Range> {
  let open: { start: number; end: number } | undefined;
  for (const { start, end } of ranges) {
    if (open !== undefined && start <= open.end) open.end = Math.max(open.end, end);
    else {
      if (open !== undefined) yield open;
      open = { start, end };
    }
  }
  if (open !== undefined) yield open;
}

/** `ranges` (ascending by start) without `holes` (ascending, disjoint). */
export function* subtractRanges(ranges: Iterable<Range>, holes: readonly Range[]): Generator<Range> {
  let index = 0;
  for (const range of ranges) {
    let { start } = range;
    while (index < holes.length && (holes[index] as Range).end <= start) index += 1;
    for (let at = index; at < holes.length && (holes[at] as Range).start < range.end; at += 1) {
      const hole = holes[at] as Range;
      if (hole.start > start) yield { start, end: hole.start };
      start = Math.max(start, hole.end);
    }
    if (start < range.end) yield { start, end: range.end };
  }
}

/**
 * The union of a few lists, each ascending by start, with every range widened to multiples of `unit`: ascending, disjoint,
 * not adjacent.
 */
export function* uniteRanges(sources: readonly Iterable<Range>[], unit = 1): Generator<Range> {
  let start = 0;
  let end = -1;
  for (const range of mergeByStart(sources)) {
    const from = roundDown(range.start, unit);
    if (from > end) {
      if (end >= 0) yield { start, end };
      start = from;
    }
    end = Math.max(end, roundUp(range.end, unit));
  }
  if (end >= 0) yield { start, end };
}

/** The sum of the lengths of disjoint ranges. */
export function totalLength(ranges: Iterable<Range>): number {
  let total = 0;
  for (const { start, end } of ranges) total += end - start;
  return total;
}

/** All ranges of a few ascending lists, ascending by start. */
function* mergeByStart(sources: readonly Iterable<Range>[]): Generator<Range> {
  const heads: { range: Range; readonly rest: Iterator<Range> }[] = [];
  for (const source of sources) {
    const rest = source[Symbol.iterator]();
    const first = rest.next();
    if (first.done !== true) heads.push({ range: first.value, rest });
  }
  while (heads.length > 0) {
    let lowest = 0;
    for (let at = 1; at < heads.length; at += 1) {
      if ((heads[at] as { range: Range }).range.start < (heads[lowest] as { range: Range }).range.start) lowest = at;
    }
    const head = heads[lowest] as { range: Range; readonly rest: Iterator<Range> };
    yield head.range;
    const next = head.rest.next();
    if (next.done === true) heads.splice(lowest, 1);
    else head.range = next.value;
  }
}

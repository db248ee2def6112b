/** Choosing among groups of images: a cover of what is needed with the fewest bytes copied. */
import { runSync } from '#base';

/** What a store needs, or what a move gains it, in bytes: for its sum, and above the thresholds of its warning. */
export interface Gain {
  readonly sum: number;
  readonly level: number;
}

/** What can be chosen: what it gains, and what it costs. */
export interface Candidate extends Gain {
  readonly copied: number;
  readonly inUse: boolean | null;
  /** Decides between what is alike otherwise. */
  readonly path: string;
}

/** With more candidates than this the choices are not compared one by one. */
export const EXACT_CANDIDATES = 24;
/** Maximum sets visited; the search then ends with the best one so far. */
export const MAX_SETS = 20_000;
/** Maximum groups per plan; scan and plan again after that many moves. */
export const MAX_MOVES = 500;

/** Where those that are chosen go. */
export interface Room<T> {
  /** The room that is left when `one` has gone there too; undefined: it does not fit. */
  take(one: T): Room<T> | undefined;
}

export interface Choice<T> {
  /** By gain per byte copied, the most first. Covers `need` where any choice found does; else what gains the most. */
  readonly chosen: readonly T[];
  /** Every choice was compared, or ruled out: none that covers copies fewer bytes. */
  readonly isBest: boolean;
  /** It ended at MAX_MOVES, and more may be of use. */
  readonly isCut: boolean;
}

/**
 * Groups of `candidates` that together gain what is needed, with the fewest bytes copied; of the same bytes, the fewest
 * groups; of the same number, those not in use; then by path.
 *
 * Up to EXACT_CANDIDATES by branch and bound, which begins with the greedy choice and looks at up to MAX_SETS sets. Beyond
 * that the greedy choice, of MAX_MOVES at most: the most gain per byte first, and then without what turns out to be
 * dispensable.
 */
export function chooseCover<T extends Candidate>(candidates: readonly T[], need: Gain, room: Room<T>): Choice<T> {
  return runSync(coverInSteps(candidates, need, room));
}

const TRIED_PER_STEP = 200;

/** As `chooseCover`, with pauses to do something else in. */
export function* coverInSteps<T extends Candidate>(candidates: readonly T[], need: Gain, room: Room<T>): Generator<void, Choice<T>> {
  const sorted = mostWorthFirst(candidates, need);
  yield;
  const greedy = yield* chooseGreedily(sorted, need, room);
  if (sorted.length > EXACT_CANDIDATES) return { chosen: greedy, isBest: false, isCut: greedy.length === MAX_MOVES };
  const search = new Search(sorted, need, room, covers(sumUp(greedy), need) ? greedy : undefined);
  return { chosen: search.best ?? greedy, isBest: search.isComplete, isCut: false };
}

function mostWorthFirst<T extends Candidate>(candidates: readonly T[], need: Gain): T[] {
  const worths = candidates.map((one) => ({ one, worth: worth(one, need) }));
  return worths.sort((a, b) => b.worth - a.worth || byCost(a.one, b.one)).map(({ one }) => one);
}

/** What a candidate covers of what is needed, the scarcer of both needs counting as much as the other, for a byte copied. */
function worth({ sum, level, copied }: Candidate, need: Gain): number {
  const covered = (need.sum === 0 ? 0 : Math.min(1, sum / need.sum)) + (need.level === 0 ? 0 : Math.min(1, level / need.level));
  return covered / Math.max(1, copied);
}

/** Of the same worth. */
function byCost(a: Candidate, b: Candidate): number {
  return a.copied - b.copied || Number(a.inUse !== false) - Number(b.inUse !== false) || comparePaths(a, b);
}

function comparePaths(a: Candidate, b: Candidate): number {
  return a.path < b.path ? -1 : Number(a.path > b.path);
}

function covers(gain: Gain, need: Gain): boolean {
  return gain.sum >= need.sum && gain.level >= need.level;
}

function sumUp(some: readonly Gain[]): Gain {
  return some.reduce<Gain>(plus, { sum: 0, level: 0 });
}

function plus(a: Gain, b: Gain): Gain {
  return { sum: a.sum + b.sum, level: a.level + b.level };
}

function minus(a: Gain, b: Gain): Gain {
  return { sum: a.sum - b.sum, level: a.level - b.level };
}

function* chooseGreedily<T extends Candidate>(sorted: readonly T[], need: Gain, room: Room<T>): Generator<void, T[]> {
  const chosen: T[] = [];
  let lacking = need;
  let left: Room<T> = room;
  for (const [index, one] of sorted.entries()) {
    if (index % TRIED_PER_STEP === 0) yield;
    if (chosen.length === MAX_MOVES || covers(minus(need, lacking), need)) break;
    const isOfUse = (one.sum > 0 && lacking.sum > 0) || (one.level > 0 && lacking.level > 0);
    const after = isOfUse ? left.take(one) : undefined;
    if (after === undefined) continue;
    chosen.push(one);
    left = after;
    lacking = minus(lacking, one);
  }
  return withoutDispensable(chosen, need);
}

/** `chosen` without dispensable candidates, removed one by one, the largest first. */
function withoutDispensable<T extends Candidate>(chosen: readonly T[], need: Gain): T[] {
  let gain = sumUp(chosen);
  if (!covers(gain, need)) return [...chosen];
  const dispensable = new Set<T>();
  for (const one of [...chosen].sort((a, b) => b.copied - a.copied || comparePaths(a, b))) {
    const without = minus(gain, one);
    if (!covers(without, need)) continue;
    dispensable.add(one);
    gain = without;
  }
  return chosen.filter((one) => !dispensable.has(one));
}

/** A partial set of candidates, and the shortfall that remains. */
interface SearchState<T> {
  readonly chosen: readonly T[];
  readonly copied: number;
  readonly shortfall: Gain;
  readonly room: Room<T>;
}

/** Depth-first search over taking or leaving each candidate, the most valuable first. */
class Search<T extends Candidate> {
  best: readonly T[] | undefined;
  isComplete = true;
  #visited = 0;
  readonly #sorted: readonly T[];
  /** At each index: the gain of all candidates from there on, and the largest gain per byte of one of them. */
  readonly #rest: readonly { readonly all: Gain; readonly perByte: Gain }[];

  constructor(sorted: readonly T[], need: Gain, room: Room<T>, begin: readonly T[] | undefined) {
    this.#sorted = sorted;
    this.best = begin;
    this.#rest = sorted.map((_, index) => {
      const rest = sorted.slice(index);
      return { all: sumUp(rest), perByte: { sum: mostPerByte(rest, 'sum'), level: mostPerByte(rest, 'level') } };
    });
    this.#visit(0, { chosen: [], copied: 0, shortfall: need, room });
  }

  #visit(index: number, state: SearchState<T>): void {
    if (this.#visited >= MAX_SETS) {
      this.isComplete = false;
      return;
    }
    this.#visited += 1;
    if (state.shortfall.sum <= 0 && state.shortfall.level <= 0) {
      if (this.best === undefined || isBetter(state.chosen, this.best)) this.best = state.chosen;
      return;
    }
    const next = this.#sorted[index];
    if (next === undefined || !this.#canImprove(index, state)) return;
    const room = state.room.take(next);
    if (room !== undefined) {
      this.#visit(index + 1, {
        chosen: [...state.chosen, next],
        copied: state.copied + next.copied,
        shortfall: minus(state.shortfall, next),
        room,
      });
    }
    this.#visit(index + 1, state);
  }

  /** Whether the candidates from `index` on can cover the shortfall, without copying more than the best set so far. */
  #canImprove(index: number, { copied, shortfall: lacking }: SearchState<T>): boolean {
    const rest = this.#rest[index];
    if (rest === undefined || !covers(rest.all, lacking)) return false;
    if (this.best === undefined) return true;
    const still = (part: keyof Gain): number => (lacking[part] <= 0 ? 0 : lacking[part] / rest.perByte[part]);
    return copied + Math.floor(Math.max(still('sum'), still('level'))) <= copiedBy(this.best);
  }
}

function mostPerByte(candidates: readonly Candidate[], part: keyof Gain): number {
  return Math.max(...candidates.map((one) => (one.copied === 0 ? Infinity : one[part] / one.copied)));
}

function copiedBy(chosen: readonly Candidate[]): number {
  return chosen.reduce((sum, { copied }) => sum + copied, 0);
}

function isBetter(a: readonly Candidate[], b: readonly Candidate[]): boolean {
  const inUse = (chosen: readonly Candidate[]): number => chosen.filter(({ inUse: mayBe }) => mayBe !== false).length;
  const difference = copiedBy(a) - copiedBy(b) || a.length - b.length || inUse(a) - inUse(b);
  if (difference !== 0) return difference < 0;
  const paths = (chosen: readonly Candidate[]): string => chosen.map(({ path }) => path).join('\0');
  return paths(a) < paths(b);
}

/**
 * Whose "shared" flags a change of other files may have turned. When a file is cloned, the filesystem marks the blocks of
 * the original too, and takes the mark away with the last clone; the original itself shows no sign of either.
 */
import { type PhysicalRanges, RANGE_STRIDE, runsOf, touches } from './sharing.ts';

/** What one file has on the device, before and after. Both the same object: it was not read again. */
export interface RangesChange {
  readonly before: PhysicalRanges | undefined;
  readonly after: PhysicalRanges | undefined;
}

/**
 * Blocks whose flag may have turned: their users became more than one, or no longer are. Starts and ends in turn, ascending.
 *
 * A block that several others use before and after keeps its mark, so that the clones of a template, one of which is being
 * written to, stay as they are.
 */
export function* turnedRuns(files: readonly RangesChange[]): Generator<void, Float64Array> {
  const touched = runsTouched(files);
  if (touched.length === 0) return touched;
  const steps: { readonly at: number; readonly before: number; readonly after: number }[] = [];
  for (const [index, { before, after }] of files.entries()) {
    if (index % 500 === 0) yield;
    for (const [start, end] of clipped(before, touched)) steps.push({ at: start, before: 1, after: 0 }, { at: end, before: -1, after: 0 });
    for (const [start, end] of clipped(after, touched)) steps.push({ at: start, before: 0, after: 1 }, { at: end, before: 0, after: -1 });
  }
  yield;
  steps.sort((a, b) => a.at - b.at);
  yield;
  const turned: number[] = [];
  const users = { before: 0, after: 0 };
  let from = 0;
  for (const { at, before, after } of steps) {
    if (at > from && Math.min(users.before, users.after) <= 1 && users.before !== users.after) turned.push(from, at);
    from = at;
    users.before += before;
    users.after += after;
  }
  return Float64Array.from(turned);
}

/** Whether one of the ranges lies in `runs`. */
export function liesIn(ranges: PhysicalRanges | undefined, runs: Float64Array): boolean {
  for (const [start, end] of runsOf(ranges)) if (touches(runs, start, end)) return true;
  return false;
}

/** Marked blocks that a file has come to use, or has given up; merged, ascending. */
function runsTouched(files: readonly RangesChange[]): Float64Array {
  const pairs: [number, number][] = [];
  for (const { before, after } of files) {
    if (before === after) continue;
    pairs.push(...onlyIn(before, after), ...onlyIn(after, before));
  }
  return merged(pairs);
}

/** Marked ranges of `one` that `other` does not have with the same ends: at least what they differ in. */
function onlyIn(one: PhysicalRanges | undefined, other: PhysicalRanges | undefined): [number, number][] {
  const known = merged([...runsOf(other)].map(([start, end]) => [start, end]));
  const found: [number, number][] = [];
  for (const [start, end, flagged] of runsOf(one)) if (flagged) found.push(...without(start, end, known));
  return found;
}

/** What of [start, end) lies in none of `runs`. */
function without(start: number, end: number, runs: Float64Array): [number, number][] {
  const left: [number, number][] = [];
  let from = start;
  for (let at = firstBehind(runs, start); at < runs.length && (runs[at] as number) < end; at += 2) {
    if ((runs[at] as number) > from) left.push([from, runs[at] as number]);
    from = Math.max(from, runs[at + 1] as number);
  }
  if (from < end) left.push([from, end]);
  return left;
}

function* clipped(ranges: PhysicalRanges | undefined, runs: Float64Array): Generator<readonly [number, number]> {
  if (ranges === undefined) return;
  for (let index = 0; index < ranges.length; index += RANGE_STRIDE) {
    const start = ranges[index] as number;
    const end = ranges[index + 1] as number;
    for (let at = firstBehind(runs, start); at < runs.length && (runs[at] as number) < end; at += 2) {
      yield [Math.max(start, runs[at] as number), Math.min(end, runs[at + 1] as number)];
    }
  }
}

/** Index of the start of the first run that ends behind `position`. */
function firstBehind(runs: Float64Array, position: number): number {
  let low = 0;
  let high = runs.length / 2;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((runs[2 * middle + 1] as number) <= position) low = middle + 1;
    else high = middle;
  }
  return 2 * low;
}

function merged(pairs: [number, number][]): Float64Array {
  pairs.sort((a, b) => a[0] - b[0]);
  const runs: number[] = [];
  for (const [start, end] of pairs) {
    const last = runs.length - 1;
    if (last > 0 && start <= (runs[last] as number)) runs[last] = Math.max(runs[last] as number, end);
    else runs.push(start, end);
  }
  return Float64Array.from(runs);
}

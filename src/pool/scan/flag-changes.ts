/**
 * Files whose FIEMAP "shared" flags may have changed because another file changed. Cloning a file marks the blocks of
 * the original too, and removing the last clone clears the mark; the original itself shows no sign of either.
 */
import { joinRanges, type Range, RangeSet, sortRanges } from '#base';
import { type PhysicalRanges, runsOf, touches } from './sharing.ts';

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
export function* changedSharedRanges(files: readonly RangesChange[]): Generator<void, Float64Array> {
  const touched = flaggedChanges(files);
  if (touched.count === 0) return new Float64Array(0);
  const steps: { readonly at: number; readonly before: number; readonly after: number }[] = [];
  for (const [index, { before, after }] of files.entries()) {
    if (index % 500 === 0) yield;
    for (const { start, end } of clipped(before, touched))
      steps.push({ at: start, before: 1, after: 0 }, { at: end, before: -1, after: 0 });
    for (const { start, end } of clipped(after, touched)) steps.push({ at: start, before: 0, after: 1 }, { at: end, before: 0, after: -1 });
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

/** Blocks flagged as shared that a file has gained or lost. */
function flaggedChanges(files: readonly RangesChange[]): RangeSet {
  const changed: Range[] = [];
  for (const { before, after } of files) {
    if (before === after) continue;
    changed.push(...onlyIn(before, after), ...onlyIn(after, before));
  }
  return new RangeSet(joinRanges(sortRanges(changed)));
}

/** The flagged ranges of `one` that are not in `other`. */
function onlyIn(one: PhysicalRanges | undefined, other: PhysicalRanges | undefined): Range[] {
  const others = [...runsOf(other)].map(([start, end]) => ({ start, end }));
  const known = new RangeSet(joinRanges(sortRanges(others)));
  const found: Range[] = [];
  for (const [start, end, flagged] of runsOf(one)) if (flagged) found.push(...known.gaps(start, end));
  return found;
}

function* clipped(ranges: PhysicalRanges | undefined, touched: RangeSet): Generator<Range> {
  for (const [start, end] of runsOf(ranges)) yield* touched.intersect(start, end);
}

/** Sorted runs of bytes, merged: how much storage several sets of ranges take together. */
import { roundDown, roundUp } from '#base';
import type { Run, StorageMap } from '#block';
import type { ClusterSet } from '#formats';

/** The runs of a cluster set as byte runs. */
export function* clusterBytes(clusters: ClusterSet, clusterSize: number): Generator<Run> {
  for (const { start, end } of clusters.runs()) yield { start: start * clusterSize, end: end * clusterSize };
}

/** The stored ranges of a map as byte runs. */
export function* mapBytes(map: StorageMap): Generator<Run> {
  for (const { fileOffset, byteLength } of map) yield { start: fileOffset, end: fileOffset + byteLength };
}

/** Byte runs in ascending order, from a short unordered list. */
export function sortedRuns(runs: readonly Run[]): Run[] {
  return runs.filter((run) => run.end > run.start).sort((a, b) => a.start - b.start);
}

/** `runs` (ascending) without the bytes of `holes` (ascending, disjoint). */
export function* without(runs: Iterable<Run>, holes: readonly Run[]): Generator<Run> {
  let index = 0;
  for (const run of runs) {
    let { start } = run;
    while (index < holes.length && (holes[index] as Run).end <= start) index += 1;
    for (let at = index; at < holes.length && (holes[at] as Run).start < run.end; at += 1) {
      const hole = holes[at] as Run;
      if (hole.start > start) yield { start, end: hole.start };
      start = Math.max(start, hole.end);
    }
    if (start < run.end) yield { start, end: run.end };
  }
}

/**
 * The union of ascending run lists, each run widened to whole blocks; ascending, disjoint, merged.
 *
 * Units: bytes. Each source must be ascending by start; runs of different sources may overlap.
 */
export function* union(sources: readonly Iterable<Run>[], block: number): Generator<Run> {
  const heads: Head[] = [];
  for (const source of sources) {
    const rest = source[Symbol.iterator]();
    const first = rest.next();
    if (first.done !== true) heads.push({ run: first.value, rest });
  }
  let start = 0;
  let end = -1;
  while (heads.length > 0) {
    const least = leastOf(heads);
    const { run } = least;
    const from = roundDown(run.start, block);
    if (from > end) {
      if (end >= 0) yield { start, end };
      start = from;
    }
    end = Math.max(end, roundUp(run.end, block));
    const next = least.rest.next();
    if (next.done === true) heads.splice(heads.indexOf(least), 1);
    else least.run = next.value;
  }
  if (end >= 0) yield { start, end };
}

/** The next run of a source, and what comes behind it. */
interface Head {
  run: Run;
  readonly rest: Iterator<Run>;
}

/** The head that starts first; there are only a handful. */
function leastOf(heads: readonly Head[]): Head {
  let least = heads[0] as Head;
  for (let at = 1; at < heads.length; at += 1) {
    const one = heads[at] as Head;
    if (one.run.start < least.run.start) least = one;
  }
  return least;
}

/** Bytes in disjoint runs. */
export function totalBytes(runs: Iterable<Run>): number {
  let total = 0;
  for (const { start, end } of runs) total += end - start;
  return total;
}

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
  const heads = sources.map((source) => source[Symbol.iterator]());
  const next = heads.map((head) => head.next());
  let open: Run | undefined;
  for (;;) {
    let least = -1;
    for (let at = 0; at < next.length; at += 1) {
      const one = next[at] as IteratorResult<Run>;
      if (!one.done && (least < 0 || one.value.start < (next[least] as IteratorYieldResult<Run>).value.start)) least = at;
    }
    if (least < 0) break;
    const run = (next[least] as IteratorYieldResult<Run>).value;
    next[least] = (heads[least] as Iterator<Run>).next();
    const start = roundDown(run.start, block);
    const end = roundUp(run.end, block);
    if (open !== undefined && start <= open.end) open = { start: open.start, end: Math.max(open.end, end) };
    else {
      if (open !== undefined) yield open;
      open = { start, end };
    }
  }
  if (open !== undefined) yield open;
}

/** Bytes in disjoint runs. */
export function totalBytes(runs: Iterable<Run>): number {
  let total = 0;
  for (const { start, end } of runs) total += end - start;
  return total;
}

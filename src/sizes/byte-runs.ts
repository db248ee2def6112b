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
  for (const source of sources) advance(heads, source[Symbol.iterator]());
  let open: Run | undefined;
  for (let least = takeLeast(heads); least !== undefined; least = takeLeast(heads)) {
    const start = roundDown(least.run.start, block);
    const end = roundUp(least.run.end, block);
    advance(heads, least.rest);
    if (open !== undefined && start <= open.end) open = { start: open.start, end: Math.max(open.end, end) };
    else {
      if (open !== undefined) yield open;
      open = { start, end };
    }
  }
  if (open !== undefined) yield open;
}

/** The next run of a source, and what comes behind it. */
interface Head {
  readonly run: Run;
  readonly rest: Iterator<Run>;
}

function advance(heads: Head[], rest: Iterator<Run>): void {
  const next = rest.next();
  if (next.done !== true) heads.push({ run: next.value, rest });
}

/** Removes and returns the head that starts first; there are only a handful. */
function takeLeast(heads: Head[]): Head | undefined {
  let least = 0;
  for (let at = 1; at < heads.length; at += 1) {
    const one = heads[at];
    const best = heads[least];
    if (one !== undefined && best !== undefined && one.run.start < best.run.start) least = at;
  }
  return heads.splice(least, 1)[0];
}

/** Bytes in disjoint runs. */
export function totalBytes(runs: Iterable<Run>): number {
  let total = 0;
  for (const { start, end } of runs) total += end - start;
  return total;
}

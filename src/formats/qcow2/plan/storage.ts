/** Bytes of storage that a planned image takes: everything below its end, less what nobody has written. */
import { joinRanges, type Range, roundDown, roundUp, sortRanges } from '#base';
import type { StoredRange } from '#block';
import type { NewImageAllocator } from './allocator.ts';
import type { NewQcow2Plan } from './layout.ts';

/**
 * Bytes with storage when the plan has been carried out, on a filesystem with blocks of `hostBlock` bytes.
 *
 * What the filesystem charges for its own map of the file (extent tree blocks, extent size hints) is not in it.
 */
export function storedBytesOf(plan: NewQcow2Plan, hostBlock: number): number {
  let total = 0;
  for (const { byteLength } of storedRangesOf(plan, hostBlock)) total += byteLength;
  return total;
}

/** The blocks of `hostBlock` bytes that have storage then, ascending: those that are not wholly inside a hole. */
export function* storedRangesOf(plan: NewQcow2Plan, hostBlock: number): Generator<StoredRange> {
  const { length } = plan;
  const end = roundUp(length, hostBlock);
  let at = 0;
  for (const hole of joinRanges(sortRanges(holesOf(plan)))) {
    if (hole.start >= length) continue;
    const from = roundUp(hole.start, hostBlock);
    const to = hole.end >= length ? end : roundDown(hole.end, hostBlock);
    if (to <= from) continue;
    if (from > at) yield storedRange(at, from);
    at = to;
  }
  if (end > at) yield storedRange(at, end);
}

/** A range of a planned file with storage; its position on the filesystem is not known yet. */
export function storedRange(start: number, end: number): StoredRange {
  return { fileOffset: start, byteLength: end - start, physicalOffset: undefined, shared: false, unwritten: false, encoded: false };
}

/** Byte ranges below the end of the file that nothing writes: in any order, disjoint. */
function holesOf(plan: NewQcow2Plan): Range[] {
  const holes = [...unwrittenRanges(plan.allocator, plan.geometry.clusterSize), ...l1Padding(plan)];
  if (plan.preallocation === 'metadata' && plan.options.dataFile === undefined) for (const hole of mappedOnly(plan)) holes.push(hole);
  return holes;
}

/** Byte runs of free clusters that no refcount table ever lay in. */
function unwrittenRanges(allocator: NewImageAllocator, clusterSize: number): Range[] {
  const runs: Range[] = [];
  for (const hole of allocator.free.holes) {
    let { start } = hole;
    for (const old of [...allocator.abandoned].sort((a, b) => a.start - b.start)) {
      if (old.end <= start || old.start >= hole.end) continue;
      if (old.start > start) runs.push({ start: start * clusterSize, end: old.start * clusterSize });
      start = Math.max(start, old.end);
    }
    if (start < hole.end) runs.push({ start: start * clusterSize, end: hole.end * clusterSize });
  }
  return runs;
}

/** The rest of the L1 table's last cluster: QEMU writes its entries and nothing behind them. */
function l1Padding(plan: NewQcow2Plan): Range[] {
  const { clusterSize, l2Count } = plan.geometry;
  if (l2Count === 0) return [];
  const start = plan.l1Cluster * clusterSize + l2Count * 8;
  return [{ start, end: roundUp(start, clusterSize) }];
}

/**
 * Byte runs of guest data that are mapped and not written: all of it, but for what lies between the end of the guest and
 * the end of its last (sub)cluster, which QEMU fills with zeros when it maps the cluster.
 */
function* mappedOnly(plan: NewQcow2Plan): Generator<Range> {
  const { clusterSize, guestClusters } = plan.geometry;
  const tail = writtenTail(plan);
  for (const { guestCluster, hostCluster, clusterCount } of plan.data) {
    const run = { start: hostCluster * clusterSize, end: (hostCluster + clusterCount) * clusterSize };
    if (guestCluster + clusterCount < guestClusters || tail === undefined) yield run;
    else {
      yield { start: run.start, end: tail.start };
      yield { start: tail.end, end: run.end };
    }
  }
}

/** File bytes behind the guest's last byte that `preallocation=metadata` writes; undefined when the last cluster is full. */
export function writtenTail(plan: Pick<NewQcow2Plan, 'geometry' | 'data' | 'capacity' | 'options'>): Range | undefined {
  const { clusterSize, guestClusters } = plan.geometry;
  const missing = guestClusters * clusterSize - plan.capacity;
  if (plan.data.length === 0 || missing === 0) return undefined;
  const last = plan.data.at(plan.data.length - 1);
  const lastCluster = (last.hostCluster + last.clusterCount - 1) * clusterSize;
  const granularity = plan.options.extendedL2 ? clusterSize / 32 : clusterSize;
  const used = clusterSize - missing;
  return { start: lastCluster + used, end: lastCluster + roundUp(used, granularity) };
}

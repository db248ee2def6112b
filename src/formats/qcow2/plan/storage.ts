/** The storage of a planned image: everything below its end except ranges that are never written. */
import { joinRanges, type Range, roundDown, roundUp, sortRanges, subtractRanges } from '#base';
import type { StoredRange } from '#block';
import type { NewImageAllocator } from './allocator.ts';
import type { NewQcow2Plan } from './layout.ts';

/**
 * The blocks of `fsBlockSize` bytes that have storage when the plan has been carried out, ascending: those that are not wholly
 * inside a hole. What the filesystem charges for its own map of the file is not in them.
 */
export function* storedRangesOf(plan: NewQcow2Plan, fsBlockSize: number): Generator<StoredRange> {
  const { length } = plan;
  const end = roundUp(length, fsBlockSize);
  let at = 0;
  for (const hole of joinRanges(sortRanges(holesOf(plan)))) {
    if (hole.start >= length) continue;
    const from = roundUp(hole.start, fsBlockSize);
    const to = hole.end >= length ? end : roundDown(hole.end, fsBlockSize);
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

/** Byte ranges of free clusters in which no refcount table ever lay. */
function unwrittenRanges({ free, abandoned }: NewImageAllocator, clusterSize: number): Range[] {
  const clusters = subtractRanges(free.holes, [...joinRanges(sortRanges(abandoned))]);
  return Array.from(clusters, ({ start, end }) => ({ start: start * clusterSize, end: end * clusterSize }));
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

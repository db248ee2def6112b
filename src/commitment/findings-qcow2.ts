/** What an administrator should know about a qcow2 image, in sentences. Codes are listed in docs/findings.md. */
import { formatBytes, plural } from '#base';
import type { Census, GrowthModel } from '#formats';
import type { Finding, FindingLevel, Unbounded } from '#wire';
import type { Qcow2State } from './qcow2-state.ts';

/** Why the future has no bound: what is already in use and can be used again. */
export function unboundedReasons(model: GrowthModel): Unbounded[] {
  const count = model.snapshotTable.snapshots.length;
  if (count === 0) return [];
  return [
    {
      reason: 'internal-snapshots',
      detail: `The image holds ${plural(count, 'internal snapshot')}: each further snapshot retains overwritten data, so growth is unbounded; the commitment assumes no new snapshot.`,
    },
  ];
}

/** Why QEMU would not take one more internal snapshot; undefined when it would. */
export function whyNoSnapshot(model: GrowthModel): string | undefined {
  const { header, snapshotTable, compressed } = model;
  if (header.externalDataFile) return 'its data lies in an external data file';
  if (header.corrupt) return 'it is marked corrupt';
  if (snapshotTable.snapshots.length >= 65536) return 'it has as many as an image can have';
  // A snapshot of nothing shares nothing.
  if (model.missingTables === model.l1Needed) return undefined;
  const most = 2 ** (2 ** header.refcountOrder) - 1;
  const tooNarrow = `reference counts of ${2 ** header.refcountOrder} bits cannot count the sharers`;
  if (snapshotTable.snapshots.length + 2 > most) return tooNarrow;
  if (header.refcountOrder >= 4 || compressed.count === 0) return undefined;
  const sharers = new Map<number, number>();
  for (let index = 0; index < compressed.firstCluster.length; index += 1) {
    const first = compressed.firstCluster[index] as number;
    for (let cluster = first; cluster < first + (compressed.clusterCount[index] as number); cluster += 1)
      sharers.set(cluster, (sharers.get(cluster) ?? 0) + 1);
  }
  return [...sharers].every(([cluster, count]) => (compressed.refcounts.get(cluster) ?? 0) + count <= most) ? undefined : tooNarrow;
}

/** Findings on the image's own state. */
export function censusFindings(census: Census, state: Qcow2State): Finding[] {
  const { facts, geometry } = state;
  const { header } = census;
  const findings: Finding[] = [];
  const say = (level: FindingLevel, code: string, message: string): void => void findings.push({ level, code, message });
  const bytesOf = (clusters: number): string => formatBytes(clusters * geometry.clusterSize);

  if (header.corrupt)
    say(
      'critical',
      'QCOW2_CORRUPT',
      'The image is marked corrupt: QEMU opens it read-only until qemu-img check has repaired it; it cannot grow before.',
    );
  const snapshots = census.snapshotTable.snapshots.length;
  if (snapshots > 0)
    say('warning', 'INTERNAL_SNAPSHOTS', `${plural(snapshots, 'internal snapshot')} : the figures assume no further snapshot.`);
  const obstacle = header.corrupt ? undefined : whyNoSnapshot(census);
  if (obstacle !== undefined) say('info', 'NO_NEXT_SNAPSHOT', `QEMU would refuse a further internal snapshot: ${obstacle}.`);
  const vmState = census.snapshotTable.snapshots.reduce((sum, one) => sum + one.vmStateSize, 0);
  if (vmState > 0)
    say(
      'info',
      'VM_STATE',
      `The snapshots hold ${formatBytes(vmState)} of VM state; a live snapshot adds the memory of the VM to the cost of the next snapshot.`,
    );
  if (header.dirty)
    say(
      'warning',
      'LAZY_REFCOUNTS_DIRTY',
      `The image was not closed cleanly and its reference counts are stale${census.needsRebuild ? '; the next writable open rebuilds them, and the figures include that' : ''}.`,
    );
  else if (header.lazyRefcounts)
    say(
      'info',
      'LAZY_REFCOUNTS',
      'Lazy refcounts are on: after a crash the next open rebuilds the reference counts, which temporarily needs a second set of them.',
    );
  if (census.leakedCount > 0 && !header.dirty)
    say(
      'warning',
      'LEAKED_CLUSTERS',
      `${plural(census.leakedCount, 'cluster')} (${bytesOf(census.leakedCount)}) ${census.leakedCount === 1 ? 'is' : 'are'} marked used but nothing refers to ${census.leakedCount === 1 ? 'it' : 'them'}: qemu-img check -r leaks frees that.`,
    );
  if (census.unaccountedCount > 0)
    say(
      'critical',
      'REFCOUNT_MISSING',
      `${plural(census.unaccountedCount, 'cluster')} in use ${census.unaccountedCount === 1 ? 'is' : 'are'} not marked used: the next writes may overwrite guest data. Run qemu-img check before starting the machine.`,
    );
  if (census.beyondEnd > 0)
    say(
      'warning',
      'DATA_BEYOND_END',
      `${plural(census.beyondEnd, 'guest cluster')} ${census.beyondEnd === 1 ? 'lies' : 'lie'} beyond the end of the file: it is truncated, or is being written.`,
    );
  const trailing = facts.length - Math.max(state.used.end() * geometry.clusterSize, 0);
  if (trailing >= geometry.clusterSize)
    say('info', 'TRAILING_BYTES', `The file extends ${formatBytes(trailing)} beyond its last used cluster; the next allocations go there.`);
  const lost = census.bitmaps.filter((bitmap) => bitmap.inUse).length;
  if (lost > 0)
    say(
      'info',
      'BITMAP_INCONSISTENT',
      `${plural(lost, 'persistent bitmap')} ${lost === 1 ? 'was' : 'were'} not closed cleanly: QEMU keeps ${lost === 1 ? 'it' : 'them'} but will not use or store ${lost === 1 ? 'it' : 'them'} again.`,
    );
  if (census.bitmaps.length > lost)
    say(
      'info',
      'BITMAPS',
      `${plural(census.bitmaps.length - lost, 'persistent bitmap')}: every close rewrites the set before it frees the old one; over many sessions the length can exceed its bound.`,
    );
  const free = state.used.end() - state.used.count();
  if (free > 0)
    say(
      'info',
      'FREE_CLUSTERS',
      `${plural(free, 'free cluster')} (${bytesOf(free)}) between used ones: new data goes there first, but allocations larger than a gap cannot use it.`,
    );
  if (header.version === 2 && header.backingFile === undefined)
    say(
      'info',
      'VERSION_2_ZERO_WRITES',
      'Version 2 image without a backing file: when the guest writes zeroes QEMU frees the clusters without releasing their storage, and storage can exceed the commitment over time. qemu-img amend -o compat=1.1 ends that.',
    );
  if (geometry.clusterSize < facts.fsBlockSize)
    say(
      'info',
      'CLUSTER_BELOW_BLOCK',
      `Clusters of ${geometry.clusterSize} bytes are smaller than the host's blocks of ${facts.fsBlockSize}: guest discards release no storage.`,
    );
  return findings;
}

/**
 * The growth model of a planned image, and the facts that its file will have: what a survey of the file finds once the plan is
 * carried out. One arithmetic serves both.
 */
import { roundUp } from '#base';
import { type FileFacts, newFileFacts } from '#block';
import { ClusterSet } from '../../clusters/index.ts';
import { NOTHING_COMPRESSED } from '../survey/compressed-clusters.ts';
import type { GrowthHeader, GrowthModel } from '../growth-model.ts';
import type { NewQcow2Plan } from './layout.ts';
import { storedRangesOf } from './storage.ts';

/** The growth model of the image that `plan` describes, before the guest has written anything. */
export function growthOfPlan(plan: NewQcow2Plan): GrowthModel {
  const { geometry, l2Clusters } = plan;
  const { guestClusters, l2Count, l2Entries } = geometry;
  const isMapped = plan.preallocation !== 'off';
  const hasOwnData = plan.options.dataFile === undefined;
  const missing = isMapped ? 0 : l2Count;
  const needing = isMapped || !hasOwnData ? 0 : guestClusters;
  const copiedTables = new ClusterSet();
  for (const cluster of l2Clusters) copiedTables.add(cluster);
  return {
    header: headerOf(plan),
    guestClusters,
    l1Needed: l2Count,
    needing,
    tablesNeeding: missing,
    missingTables: missing,
    longestRun: Math.min(needing, l2Entries),
    longestRunAcrossTables: needing,
    inPlace: hasOwnData ? dataClusters(plan) : new ClusterSet(),
    inPlaceCount: isMapped ? guestClusters : 0,
    ...lastCluster(plan),
    copiedTables,
    rewrittenTables: new ClusterSet(),
    compressed: NOTHING_COMPRESSED,
    used: usedClusters(plan),
    refcountBlocks: new Map(plan.allocator.blocks.flatMap((cluster, range) => (cluster === 0 ? [] : [[range, cluster]]))),
    snapshotTable: { snapshots: [], byteLength: 0 },
    bitmaps: [],
    needsRebuild: false,
    beyondEnd: 0,
  };
}

function headerOf({ options, geometry, capacity, allocator, l1Cluster }: NewQcow2Plan): GrowthHeader {
  const { clusterSize, l2Entries, blockEntries, l2Count } = geometry;
  return {
    version: options.version,
    capacity,
    clusterSize,
    l2Entries,
    l1Size: l2Count,
    l1TableOffset: l1Cluster * clusterSize,
    refcountOrder: Math.log2(options.refcountBits),
    refcountBlockEntries: blockEntries,
    refcountTableOffset: allocator.tableCluster * clusterSize,
    refcountTableClusters: allocator.tableClusters,
    snapshotsOffset: 0,
    extendedL2: options.extendedL2,
    encryption: options.luksHeaderBytes > 0 ? 'luks' : 'none',
    externalDataFile: options.dataFile !== undefined,
    dirty: false,
    corrupt: false,
    bitmaps: undefined,
    bitmapsValid: false,
  };
}

type LastCluster = Pick<GrowthModel, 'partialInPlace' | 'lastClusterBytes' | 'lastIsNew'>;

/** Of the guest's last cluster, where the capacity ends inside it: as in the census, for entries without any bit of a subcluster. */
function lastCluster({ options, geometry, preallocation, capacity, data }: NewQcow2Plan): LastCluster {
  const { clusterSize } = geometry;
  const isMapped = preallocation !== 'off' && data.length > 0;
  const partialBytes = capacity % clusterSize;
  if (partialBytes === 0 || options.dataFile !== undefined)
    return { partialInPlace: undefined, lastClusterBytes: undefined, lastIsNew: !isMapped };
  const writtenBytes = options.extendedL2 ? roundUp(partialBytes, clusterSize / 32) : partialBytes;
  const isShort = options.extendedL2 && writtenBytes < clusterSize;
  const lastClusterBytes = isShort ? writtenBytes : undefined;
  if (!isMapped) return { partialInPlace: undefined, lastClusterBytes, lastIsNew: true };
  const last = data.at(data.length - 1);
  const hostCluster = last.hostCluster + last.clusterCount - 1;
  return { partialInPlace: { hostCluster, byteLength: writtenBytes }, lastClusterBytes, lastIsNew: false };
}

function dataClusters({ data }: NewQcow2Plan): ClusterSet {
  const clusters = new ClusterSet();
  for (const { hostCluster, clusterCount } of data) clusters.addRun(hostCluster, hostCluster + clusterCount);
  return clusters;
}

function usedClusters({ allocator: { free } }: NewQcow2Plan): ClusterSet {
  const used = new ClusterSet();
  let at = 0;
  for (const { start, end } of free.holes) {
    used.addRun(at, start);
    at = end;
  }
  used.addRun(at, free.frontier);
  return used;
}

/**
 * The facts of the finished file on a filesystem that gives storage in blocks of `fsBlockSize` bytes and charges nothing for its
 * own map of the file.
 */
export function factsOfPlan(plan: NewQcow2Plan, fsBlockSize: number): FileFacts {
  return newFileFacts(plan.length, [...storedRangesOf(plan, fsBlockSize)], fsBlockSize);
}

/**
 * How a qcow2 file grows by guest writes, as plain numbers and cluster sets: what the arithmetic of commitment needs of an image.
 * The survey of an existing file (survey/survey.ts) and the plan of a new one (plan/growth.ts) give the same model.
 */
import type { Bitmap } from './bitmap.ts';
import type { ClusterSet } from '../clusters/index.ts';
import type { CompressedClusters } from './survey/compressed-clusters.ts';
import type { Header } from './header.ts';
import type { SnapshotTable } from './snapshot.ts';

/** The fields of a header on which growth depends. */
export type GrowthHeader = Pick<
  Header,
  | 'version'
  | 'capacity'
  | 'clusterSize'
  | 'l2Entries'
  | 'l1Size'
  | 'l1TableOffset'
  | 'refcountOrder'
  | 'refcountBlockEntries'
  | 'refcountTableOffset'
  | 'refcountTableClusters'
  | 'snapshotsOffset'
  | 'extendedL2'
  | 'encryption'
  | 'externalDataFile'
  | 'dirty'
  | 'corrupt'
  | 'bitmaps'
  | 'bitmapsValid'
>;

/** Host clusters are indexes. */
export interface GrowthModel {
  readonly header: GrowthHeader;
  /** Guest clusters of the capacity. */
  readonly guestClusters: number;
  /** L1 entries that the capacity needs. */
  readonly l1Needed: number;
  /** D: guest clusters that a write needs a new cluster for (0 with an external data file). */
  readonly needing: number;
  /** L: L1 entries whose L2 table a write has to allocate or copy. */
  readonly tablesNeeding: number;
  /** Of those, missing tables whose guest clusters all need one: `needing` counts them. */
  readonly missingTables: number;
  /** Longest run of neighbouring guest clusters in D inside one L2 table, and with table borders ignored. */
  readonly longestRun: number;
  readonly longestRunAcrossTables: number;
  /** Host clusters of guest data that is written in place. */
  readonly inPlace: ClusterSet;
  readonly inPlaceCount: number;
  /** The last guest cluster, when it is in place and the capacity ends inside it; and how much of it a write fills. */
  readonly partialInPlace: { readonly hostCluster: number; readonly byteLength: number } | undefined;
  /**
   * How much of the last guest cluster is written once it gets a new host cluster; undefined: all of it. `lastIsNew`: the
   * next write already gives it one; else it is in place, and gets one after a snapshot.
   */
  readonly lastClusterBytes: number | undefined;
  readonly lastIsNew: boolean;
  /** Active L2 tables with COPIED, and of those the ones with a cluster in D: they are rewritten by the guest's writes. */
  readonly copiedTables: ClusterSet;
  readonly rewrittenTables: ClusterSet;
  readonly compressed: CompressedClusters;
  /** Clusters with a refcount above 0, or with the dirty bit set: with a reference. */
  readonly used: ClusterSet;
  /** Refcount-table indexes that have a block, and the blocks' clusters. */
  readonly refcountBlocks: ReadonlyMap<number, number>;
  readonly snapshotTable: SnapshotTable;
  readonly bitmaps: readonly Bitmap[];
  /** The dirty bit is set and referenced clusters have refcount 0: the next writable open rebuilds all refcounts. */
  readonly needsRebuild: boolean;
  /** Guest data that lies behind the end of the file. */
  readonly beyondEnd: number;
}

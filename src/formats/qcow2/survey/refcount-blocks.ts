/** The refcount table and its blocks, all of them read once. Source: qcow2 spec, "Host cluster management". */
import { PlimsollError } from '#base';
import type { ReadableDevice } from '#block';
import { type ChunkBudget, ClusterSet } from '../../clusters/index.ts';
import { ENTRY_BYTES, refcountBlockOffset } from '../entry.ts';
import type { Header } from '../header.ts';
import { requireRefcountBlock } from '../read/table-location.ts';
import { nonZeroEntries, readTable, readTables } from '../read/table-reader.ts';
import type { ClusterReferences } from './cluster-references.ts';
import { addUsedClusters, refcountOf } from './refcount.ts';

export interface RefcountSurvey {
  /** Clusters with a refcount above 0. */
  readonly used: ClusterSet;
  /** Refcount-table indexes that have a block, and the blocks' clusters. */
  readonly refcountBlocks: Map<number, number>;
}

export interface RefcountOptions {
  readonly budget: ChunkBudget;
  readonly references: ClusterReferences;
  /** Clusters whose refcounts are wanted: they are set here. */
  readonly wanted: Map<number, number>;
  readonly signal: AbortSignal | undefined;
}

/** Throws: corrupt (a block outside the file, named twice, or over another structure), unsupported, io, over-budget; AbortError. */
export async function readRefcounts(device: ReadableDevice, header: Header, options: RefcountOptions): Promise<RefcountSurvey> {
  const { clusterSize, refcountOrder, refcountBlockEntries } = header;
  const { wanted, signal } = options;
  const used = new ClusterSet(options.budget);
  const refcountBlocks = await readRefcountTable(device, header, options);
  const wantedOfBlock = groupByBlock([...wanted.keys()], refcountBlockEntries);
  const indexes = refcountBlocks.keys();
  for await (const blocks of readTables(device, clusterSize, [...refcountBlocks.values()])) {
    signal?.throwIfAborted();
    for (const block of blocks) {
      const index = indexes.next().value as number;
      addUsedClusters(block, refcountOrder, index * refcountBlockEntries, used);
      for (const cluster of wantedOfBlock.get(index) ?? [])
        wanted.set(cluster, refcountOf(block, refcountOrder, cluster % refcountBlockEntries));
    }
  }
  return { used, refcountBlocks };
}

/** Index and cluster of every refcount block. With the dirty bit set, blocks may lie anywhere: they are about to be rebuilt. */
async function readRefcountTable(
  device: ReadableDevice,
  header: Header,
  { budget, references }: RefcountOptions,
): Promise<Map<number, number>> {
  const { clusterSize, dirty, refcountTableOffset, refcountTableClusters } = header;
  const table = await readTable(device, refcountTableOffset, refcountTableClusters * clusterSize, 'refcount table');
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const refcountBlocks = new Map<number, number>();
  const seen = new ClusterSet(budget);
  for (const index of nonZeroEntries(table)) {
    const cluster = blockCluster(view, index, header, device.byteLength);
    if (cluster === undefined) continue;
    if (seen.has(cluster)) throw blockTwice(refcountTableOffset + index * ENTRY_BYTES, cluster * clusterSize);
    seen.add(cluster);
    refcountBlocks.set(index, cluster);
    if (!dirty) references.claimAndReference(cluster * clusterSize, clusterSize, 'refcount block');
  }
  return refcountBlocks;
}

/** The cluster of the block that entry `index` names. undefined: the whole range is free. */
function blockCluster(view: DataView, index: number, header: Header, fileLength: number): number | undefined {
  const offset = refcountBlockOffset(view.getUint32(index * ENTRY_BYTES), view.getUint32(index * ENTRY_BYTES + 4));
  if (offset === 0) return undefined;
  const entryAt = header.refcountTableOffset + index * ENTRY_BYTES;
  const firstCluster = index * header.refcountBlockEntries;
  // QEMU accepts it: the file can hold these clusters, but their offsets exceed 2^53.
  if (firstCluster >= header.hostClusterLimit)
    throw new PlimsollError('unsupported', 'QCOW2_REFCOUNT_BLOCK_FAR', {
      doing: 'read qcow2 refcount table',
      field: 'refcount block',
      at: entryAt,
      found: `a block for clusters from ${firstCluster} on`,
      expected: `blocks for clusters below ${header.hostClusterLimit}, whose offsets are below 2^53`,
    });
  requireRefcountBlock(offset, header, { entryAt, fileLength });
  return offset / header.clusterSize;
}

function groupByBlock(clusters: readonly number[], blockEntries: number): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  for (const cluster of clusters) {
    const block = Math.floor(cluster / blockEntries);
    const known = groups.get(block);
    if (known === undefined) groups.set(block, [cluster]);
    else known.push(cluster);
  }
  return groups;
}

function blockTwice(at: number, offset: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_REFCOUNT_BLOCK_TWICE', {
    doing: 'read qcow2 refcount table',
    field: 'refcount block offset',
    at,
    found: `0x${offset.toString(16)}`,
    expected: 'a refcount block that no other entry uses',
  });
}

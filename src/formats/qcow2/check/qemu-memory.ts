/**
 * Memory that QEMU allocates because an image tells it to: at the open, and in `qemu-img check`, which counts the references to
 * every cluster of the file. Measured with QEMU 7.2, see docs/vet.md.
 */
import { divideUp, MiB } from '#base';
import type { ReadableDevice } from '#block';
import type { Header } from '../header.ts';
import { readSnapshotTable, type SnapshotTable } from '../snapshot.ts';
import { checkBitmaps } from './check-bitmaps.ts';

/** Bytes, by what they are for. */
export interface QemuMemory {
  readonly bitmaps: number;
  readonly snapshots: number;
  readonly tables: number;
  readonly headerExtensions: number;
  readonly check: number;
}

/** The L2 cache grows with the capacity up to this; the refcount cache holds 4 blocks. */
const L2_CACHE_MAX_BYTES = 32 * MiB;
const REFCOUNT_CACHE_BLOCKS = 4;
/** Allocations of their own for each snapshot's id, name and entry. */
const SNAPSHOT_ENTRY_BYTES = 256;

/**
 * The memory for the image in `device`. `endCluster`: index after the last cluster that is in use or in the file.
 *
 * Throws: corrupt (directory or snapshot table cannot be read), io, over-budget.
 */
export async function qemuMemory(device: ReadableDevice, header: Header, endCluster = 0): Promise<QemuMemory> {
  const { clusterSize, capacity, l1Size, refcountTableClusters, refcountOrder, nbSnapshots, l2Entries } = header;
  const { memoryBytes } = await checkBitmaps(device, header);
  const snapshots = nbSnapshots === 0 ? undefined : await readSnapshotTable(device, header);
  const l2Bytes = divideUp(capacity, clusterSize) * (clusterSize / l2Entries);
  const clusters = Math.max(endCluster, divideUp(device.byteLength, clusterSize));
  return {
    bitmaps: memoryBytes,
    snapshots: snapshots === undefined ? 0 : snapshotBytes(snapshots),
    tables: l1Size * 8 + refcountTableClusters * clusterSize + Math.min(L2_CACHE_MAX_BYTES, l2Bytes) + REFCOUNT_CACHE_BLOCKS * clusterSize,
    // Unknown extensions are kept, to be written again.
    headerExtensions: 2 * clusterSize,
    check: divideUp(clusters * 2 ** refcountOrder, 8),
  };
}

/**
 * The table and the L1 tables. QEMU reads one L1 table at a time, but `qemu-img check` goes through each entry of all of them:
 * 1,000 of 32 MiB took it more than ten minutes, so the sum counts.
 */
function snapshotBytes({ snapshots, byteLength }: SnapshotTable): number {
  const l1Bytes = snapshots.reduce((total, { l1Size }) => total + l1Size * 8, 0);
  return byteLength + snapshots.length * SNAPSHOT_ENTRY_BYTES + l1Bytes;
}

export function totalBytes(memory: QemuMemory): number {
  const { bitmaps, snapshots, tables, headerExtensions, check } = memory;
  return bitmaps + snapshots + tables + headerExtensions + check;
}

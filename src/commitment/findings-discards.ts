/** What guest discards can add to a qcow2 file beyond its commitment. Theory: docs/commitment.md, "Discards". */
import { formatBytes, KiB, MiB, roundUp } from '#base';
import type { FileFacts } from '#block';
import type { Finding } from '#wire';
import type { Qcow2State } from './qcow2-state.ts';

/** QCOW_MAX_REFTABLE_SIZE and QCOW_MAX_CLUSTER_OFFSET of QEMU. */
const MAX_TABLE_BYTES = 8 * MiB;
const MAX_FILE_BYTES = 2 ** 56;
/** Each refcount table is at least 1.5 times the one before it, which keeps its storage: all of them together, over the last. */
const TABLES_OVER_LAST = 3;

/**
 * A guest that discards and writes again drives the length up, and each range of the longer file keeps its refcount block.
 *
 * `savedBytes`: what the commitment owes to free clusters that are used again, and to the longest the file can get.
 */
export function discardFindings(savedBytes: number, state: Qcow2State): Finding[] {
  const { model, facts, geometry } = state;
  const { header, guestClusters } = model;
  // A guest cluster alone is never in the way of another.
  if (header.externalDataFile || guestClusters < 2) return [];
  const ranges = Math.min(MAX_TABLE_BYTES / 8, Math.ceil(longestFile(facts) / (geometry.blockEntries * geometry.clusterSize)));
  const isPunched = geometry.clusterSize >= facts.fsBlockSize;
  const excess = isPunched
    ? savedBytes + lastClusterRest(state) + refcountBytes(ranges, state)
    : ranges * geometry.blockEntries * geometry.clusterSize;
  if (excess === 0) return [];
  const isReused = isPunched && savedBytes >= geometry.clusterSize;
  const range = formatBytes(geometry.blockEntries * geometry.clusterSize);
  const why = [
    ...(isReused ? ['free space fragments and is not reused'] : []),
    isPunched
      ? `the file grows without limit, and each ${range} of it retain a refcount block of ${formatBytes(geometry.clusterSize)}`
      : 'the file grows without limit, and discarded clusters keep their storage',
  ];
  return [
    {
      level: isReused ? 'warning' : 'info',
      code: 'DISCARDS_EXCEED',
      message: `The commitment holds without guest discards. With them (discard=unmap, without discard-no-unref=on) the file can use up to ${inMebibytes(excess)} more: ${why.join('; ')}.`,
    },
  ];
}

/** Refcount blocks of all ranges that have none yet, and the tables that name them. */
function refcountBytes(ranges: number, { blocks, geometry }: Qcow2State): number {
  const fresh = Math.max(0, ranges - blocks.size) * geometry.clusterSize;
  if (ranges <= geometry.tableEntries) return fresh;
  const lastTable = Math.min(MAX_TABLE_BYTES, roundUp(ranges * 12, geometry.clusterSize) + geometry.clusterSize);
  return fresh + TABLES_OVER_LAST * lastTable;
}

/** A discarded last cluster is written whole when it comes again, behind the capacity, too. */
function lastClusterRest({ model, geometry }: Qcow2State): number {
  return model.header.capacity % geometry.clusterSize === 0 ? 0 : geometry.clusterSize;
}

/** Where the filesystem ends a file; ext4 numbers a file's blocks by 32 bits. A qcow2 file reaches no further than 2^56. */
function longestFile({ filesystem, fsBlockSize, largestFile }: FileFacts): number {
  return Math.min(largestFile ?? MAX_FILE_BYTES, filesystem === 'ext4' ? 2 ** 32 * fsBlockSize : MAX_FILE_BYTES);
}

/** Rounded up: the figure must not be below what can be reached. */
function inMebibytes(bytes: number): string {
  return bytes < MiB ? `${Math.ceil(bytes / KiB)} KiB` : `${Math.ceil(bytes / MiB)} MiB`;
}

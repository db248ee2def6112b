/** How many refcount blocks a file needs. Source: QEMU 7.2, block/qcow2-refcount.c (`qcow2_refcount_metadata_size`), read for facts. */
import { divideUp } from '#base';

export interface RefcountShape {
  readonly clusterSize: number;
  /** Clusters that one refcount block covers. */
  readonly blockEntries: number;
}

/** Refcount blocks for `clusters` clusters, those of the blocks and of the table included; `generous`: with half a table to spare. */
export function refcountMetadataBlocks(clusters: number, { clusterSize, blockEntries }: RefcountShape, generous: boolean): number {
  const perTableCluster = clusterSize / 8;
  let counted = clusters;
  let table = 0;
  let blocks = 0;
  let total = 0;
  let last = -1;
  let isGenerous = generous;
  while (total !== last) {
    last = total;
    blocks = divideUp(counted + table + blocks, blockEntries);
    table = divideUp(blocks, perTableCluster);
    total = counted + blocks + table;
    if (total === last && isGenerous) {
      counted += divideUp(table, 2);
      total = 0;
      isGenerous = false;
    }
  }
  return blocks;
}

/** Clusters placed one by one behind everything that is in use, with the refcounts that come along. Theory: docs/commitment.md. */
import { divideUp, roundUp } from '#base';
import { type RefcountGeometry, refcountMetadataBlocks } from '#formats';

export interface Appended {
  /** Index after the last cluster, gaps of the refcount table's growth included. */
  readonly end: number;
  /** Clusters of refcount blocks and tables that came along. */
  readonly metadata: number;
  /** The refcount table moved: its old clusters are free then. */
  readonly tableMoves: boolean;
}

/**
 * `count` clusters from cluster `from` on.
 *
 * `hasBlock` tells whether a refcount-table index has a block, and none from `blocksEnd` on has: ranges that lie wholly in new
 * territory are then counted at once, so that the steps grow with the logarithm of `count`. `run` is the longest run that one request asks for.
 * When the table is full it moves to the next multiple of a block's range, sized 1.5 times what is needed; the gap in
 * front of it is filled by later requests except up to `run - 1` clusters.
 */
export function appendOnlyBound(
  from: number,
  count: number,
  run: number,
  geometry: RefcountGeometry,
  hasBlock: (range: number) => boolean,
  blocksEnd = Number.POSITIVE_INFINITY,
): Appended {
  const { blockEntries, clusterSize } = geometry;
  const added = new Set<number>();
  let addedEnd = 0;
  const wholes: { readonly start: number; readonly end: number }[] = [];
  const covered = (range: number): boolean =>
    added.has(range) || wholes.some(({ start, end }) => start <= range && range < end) || hasBlock(range);
  const cover = (range: number): void => {
    added.add(range);
    addedEnd = Math.max(addedEnd, range + 1);
  };
  let entries = geometry.tableEntries;
  let position = from;
  let metadata = 0;
  let left = count;
  while (left > 0) {
    const range = Math.floor(position / blockEntries);
    if (covered(range)) {
      const step = Math.min(left, (range + 1) * blockEntries - position);
      position += step;
      left -= step;
      continue;
    }
    // Each whole range takes a cluster for its own block.
    const isWhole = position % blockEntries === 0 && range >= Math.max(blocksEnd, addedEnd);
    const whole = isWhole ? Math.min(entries - range, Math.floor(left / (blockEntries - 1))) : 0;
    if (whole > 0) {
      wholes.push({ start: range, end: range + whole });
      addedEnd = range + whole;
      position += whole * blockEntries;
      metadata += whole;
      left -= whole * (blockEntries - 1);
      continue;
    }
    position += 1;
    metadata += 1;
    cover(range);
    if (range < entries) continue;
    const meta = divideUp(position + run, blockEntries) * blockEntries;
    const blocks = refcountMetadataBlocks(meta, geometry, true);
    entries = roundUp(blocks + divideUp(blocks, 2), clusterSize / 8);
    const tableClusters = (entries * 8) / clusterSize;
    let fresh = 0;
    for (let index = meta / blockEntries; index < blocks; index += 1) {
      if (!covered(index)) fresh += 1;
      cover(index);
    }
    let gapBlocks = 0;
    for (let index = Math.floor(position / blockEntries); index * blockEntries < meta; index += 1) {
      if (!covered(index)) gapBlocks += 1;
      cover(index);
    }
    const room = Math.max(0, meta - position - (run - 1));
    left = Math.max(0, left + gapBlocks - room);
    position = meta + fresh + tableClusters;
    metadata += fresh + tableClusters + gapBlocks;
  }
  return { end: position, metadata, tableMoves: entries !== geometry.tableEntries };
}

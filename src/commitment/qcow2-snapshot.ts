/**
 * The image as the arithmetic sees it once `qemu-img snapshot -c` has taken one more internal snapshot and the guest has
 * written nothing yet. Where the snapshot's own clusters lie is left open: they are asked for like those of guest writes.
 * Theory: docs/commitment.md, "The next snapshot".
 */
import { divideUp, roundUp } from '#base';
import { ClusterSet, type GrowthModel, NOTHING_COMPRESSED } from '#formats';
import { clusterBytes } from './byte-runs.ts';
import { bitmapSet, type Qcow2State, type TablesAdded, snapshotTableBytes } from './qcow2-state.ts';

/** Nothing is in place any more and nothing compressed is freed: every guest cluster and L2 table is asked for anew. */
export function afterSnapshot(state: Qcow2State): Qcow2State {
  const { model } = state;
  const after: GrowthModel = {
    ...model,
    needing: model.guestClusters,
    tablesNeeding: model.l1Needed,
    longestRun: Math.min(model.guestClusters, model.header.l2Entries),
    longestRunAcrossTables: model.guestClusters,
    inPlace: new ClusterSet(),
    inPlaceCount: 0,
    partialInPlace: undefined,
    lastIsNew: true,
    copiedTables: new ClusterSet(),
    rewrittenTables: new ClusterSet(),
    compressed: NOTHING_COMPRESSED,
    beyondEnd: 0,
  };
  return { ...state, model: after, added: snapshotTaken(state) };
}

function snapshotTaken(state: Qcow2State): TablesAdded {
  const { model, facts, geometry } = state;
  const { clusterSize } = geometry;
  const { header } = model;
  const l1Bytes = header.l1Size * 8;
  const sizes = [l1Bytes, snapshotTableBytes(model)];
  const runs = sizes.map((bytes) => divideUp(bytes, clusterSize));
  // Taking the snapshot includes closing the image once more, which stores all bitmaps anew; only their data is punched.
  const bitmaps = bitmapSet(state, true);
  const kept = [...bitmaps.tables, bitmaps.directoryBytes].reduce((sum, size) => sum + roundUp(size, facts.fsBlockSize), 0);
  const clusters = runs.reduce((sum, run) => sum + run, bitmaps.clusters);
  const bytes = sizes.reduce(
    (sum, size, index) => sum + Math.min(roundUp(size, facts.fsBlockSize), (runs[index] as number) * clusterSize),
    kept,
  );
  return {
    clusters,
    longestRun: Math.max(...runs),
    bytes,
    unwritten: clusters * clusterSize - bytes,
    rewritten: [[{ start: header.l1TableOffset, end: header.l1TableOffset + l1Bytes }], [...clusterBytes(model.copiedTables, clusterSize)]],
    freedClusters: 0,
  };
}

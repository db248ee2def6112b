/**
 * The strict bound on a qcow2 file's storage and length: any order of guest writes, any request size, rewriting and
 * reopening; no new internal snapshot, bitmap or resize, no crash, no discard. Theory: docs/commitment.md.
 */
import { divideUp, type Range, roundUp, sortRanges, totalLength, uniteRanges } from '#base';
import { storedBytes, type StorageMap } from '#block';
import { type Component, component, sumOfComponents } from '#wire';
import { clusterBytes, mapBytes } from './byte-runs.ts';
import { inPlaceBytes } from './qcow2-fill.ts';
import { appendOnlyBound } from './qcow2-append.ts';
import { bitmapSet, type Qcow2State } from './qcow2-state.ts';
import { freedByWrites, reusedStorage } from './stored-holes.ts';

export interface Bound {
  readonly maxLength: number;
  /** Components of the storage bound, summing exactly to it; the host's own charges are not among them. */
  readonly components: readonly Component[];
  /** What the bound owes to free clusters used again and to the longest the file can get: guest discards undo it. */
  readonly savedBytes: number;
}

/** QEMU's largest guest request. */
const MAX_REQUEST_BYTES = 2 ** 31;
/** QCOW_MAX_CRYPT_CLUSTERS: encrypted data is written in requests of at most so many clusters. */
const MAX_ENCRYPTED_RUN = 32;
/** At each close a set of bitmaps is stored before the last is freed; one more session may follow. */
const BITMAP_SETS = 2;

/** What both methods share: how much is asked for and where it can land. */
interface Demand {
  readonly end: number;
  /** Clusters asked for: guest data and L2 tables. */
  readonly clusters: number;
  readonly bitmapClusters: number;
  readonly bitmapBytes: number;
  /** Longest run one request asks for. */
  readonly run: number;
  /** Clusters of holes that are used for certain before the file grows past its end. */
  readonly provenHoles: number;
  /** Clusters that can be placed behind the end by continuing the last one in place. */
  readonly pastHoles: number;
  /** Ranges below the end without a refcount block. */
  readonly missingBlocks: number;
  readonly endOfAppend: number;
  readonly metadata: number;
  readonly tableMoves: boolean;
  readonly maxLength: number;
}

function demandOf(state: Qcow2State): Demand {
  const { model, facts, geometry } = state;
  const { clusterSize, blockEntries } = geometry;
  const end = state.used.end();
  const bitmaps = bitmapSet(state, true);
  const taken = state.added;
  const clusters = model.needing + model.tablesNeeding + (taken?.clusters ?? 0);
  const longestRequest = Math.min(
    model.longestRun,
    MAX_REQUEST_BYTES / clusterSize,
    model.header.encryption === 'none' ? Number.POSITIVE_INFINITY : MAX_ENCRYPTED_RUN,
  );
  const run = Math.max(1, Math.floor(longestRequest), bitmaps.longestRun, taken?.longestRun ?? 0);
  let provenHoles = 0;
  for (const hole of holesOf(state, end)) provenHoles += Math.max(0, hole.end - hole.start - (run - 1));
  let missingBlocks = 0;
  for (let range = 0; range * blockEntries < end; range += 1) if (!state.blocks.has(range)) missingBlocks += 1;
  const bitmapClusters = BITMAP_SETS * bitmaps.clusters;
  const requested = clusters + bitmapClusters + missingBlocks;
  const pastHoles = canContinueAtEnd(state, end) ? model.longestRunAcrossTables : 0;
  const past = Math.max(requested - provenHoles, Math.min(requested, pastHoles));
  const appended = appendOnlyBound(end, past, run, geometry, (range) => state.blocks.has(range), endOfBlocks(state));
  const inPlaceEnd = Math.max(model.inPlace.end(), end) * clusterSize;
  // The repair of a dirty image appends even when the guest then asks for nothing.
  const grown = requested === 0 ? state.repaired.end() * clusterSize : appended.end * clusterSize;
  // Direct writes go by whole blocks, and so does the length then.
  const wholeBlocks = clusterSize < facts.fsBlockSize ? roundUp(grown, facts.fsBlockSize) : grown;
  const maxLength = Math.max(facts.length, wholeBlocks, model.beyondEnd > 0 ? inPlaceEnd : 0);
  return {
    end,
    clusters,
    bitmapClusters,
    bitmapBytes: BITMAP_SETS * bitmaps.bytes,
    run,
    provenHoles,
    pastHoles,
    missingBlocks,
    endOfAppend: appended.end,
    metadata: appended.metadata,
    tableMoves: appended.tableMoves,
    maxLength,
  };
}

/**
 * A request that begins in a cluster written in place goes on in the host cluster behind it: past all holes, if it is the last
 * of the file, or becomes the last when compressed data or bitmaps behind it are freed.
 */
function canContinueAtEnd({ model }: Qcow2State, end: number): boolean {
  const { bitmaps, compressed, header, inPlace } = model;
  if (inPlace.has(end - 1) || bitmaps.length > 0 || header.dirty) return true;
  return compressed.count > compressed.firstCluster.length || freedByWrites(compressed).next().done !== true;
}

/** Index after the last refcount-table index with a block. */
function endOfBlocks({ blocks }: Qcow2State): number {
  let end = 0;
  for (const range of blocks.keys()) end = Math.max(end, range + 1);
  return end;
}

/** The free runs below the last used cluster, ascending. */
function* holesOf(state: Qcow2State, end: number): Generator<Range> {
  let at = 0;
  for (const run of state.used.runs()) {
    if (run.start > at) yield { start: at, end: run.start };
    at = run.end;
  }
  if (at < end) yield { start: at, end };
}

/** The bound by the host's map of the file. */
export function boundByMap(state: Qcow2State, map: StorageMap): Bound {
  const { facts } = state;
  const demand = demandOf(state);
  const stored = totalLength(uniteRanges([mapBytes(map)], facts.fsBlockSize));
  const settled = totalLength(uniteRanges([mapBytes(map), ...rewritten(state, demand)], facts.fsBlockSize));
  const fresh = freshStorage(state, demand, map);
  const components: Component[] = [
    component('allocated', stored),
    component('in-place', settled - stored),
    ...fresh,
    component('bitmaps', demand.bitmapBytes),
    component('reused-clusters', -reused(state, demand, map, fresh)),
  ];
  const cap = Math.max(roundUp(demand.maxLength, facts.fsBlockSize), storedEnd(map));
  const sum = sumOfComponents(components);
  if (sum > cap) components.push(component('length-limit', cap - sum));
  return {
    maxLength: demand.maxLength,
    components: components.filter(({ code, bytes }) => bytes !== 0 || code === 'allocated'),
    savedBytes: savedBytes(components, state),
  };
}

/** What the bound owes to free space that is used again and to the length that it gives the file. */
function savedBytes(components: readonly Component[], { facts, geometry }: Qcow2State): number {
  if (geometry.clusterSize < facts.fsBlockSize) return 0;
  return -sumOfComponents(components, 'reused-clusters', 'length-limit');
}

/** Storage behind the file's end counts against the cap too (speculative preallocation). */
function storedEnd(map: StorageMap): number {
  const last = map.at(-1);
  return last === undefined ? 0 : last.fileOffset + last.byteLength;
}

/** Everything that guest writes touch without allocating a cluster. */
function rewritten(state: Qcow2State, demand: Demand): Iterable<Range>[] {
  const { model, geometry } = state;
  const { header } = model;
  const { clusterSize } = geometry;
  const l1Entries = Math.min(model.l1Needed, header.l1Size);
  const tableStart = geometry.tableCluster * clusterSize;
  const tableUsed = divideUp(demand.endOfAppend, geometry.blockEntries) * 8;
  const single: Range[] = [
    { start: 0, end: clusterSize },
    { start: header.l1TableOffset, end: header.l1TableOffset + l1Entries * 8 },
    { start: tableStart, end: tableStart + Math.min(tableUsed, geometry.tableEntries * 8) },
    ...[...state.blocks.values()].map((cluster) => ({ start: cluster * clusterSize, end: (cluster + 1) * clusterSize })),
  ];
  if (header.bitmaps !== undefined && header.bitmapsValid)
    single.push({ start: header.bitmaps.directoryOffset, end: header.bitmaps.directoryOffset + header.bitmaps.directorySize });
  return [
    inPlaceBytes(model, clusterSize),
    clusterBytes(model.copiedTables, clusterSize),
    clusterBytes(state.repaired, clusterSize),
    sortRanges(single),
    ...(state.added?.rewritten ?? []),
  ];
}

/** New clusters: each takes its own size, or where clusters are smaller than host blocks, the blocks they can fall into. */
function freshStorage(state: Qcow2State, demand: Demand, map: StorageMap): Component[] {
  const { model, facts, geometry } = state;
  const { clusterSize } = geometry;
  const whole: Component[] = [
    component('guest-data', model.needing * clusterSize - neverWritten(state)),
    component('l2-tables', model.tablesNeeding * clusterSize),
    component('refcounts', (demand.metadata + demand.missingBlocks) * clusterSize),
    ...(state.added === undefined ? [] : [component('tables-before-writes', state.added.bytes)]),
  ];
  if (clusterSize >= facts.fsBlockSize) return whole;
  const holes = [...holesOf(state, demand.end)].map((run) => ({ start: run.start * clusterSize, end: run.end * clusterSize }));
  const everything = totalLength(uniteRanges([mapBytes(map), holes], facts.fsBlockSize));
  const intoHoles = everything - totalLength(uniteRanges([mapBytes(map)], facts.fsBlockSize));
  const appended = Math.max(0, demand.endOfAppend - demand.end) * clusterSize;
  const blocks = intoHoles + roundUp(appended, facts.fsBlockSize) + facts.fsBlockSize;
  const sum = sumOfComponents(whole);
  return demand.clusters + demand.bitmapClusters === 0 ? whole : [...whole, component('small-clusters', blocks - sum)];
}

/** Of the last cluster, when it is new: with extended L2 what lies behind the capacity gets no storage. Whole host blocks. */
function neverWritten({ model, facts, geometry }: Qcow2State): number {
  const { lastClusterBytes, lastIsNew } = model;
  if (lastClusterBytes === undefined || !lastIsNew || geometry.clusterSize < facts.fsBlockSize) return 0;
  return geometry.clusterSize - roundUp(lastClusterBytes, facts.fsBlockSize);
}

/** Storage in holes that is certain to be used again. Bitmaps use some of it up at each close, and give none of it back. */
function reused(state: Qcow2State, demand: Demand, map: StorageMap, fresh: readonly Component[]): number {
  if (demand.bitmapClusters > 0 || state.geometry.clusterSize < state.facts.fsBlockSize) return 0;
  const neverUsed = neverWritten(state) + (state.added?.unwritten ?? 0);
  return reusedStorage(state, map, [...holesOf(state, demand.end)], {
    bytes: sumOfComponents(fresh),
    run: demand.run,
    pastHoles: demand.pastHoles + (state.added?.freedClusters ?? 0),
    neverWritten: neverUsed,
    tableMoves: demand.tableMoves,
  });
}

/**
 * The bound where the filesystem gives no map: what is known to be written counts as in `boundByMap`; the rest of the
 * allocation may lie where no guest write ever reaches it, and then stays on top.
 */
export function boundByStat(state: Qcow2State): Bound {
  const { facts } = state;
  const demand = demandOf(state);
  const known = facts.written ?? [];
  const settled = totalLength(uniteRanges([mapBytes(known), ...rewritten(state, demand)], facts.fsBlockSize));
  const knownBytes = storedBytes(known);
  const elsewhere = Math.max(0, facts.allocation - knownBytes);
  const fileBytes = roundUp(facts.length, facts.fsBlockSize);
  const behindEnd = Math.max(0, elsewhere - Math.max(0, fileBytes - knownBytes));
  const fresh = freshStorage(state, demand, known);
  const components: Component[] = [
    component('known-or-in-place', settled),
    component('unknown-offsets', Math.min(elsewhere, Math.max(0, fileBytes - settled)) + behindEnd),
    ...fresh,
    component('bitmaps', demand.bitmapBytes),
    component('reused-clusters', -reused(state, demand, known, fresh)),
  ];
  const cap = roundUp(demand.maxLength, facts.fsBlockSize) + behindEnd;
  const sum = sumOfComponents(components);
  if (sum > cap) components.push(component('length-limit', cap - sum));
  else components.push(component('host-block-rounding', roundUp(sum, facts.fsBlockSize) - sum));
  return {
    maxLength: demand.maxLength,
    components: components.filter(({ bytes }) => bytes !== 0),
    savedBytes: savedBytes(components, state),
  };
}

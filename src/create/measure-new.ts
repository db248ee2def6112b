/**
 * The figures of an image before it exists: length and allocation from its layout, the rest by the theory of
 * docs/commitment.md for an image in which nothing has happened yet.
 */
import { GiB, requireArgument, roundUp, safeInteger } from '#base';
import { append } from '#commitment';
import { type Component, component, DEFINITIONS, type MeasureReport, sumOfComponents } from '#wire';
import { type CreateOptions, type NewImageFormat, type Qcow2Options, type RawOptions, requireOptionsOf } from './create-options.ts';
import { l1Tail, neverWritten, newQcow2Geometry, type NewQcow2Plan, planNewQcow2, storedBytes, storedBytesOf, writtenTail } from '#formats';
import { planNewRaw } from './new-raw.ts';

/** What nearly every filesystem gives out at least; where it is another, say so. */
export const DEFAULT_HOST_BLOCK = 4096;

/** Clusters that one request to an encrypted image has at most (QCOW_MAX_CRYPT_CLUSTERS). */
const MAX_ENCRYPTED_RUN = 32;

/**
 * The figures of a new image.
 *
 * Of the file itself: an external data file is a raw image of its own, to be measured as one. What the filesystem will
 * charge for its own map of the file (extent tree blocks on ext4, extent size hints on XFS) is not known before the file
 * exists and not in any figure.
 *
 * Units: bytes. Throws: usage, when the capacity is too large for the options, and for a wrong call.
 */
export function measureNew(
  format: NewImageFormat,
  capacity: number,
  options: CreateOptions,
  hostBlock = DEFAULT_HOST_BLOCK,
): MeasureReport {
  checkArguments(format, capacity, options, hostBlock);
  const figures = options.format === 'raw' ? rawFigures(capacity, options, hostBlock) : qcow2Figures(capacity, options, hostBlock);
  return { schema: 'plimsoll.measure/1', definitions: DEFINITIONS, format, ...figures, findings: [] };
}

/** What an image of this length takes in blocks of any size is still below 2^53. */
const MAX_CAPACITY = 2 ** 53 - 2 ** 16;

function checkArguments(format: unknown, capacity: number, options: unknown, hostBlock: number): void {
  const call = 'measureNew()';
  requireOptionsOf(call, format, options);
  requireArgument(Number.isSafeInteger(capacity) && capacity >= 0 && capacity <= MAX_CAPACITY, {
    call,
    name: 'capacity',
    value: capacity,
    expected: 'a whole number of bytes, below 8 PiB',
  });
  requireArgument(Number.isInteger(Math.log2(hostBlock)) && hostBlock >= 512 && hostBlock <= GiB, {
    call,
    name: 'hostBlock',
    value: hostBlock,
    expected: 'a power of two from 512 to 2^30',
  });
}

type Figures = Omit<MeasureReport, 'schema' | 'definitions' | 'format' | 'findings'>;

/**
 * What a decision on space needs of `measureNew`: all but the figure that takes a walk over the clusters to come. Units: bytes.
 * Throws: as measureNew.
 */
export function boundOfNew(
  format: NewImageFormat,
  capacity: number,
  options: CreateOptions,
  hostBlock = DEFAULT_HOST_BLOCK,
): Omit<Figures, 'expected'> {
  checkArguments(format, capacity, options, hostBlock);
  if (options.format === 'raw') return rawFigures(capacity, options, hostBlock);
  return qcow2Bound(planNewQcow2(options.qcow2, capacity), hostBlock);
}

/** L2 tables that are made with the image, whose places are worked out one by one; 0 without preallocation. Throws: usage. */
export function plannedTables(options: CreateOptions, capacity: number): number {
  if (options.format === 'raw') return 0;
  const { preallocation, dataFileRaw } = options.qcow2;
  return preallocation === 'off' && !dataFileRaw ? 0 : newQcow2Geometry(options.qcow2, capacity).l2Count;
}

function rawFigures(capacity: number, options: RawOptions, hostBlock: number): Figures {
  const { length, storedLength } = planNewRaw(capacity, options.preallocation);
  const allocation = roundUp(storedLength, hostBlock);
  const commitment = roundUp(length, hostBlock);
  const components = withoutZeros([component('allocated-at-creation', allocation), component('guest-data', commitment - allocation)]);
  return { capacity: length, length, allocation, commitment, expected: commitment, maxLength: length, components };
}

function qcow2Figures(capacity: number, options: Qcow2Options, hostBlock: number): Figures {
  const plan = planNewQcow2(options.qcow2, capacity);
  return { ...qcow2Bound(plan, hostBlock), expected: expectedOf(plan, hostBlock) };
}

function qcow2Bound(plan: NewQcow2Plan, hostBlock: number): Omit<Figures, 'expected'> {
  const allocation = storedBytesOf(plan, hostBlock);
  const bound = boundOf(plan, allocation, hostBlock);
  return {
    capacity: plan.capacity,
    length: plan.length,
    allocation,
    commitment: sumOfComponents(bound.components),
    maxLength: bound.maxLength,
    components: bound.components,
  };
}

/** Clusters that the guest's first write of everything asks for. */
interface Demand {
  readonly data: number;
  readonly l2Tables: number;
}

function demandOf(plan: NewQcow2Plan): Demand {
  if (plan.preallocation !== 'off') return { data: 0, l2Tables: 0 };
  const { guestClusters, l2Count } = plan.geometry;
  return { data: plan.options.dataFile === undefined ? guestClusters : 0, l2Tables: l2Count };
}

/** After the guest has written every cluster once, a cluster a request. */
function expectedOf(plan: NewQcow2Plan, hostBlock: number): number {
  const { clusterSize } = plan.geometry;
  const demand = demandOf(plan);
  const allocator = plan.allocator.clone();
  allocator.reopen();
  const last = allocator.allocateSingly(demand.data + demand.l2Tables);
  const length = Math.max(plan.length, demand.data + demand.l2Tables === 0 ? 0 : allocator.free.frontier * clusterSize);
  const holes = [
    ...neverWritten(allocator, clusterSize),
    ...l1Tail(plan),
    ...behindLastSubcluster(plan, demand.data > 0 ? last : undefined),
  ];
  return storedBytes(length, holes, hostBlock);
}

/** With extended L2 the last cluster is written up to its last subcluster only. `fresh`: that cluster, if it is a new one. */
function behindLastSubcluster(plan: NewQcow2Plan, fresh: number | undefined): { start: number; end: number }[] {
  const { clusterSize, guestClusters } = plan.geometry;
  const missing = guestClusters * clusterSize - plan.capacity;
  if (missing === 0 || !plan.options.extendedL2 || plan.options.dataFile !== undefined) return [];
  if (fresh === undefined) {
    if (plan.preallocation !== 'metadata') return [];
    const tail = writtenTail(plan);
    return tail === undefined ? [] : [{ start: tail.end, end: roundUp(tail.end, clusterSize) }];
  }
  const used = roundUp(clusterSize - missing, clusterSize / 32);
  return [{ start: fresh * clusterSize + used, end: (fresh + 1) * clusterSize }];
}

/** The strict bound: any order, any size of requests. */
function boundOf(plan: NewQcow2Plan, allocation: number, hostBlock: number): { maxLength: number; components: readonly Component[] } {
  const { clusterSize } = plan.geometry;
  const demand = demandOf(plan);
  const asked = demand.data + demand.l2Tables;
  if (asked === 0) return boundInPlace(plan, allocation, hostBlock);
  const grown = appendDemand(plan, asked);
  // Direct writes go by whole blocks, and so does the length then.
  const wholeBlocks = roundUp(grown.end * clusterSize, Math.max(clusterSize, hostBlock));
  const maxLength = safeInteger(Math.max(plan.length, wholeBlocks), 'measure a new qcow2');
  const components: Component[] = [
    component('allocated-at-creation', allocation),
    component('guest-data', demand.data * clusterSize - behindCapacity(plan, demand.data, hostBlock)),
    component('l2-tables', demand.l2Tables * clusterSize),
    component('refcounts', grown.metadata * clusterSize),
  ];
  const cap = roundUp(maxLength, hostBlock);
  const sum = sumOfComponents(components);
  // Neighbouring clusters share a host block, so their sum says nothing; the length bounds them, and they are packed.
  if (clusterSize < hostBlock) components.push(component('small-clusters', cap - sum));
  else if (sum > cap) components.push(component('length-limit', cap - sum));
  return { maxLength, components: withoutZeros(components) };
}

/** Of the last cluster, when it is new: with extended L2 what lies behind the capacity gets no storage. Whole host blocks. */
function behindCapacity(plan: NewQcow2Plan, newClusters: number, hostBlock: number): number {
  const { clusterSize, guestClusters } = plan.geometry;
  const missing = guestClusters * clusterSize - plan.capacity;
  if (!plan.options.extendedL2 || missing === 0 || newClusters === 0 || clusterSize < hostBlock) return 0;
  const used = roundUp(clusterSize - missing, clusterSize / 32);
  return clusterSize - roundUp(used, hostBlock);
}

/** Nothing is allocated any more: mapped clusters get their storage when they are written. */
function boundInPlace(plan: NewQcow2Plan, allocation: number, hostBlock: number): { maxLength: number; components: readonly Component[] } {
  const inPlace = expectedOf(plan, hostBlock) - allocation;
  return {
    maxLength: plan.length,
    components: withoutZeros([component('allocated-at-creation', allocation), component('mapped-guest-data', inPlace)]),
  };
}

/** `asked` clusters behind all that is in use, holes left aside as far as the longest request can leave them. */
function appendDemand(plan: NewQcow2Plan, asked: number): { end: number; metadata: number } {
  const { geometry, allocator, options } = plan;
  const { guestClusters, l2Entries, requestClusters } = geometry;
  const longest = options.dataFile === undefined ? Math.min(guestClusters, l2Entries, requestClusters + 1) : 1;
  const run = Math.max(1, options.luksHeaderBytes > 0 ? Math.min(longest, MAX_ENCRYPTED_RUN) : longest);
  const { frontier, holes } = allocator.free;
  const certain = holes.reduce((sum, hole) => sum + Math.max(0, hole.end - hole.start - (run - 1)), 0);
  const missing = missingBlocks(plan);
  const all = asked + missing;
  const across = options.dataFile === undefined ? guestClusters : 1;
  const behind = Math.max(all - certain, Math.min(all, across));
  const table = { ...geometry, tableEntries: (allocator.tableClusters * geometry.clusterSize) / 8, tableCluster: allocator.tableCluster };
  const grown = append(frontier, behind, run, table, (range) => (allocator.blocks[range] ?? 0) !== 0, allocator.blocks.length);
  return { end: grown.end, metadata: grown.metadata + missing };
}

/** Ranges below the end of the image without a refcount block: holes that the growth of the refcount table left. */
function missingBlocks(plan: NewQcow2Plan): number {
  const { allocator, geometry } = plan;
  let missing = 0;
  for (let range = 0; range * geometry.blockEntries < allocator.free.frontier; range += 1) {
    if ((allocator.blocks[range] ?? 0) === 0) missing += 1;
  }
  return missing;
}

function withoutZeros(components: readonly Component[]): readonly Component[] {
  return components.filter(({ bytes }, index) => index === 0 || bytes !== 0);
}

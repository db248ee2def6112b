/**
 * Ways for a guest to write every byte of its disk: orders, request sizes, sessions, concurrency.
 * Which of them makes QEMU consume most depends on the image's holes; `commitment` must bound them all.
 */
import { divideUp, MiB, roundDown, roundUp } from '#base';
import { Prng } from './prng.ts';

export interface FillGeometry {
  readonly capacity: number;
  readonly clusterSize: number;
  readonly extendedL2: boolean;
}

export interface Request {
  readonly guestOffset: number;
  readonly byteLength: number;
}

/** Commands of each session; between two sessions the image is closed and opened again. */
export type Sessions = readonly (readonly string[])[];

export interface Fill {
  readonly name: string;
  readonly sessions: (geometry: FillGeometry) => Sessions;
  /** Opens with O_DIRECT, as virtual machines mostly do. */
  readonly direct?: boolean;
  /** Beyond what the bound on the length promises; run by hand only. */
  readonly extra?: boolean;
}

/** The fill that `expected` is defined by: one request per cluster. */
export const SINGLE = 'single';

const PATTERN = '0xa5';
const SEED = 20_240_229;
/** qemu-io takes requests of up to 2 GiB; this also bounds its buffer. */
const LARGEST_REQUEST = 64 * MiB;
const MOST_REQUESTS = 8192;

export const FILLS: readonly Fill[] = [
  inOneSession(SINGLE, (geometry) => chunks(geometry, 1)),
  inOneSession('descending', (geometry) => chunks(geometry, 1).reverse()),
  inOneSession('shuffled', (geometry) => new Prng(SEED).shuffled(chunks(geometry, 1))),
  inOneSession('even-odd', (geometry) => strided(chunks(geometry, 1), 2)),
  inOneSession('stride-7', (geometry) => strided(chunks(geometry, 1), 7)),
  inOneSession('pairs', (geometry) => chunks(geometry, 2)),
  inOneSession('chunks-8', (geometry) => chunks(geometry, 8)),
  inOneSession('chunks-8-shuffled', (geometry) => new Prng(SEED + 1).shuffled(chunks(geometry, 8))),
  inOneSession('chunks-8-descending', (geometry) => chunks(geometry, 8).reverse()),
  inOneSession('l2-tables', (geometry) => chunks(geometry, geometry.clusterSize / (geometry.extendedL2 ? 16 : 8))),
  inOneSession('everything', (geometry) => cut(geometry.capacity, LARGEST_REQUEST)),
  inOneSession('unaligned', (geometry) => cut(geometry.capacity, 3 * geometry.clusterSize + 512)),
  inOneSession('unaligned-descending', (geometry) => cut(geometry.capacity, 5 * geometry.clusterSize - 512).reverse()),
  inOneSession('subclusters-shuffled', (geometry) => new Prng(SEED + 2).shuffled(cut(geometry.capacity, partialUnit(geometry)))),
  inOneSession('islands-then-runs', (geometry) => islandsThenRuns(geometry)),
  inOneSession('overlapping', (geometry) => overlapping(geometry)),
  { name: 'concurrent-1', sessions: (geometry) => [inFlight(new Prng(SEED + 4).shuffled(chunks(geometry, 1)), 16)] },
  { name: 'concurrent-mixed', sessions: (geometry) => [inFlight(new Prng(SEED + 5).shuffled(mixedChunks(geometry)), 12)] },
  { name: 'two-sessions', sessions: (geometry) => halves(chunks(geometry, 1)).map((half) => half.map(writeOf)) },
  { name: 'two-sessions-chunks', sessions: (geometry) => halves(strided(chunks(geometry, 8), 2)).map((half) => half.map(writeOf)) },
  {
    name: 'twice',
    sessions: (geometry) => [chunks(geometry, 4).reverse().map(writeOf), new Prng(SEED + 6).shuffled(chunks(geometry, 1)).map(writeOf)],
  },
  { name: 'direct', sessions: (geometry) => [chunks(geometry, 1).map(writeOf)], direct: true },
  { name: 'direct-everything', sessions: (geometry) => [cut(geometry.capacity, LARGEST_REQUEST).map(writeOf)], direct: true },
  { name: 'discards', sessions: (geometry) => [withDiscards(geometry)], extra: true },
  { name: 'eight-sessions', sessions: (geometry) => parts(strided(chunks(geometry, 5), 3), 8).map((part) => part.map(writeOf)), extra: true },
];

function inOneSession(name: string, requests: (geometry: FillGeometry) => Request[]): Fill {
  return { name, sessions: (geometry) => [requests(geometry).map(writeOf)] };
}

export function writeOf(request: Request): string {
  return `write -q -P ${PATTERN} ${request.guestOffset} ${request.byteLength}`;
}

/** The capacity in requests of `byteLength`, the last one shorter. */
function cut(capacity: number, byteLength: number): Request[] {
  const step = Math.max(512, Math.min(byteLength, LARGEST_REQUEST));
  const requests: Request[] = [];
  for (let at = 0; at < capacity; at += step) requests.push({ guestOffset: at, byteLength: Math.min(step, capacity - at) });
  return requests;
}

function chunks(geometry: FillGeometry, clusterCount: number): Request[] {
  return cut(geometry.capacity, clusterCount * geometry.clusterSize);
}

/** Every `step`th request, then those that follow each of them, and so on. */
function strided(requests: readonly Request[], step: number): Request[] {
  return Array.from({ length: step }, (_, phase) => requests.filter((_request, index) => index % step === phase)).flat();
}

function parts(requests: readonly Request[], count: number): Request[][] {
  const byteLength = Math.max(1, divideUp(requests.length, count));
  return Array.from({ length: count }, (_, index) => requests.slice(index * byteLength, (index + 1) * byteLength));
}

function halves(requests: readonly Request[]): Request[][] {
  return parts(requests, 2);
}

/** A subcluster, or an eighth of a cluster: not smaller than keeps the number of requests in bounds. */
function partialUnit(geometry: FillGeometry): number {
  const unit = geometry.clusterSize / (geometry.extendedL2 ? 32 : 8);
  return roundUp(Math.max(unit, geometry.capacity / MOST_REQUESTS), 512);
}

/** Single clusters with room between them, then requests that begin in one of them and go on behind it. */
function islandsThenRuns(geometry: FillGeometry): Request[] {
  const islands = chunks(geometry, 1).filter((_request, index) => index % 16 === 0);
  return [...islands.reverse(), ...chunks(geometry, 16)];
}

/** Random requests of up to 24 clusters that overlap each other, then one sweep over everything. */
function overlapping(geometry: FillGeometry): Request[] {
  const prng = new Prng(SEED + 3);
  const { capacity, clusterSize } = geometry;
  if (capacity === 0) return [];
  const count = Math.min(600, 2 * divideUp(capacity, 12 * clusterSize));
  const random = Array.from({ length: count }, () => {
    const guestOffset = roundDown(prng.below(capacity), 512);
    const wanted = roundUp(1 + prng.below(24 * clusterSize), 512);
    return { guestOffset, byteLength: Math.min(wanted, capacity - guestOffset) };
  });
  return [...random, ...chunks(geometry, 3)];
}

/** Neighbouring requests of 1 to 9 clusters. */
function mixedChunks(geometry: FillGeometry): Request[] {
  const prng = new Prng(SEED + 7);
  const requests: Request[] = [];
  for (let at = 0; at < geometry.capacity; ) {
    const byteLength = Math.min((1 + prng.below(9)) * geometry.clusterSize, geometry.capacity - at);
    requests.push({ guestOffset: at, byteLength });
    at += byteLength;
  }
  return requests;
}

/** The requests with up to `depth` of them under way at the same time. */
function inFlight(requests: readonly Request[], depth: number): string[] {
  const commands = requests.flatMap((request, index) => [
    `aio_${writeOf(request)}`,
    ...(index % depth === depth - 1 ? ['aio_flush'] : []),
  ]);
  return [...commands, 'aio_flush'];
}

/** Rounds of writes in runs of 8 clusters with all but the first cluster of each discarded, then everything. */
function withDiscards(geometry: FillGeometry): string[] {
  const runs = chunks(geometry, 8);
  const discards = runs
    .filter((run) => run.byteLength > geometry.clusterSize)
    .map((run) => `discard -q ${run.guestOffset + geometry.clusterSize} ${run.byteLength - geometry.clusterSize}`);
  return [...runs.map(writeOf), ...discards, ...runs.map(writeOf)];
}

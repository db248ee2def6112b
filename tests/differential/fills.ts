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
const MAX_REQUESTS = 8192;

/** Those that differ most, where every fill takes long: real disks, large states. */
export const FEW_FILLS: readonly string[] = [SINGLE, 'chunks-8-shuffled', 'everything', 'concurrent-mixed', 'direct'];

export const FILLS: readonly Fill[] = [
  inOneSession(SINGLE, (geometry) => chunks(geometry, 1)),
  inOneSession('descending', (geometry) => chunks(geometry, 1).reverse()),
  inOneSession('shuffled', (geometry) => new Prng(SEED).shuffled(chunks(geometry, 1))),
  inOneSession('even-odd', (geometry) => strided(chunks(geometry, 1), 2)),
  inOneSession('chunks-3-shuffled', (geometry) => new Prng(SEED + 8).shuffled(chunks(geometry, 3))),
  inOneSession('chunks-5', (geometry) => chunks(geometry, 5)),
  inOneSession('chunks-7-shuffled', (geometry) => new Prng(SEED + 9).shuffled(chunks(geometry, 7))),
  inOneSession('chunks-8', (geometry) => chunks(geometry, 8)),
  inOneSession('chunks-8-shuffled', (geometry) => new Prng(SEED + 1).shuffled(chunks(geometry, 8))),
  inOneSession('chunks-8-descending', (geometry) => chunks(geometry, 8).reverse()),
  inOneSession('chunks-16-shuffled', (geometry) => new Prng(SEED + 10).shuffled(chunks(geometry, 16))),
  inOneSession('ever-smaller', (geometry) => everSmaller(new Prng(SEED + 11), geometry)),
  inOneSession('l2-tables', (geometry) => chunks(geometry, geometry.clusterSize / (geometry.extendedL2 ? 16 : 8))),
  inOneSession('everything', (geometry) => cut(geometry.capacity, LARGEST_REQUEST)),
  inOneSession('unaligned', (geometry) => cut(geometry.capacity, 3 * geometry.clusterSize + 512)),
  inOneSession('unaligned-descending', (geometry) => cut(geometry.capacity, 5 * geometry.clusterSize - 512).reverse()),
  inOneSession('subclusters-shuffled', (geometry) => new Prng(SEED + 2).shuffled(cut(geometry.capacity, partialUnit(geometry)))),
  inOneSession('islands-then-runs', (geometry) => islandsThenRuns(geometry)),
  inOneSession('overlapping', (geometry) => overlapping(geometry)),
  {
    name: 'concurrent-mixed',
    sessions: (geometry) => [inFlight(new Prng(SEED + 5).shuffled(mixedChunks(new Prng(SEED + 7), geometry, 9)), 12)],
  },
  { name: 'two-sessions', sessions: (geometry) => halves(chunks(geometry, 1)).map((half) => half.map(writeOf)) },
  { name: 'two-sessions-chunks', sessions: (geometry) => halves(strided(chunks(geometry, 8), 2)).map((half) => half.map(writeOf)) },
  {
    name: 'twice',
    sessions: (geometry) => [chunks(geometry, 4).reverse().map(writeOf), new Prng(SEED + 6).shuffled(chunks(geometry, 1)).map(writeOf)],
  },
  { name: 'direct', sessions: (geometry) => [chunks(geometry, 1).map(writeOf)], direct: true },
  { name: 'direct-everything', sessions: (geometry) => [cut(geometry.capacity, LARGEST_REQUEST).map(writeOf)], direct: true },
  { name: 'discards', sessions: (geometry) => [withDiscards(geometry)], extra: true },
  {
    name: 'eight-sessions',
    sessions: (geometry) => parts(strided(chunks(geometry, 5), 3), 8).map((part) => part.map(writeOf)),
    extra: true,
  },
];

/**
 * A fill drawn at random: sizes, order, sessions. For searching by hand what the fixed ones miss, and for histories.
 */
export function randomFill(seed: number): Fill {
  const sessions = (geometry: FillGeometry): Sessions => {
    const prng = new Prng(seed);
    const largest = prng.pick([2, 3, 4, 6, 9, 13, 20, 40]);
    const sized = prng.chance(0.4) ? chunks(geometry, largest) : mixedChunks(prng, geometry, largest);
    const ordered = prng.pick([sized, sized.toReversed(), strided(sized, 2 + prng.below(6)), prng.shuffled(sized), prng.shuffled(sized)]);
    const requests = prng.chance(0.3) ? everSmaller(prng, geometry) : ordered;
    return parts(requests, prng.pick([1, 1, 1, 2])).map((part) => part.map(writeOf));
  };
  return { name: `random-${seed}`, sessions };
}

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
  return roundUp(Math.max(unit, geometry.capacity / MAX_REQUESTS), 512);
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

/** Large requests at random places, then smaller ones between them, and so on: each size passes over smaller holes. */
function everSmaller(prng: Prng, geometry: FillGeometry): Request[] {
  let rest = prng.shuffled(chunks(geometry, 48));
  const requests: Request[] = [];
  for (const clusterCount of [48, 24, 12, 6, 3, 1]) {
    const byteLength = clusterCount * geometry.clusterSize;
    const pieces = prng.shuffled(rest.flatMap((request) => cutRequest(request, byteLength)));
    const taken = clusterCount === 1 ? pieces.length : Math.ceil(pieces.length * (0.2 + 0.5 * prng.ratio()));
    requests.push(...pieces.slice(0, taken));
    rest = pieces.slice(taken);
  }
  return requests;
}

function cutRequest({ guestOffset, byteLength }: Request, step: number): Request[] {
  return cut(byteLength, step).map((piece) => ({ ...piece, guestOffset: guestOffset + piece.guestOffset }));
}

/** Neighbouring requests of 1 to `largest` clusters. */
function mixedChunks(prng: Prng, geometry: FillGeometry, largest: number): Request[] {
  const requests: Request[] = [];
  for (let at = 0; at < geometry.capacity; ) {
    const byteLength = Math.min((1 + prng.below(largest)) * geometry.clusterSize, geometry.capacity - at);
    requests.push({ guestOffset: at, byteLength });
    at += byteLength;
  }
  return requests;
}

/** The requests with up to `depth` of them under way at the same time. */
function inFlight(requests: readonly Request[], depth: number): string[] {
  const commands = requests.flatMap((request, index) => [`aio_${writeOf(request)}`, ...(index % depth === depth - 1 ? ['aio_flush'] : [])]);
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

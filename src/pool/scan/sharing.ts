/**
 * Counts blocks shared by several files (reflinks) once: a sweep over the physical ranges of all files of a store. The
 * filesystem's "shared" flag is only a hint; the physical ranges decide.
 */
import { runSync } from '#base';
import type { StorageMap } from '#block';

/** Where a file's bytes lie on the device: for each run its start, its end, and 1 where the filesystem calls it shared, else 0. */
export type PhysicalRanges = Float64Array;

/** Numbers of a run in PhysicalRanges. */
export const RANGE_STRIDE = 3;

/** Of `map` what sharing needs, in a sixth of the memory; runs whose place is not known share nothing that could be known. */
export function physicalRangesOf(map: StorageMap): PhysicalRanges {
  const ranges = new Float64Array(map.length * RANGE_STRIDE);
  let at = 0;
  for (const { physicalOffset, byteLength, shared } of map) {
    if (physicalOffset === undefined) continue;
    ranges[at] = physicalOffset;
    ranges[at + 1] = physicalOffset + byteLength;
    ranges[at + 2] = shared ? 1 : 0;
    at += RANGE_STRIDE;
  }
  return at === ranges.length ? ranges : ranges.slice(0, at);
}

export interface StoredFile {
  readonly allocation: number;
  /** undefined: the file shares nothing that could be known. */
  readonly ranges: PhysicalRanges | undefined;
}

export interface FileSharing {
  /** Bytes of the allocation that another file uses too, here or outside of the files at hand. */
  readonly shared: number;
  /** Of these, bytes that only files outside of the ones at hand share. */
  readonly sharedOutside: number;
  /** Bytes freed if the file were deleted. */
  readonly exclusive: number;
}

export interface Sharing {
  /** Storage of all files, shared blocks once. */
  readonly allocation: number;
  /** Bytes that more than one of the files uses, once. */
  readonly shared: number;
  /** Bytes that one of the files shares with others that are not among them: overwritten, they need new storage. */
  readonly sharedOutside: number;
  /** In the order of the files given. */
  readonly files: readonly FileSharing[];
}

/** Who uses which blocks. Units: bytes. */
export function countSharing(files: readonly StoredFile[]): Sharing {
  return runSync(sharingInSteps(files));
}

const FILES_PER_STEP = 500;
const BOUNDARIES_PER_STEP = 10_000;

/** As `countSharing`, with pauses to do something else in. */
export function* sharingInSteps(files: readonly StoredFile[]): Generator<void, Sharing> {
  const between = files.map(() => 0);
  const outside = files.map(() => 0);
  const repeated = files.map(() => 0);
  const savings = { allocation: 0, shared: 0 };
  const boundaries: Boundary[] = [];
  const crowded = yield* multiplyReferencedRanges(files);
  for (const [file, { ranges }] of files.entries()) {
    if (file % FILES_PER_STEP === 0) yield;
    for (const [start, end, flagged] of runsOf(ranges)) {
      if (crowded.length > 0 && touches(crowded, start, end))
        boundaries.push({ at: start, file, step: 1, flagged }, { at: end, file, step: -1, flagged });
      else if (flagged) outside[file] = (outside[file] as number) + end - start;
    }
  }
  yield;
  yield* sweep(boundaries, (length, users, isFlagged) => {
    let references = 0;
    for (const count of users.values()) references += count;
    if (references > 1) savings.allocation += (references - 1) * length;
    if (users.size > 1) {
      savings.shared += length;
      for (const [file, count] of users) {
        between[file] = (between[file] as number) + length;
        repeated[file] = (repeated[file] as number) + (count - 1) * length;
      }
    } else if (isFlagged && references === 1) {
      for (const file of users.keys()) outside[file] = (outside[file] as number) + length;
    } else {
      for (const file of users.keys()) repeated[file] = (repeated[file] as number) + (references - 1) * length;
    }
  });
  const total = files.reduce((sum, file) => sum + file.allocation, 0);
  return {
    allocation: Math.max(0, total - savings.allocation),
    shared: savings.shared,
    sharedOutside: outside.reduce((sum, bytes) => sum + bytes, 0),
    files: files.map((file, index) =>
      sharingOf(file, { between: between[index] as number, outside: outside[index] as number, repeated: repeated[index] as number }),
    ),
  };
}

/** `repeated`: blocks that the file itself uses several times, beyond the first. */
function sharingOf(file: StoredFile, { between, outside, repeated }: { between: number; outside: number; repeated: number }): FileSharing {
  const shared = Math.min(file.allocation, between + outside);
  return { shared, sharedOutside: Math.min(outside, shared), exclusive: Math.max(0, file.allocation - shared - repeated) };
}

export function* runsOf(ranges: PhysicalRanges | undefined): Generator<readonly [start: number, end: number, flagged: boolean]> {
  if (ranges === undefined) return;
  for (let at = 0; at < ranges.length; at += RANGE_STRIDE) yield [ranges[at] as number, ranges[at + 1] as number, ranges[at + 2] === 1];
}

/**
 * Runs of blocks that are used more than once, by whomever: starts and ends in turn, ascending. Most blocks of a store are
 * used once, and two sorted lists of numbers tell that without knowing whose they are.
 */
function* multiplyReferencedRanges(files: readonly StoredFile[]): Generator<void, Float64Array> {
  const count = files.reduce((sum, { ranges }) => sum + (ranges?.length ?? 0) / RANGE_STRIDE, 0);
  const starts = new Float64Array(count);
  const ends = new Float64Array(count);
  let filled = 0;
  for (const [file, { ranges }] of files.entries()) {
    if (file % FILES_PER_STEP === 0) yield;
    if (ranges === undefined) continue;
    for (let at = 0; at < ranges.length; at += RANGE_STRIDE) {
      starts[filled] = ranges[at] as number;
      ends[filled] = ranges[at + 1] as number;
      filled += 1;
    }
  }
  starts.sort();
  yield;
  ends.sort();
  yield;
  const crowded: number[] = [];
  let ended = 0;
  for (let begun = 0; begun < count; begun += 1) {
    const at = starts[begun] as number;
    while ((ends[ended] as number) <= at) {
      ended += 1;
      // Back to one user.
      if (begun - ended === 1) crowded.push(ends[ended - 1] as number);
    }
    if (begun - ended === 1) crowded.push(at);
  }
  for (; count - ended > 1; ended += 1) if (count - ended === 2) crowded.push(ends[ended] as number);
  return Float64Array.from(crowded);
}

/** Whether [start, end) has a byte in common with one of `runs`: starts and ends in turn, ascending. */
export function touches(runs: Float64Array, start: number, end: number): boolean {
  let low = 0;
  let high = runs.length / 2;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((runs[2 * middle + 1] as number) <= start) low = middle + 1;
    else high = middle;
  }
  return 2 * low < runs.length && (runs[2 * low] as number) < end;
}

/** Start or end of a physical range of a file. */
interface Boundary {
  readonly at: number;
  readonly file: number;
  readonly step: 1 | -1;
  readonly flagged: boolean;
}

/** Calls `visit` for each stretch of blocks that the same files use, ascending. */
function* sweep(
  boundaries: Boundary[],
  visit: (length: number, users: ReadonlyMap<number, number>, isFlagged: boolean) => void,
): Generator<void> {
  boundaries.sort((a, b) => a.at - b.at);
  const users = new Map<number, number>();
  let flagged = 0;
  let from = 0;
  for (const [index, { at, file, step, flagged: isFlagged }] of boundaries.entries()) {
    if (index % BOUNDARIES_PER_STEP === 0) yield;
    if (at > from && users.size > 0) visit(at - from, users, flagged > 0);
    from = at;
    if (isFlagged) flagged += step;
    const count = (users.get(file) ?? 0) + step;
    if (count === 0) users.delete(file);
    else users.set(file, count);
  }
}

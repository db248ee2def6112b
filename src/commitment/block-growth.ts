/**
 * Figures of formats that store a disk in blocks, new ones behind the last: what a writer touches, told as runs of the
 * file, becomes a bound on storage. Used for VHD and VDI.
 */
import { type Range, roundDown, roundUp, totalLength, uniteRanges } from '#base';
import { type FileFacts, storedBytes } from '#block';
import { type Component, component, sumOfComponents } from '#wire';
import { mapBytes } from './byte-runs.ts';
import { type Figures, finish } from './figures.ts';

/** What all guest writes together do to a file. Units: bytes. */
export interface BlockGrowth {
  readonly capacity: number;
  /** Lists of runs that are written where they are, each ascending; fresh ones at every call. */
  inPlace(): Iterable<Range>[];
  /** What is written behind the last block when all that is missing has come; undefined when nothing is missing. */
  readonly appended: Range | undefined;
  /** What `appended` consists of, summing to its length. */
  readonly parts: readonly Component[];
  /** Bytes inside `appended` that are never written: behind the capacity, in the last block of the disk. */
  readonly neverWritten: number;
  /** Where these lie when the guest writes ascending: the end of that block; it comes last then. */
  readonly neverWrittenEnd: number;
  /** Whether a new block is written whole at once; else only what the guest writes, wherever that is. */
  readonly wholeBlocks: boolean;
  readonly blockSize: number;
}

/** The figures of a file that grows so. */
export function growthFigures(facts: FileFacts, growth: BlockGrowth): Figures {
  const { fsBlockSize } = facts;
  const { appended, neverWritten } = growth;
  const known = facts.map ?? facts.written ?? [];
  const behind: Range[] = appended === undefined ? [] : [appended];
  const size = (...sources: Iterable<Range>[]): number => totalLength(uniteRanges(sources, fsBlockSize));
  // The union goes by whole host blocks, as direct writes do: even one into the file's last block can lengthen it.
  const maxLength = Math.max(facts.length, endOf(uniteRanges([...growth.inPlace(), behind], fsBlockSize)));
  const stored = size(mapBytes(known));
  const settled = size(mapBytes(known), ...growth.inPlace());
  const whole = size(mapBytes(known), ...growth.inPlace(), behind);
  const ownBehind = size(behind);
  const alreadyThere = settled + ownBehind - whole;
  const fileBytes = roundUp(facts.length, fsBlockSize);
  const perhapsThere = facts.map === undefined ? size(upTo(fileBytes, behind)) : alreadyThere;
  const gap = Math.max(0, smallestGap(neverWritten, fsBlockSize) - perhapsThere);
  const rounding = ownBehind - (appended === undefined ? 0 : appended.end - appended.start);
  const reachedInFile = upTo(fileBytes, uniteRanges([mapBytes(known), ...growth.inPlace(), behind], fsBlockSize));
  const elsewhere = facts.map === undefined ? storageElsewhere(facts, storedBytes(known), fileBytes - totalLength(reachedInFile)) : 0;
  const components: Component[] = [
    component(facts.map === undefined ? 'known-allocated' : 'allocated', stored),
    component('in-place', settled - stored),
    ...growth.parts,
    component('beyond-capacity', -gap),
    component('host-block-rounding', rounding),
    component('already-allocated', -alreadyThere),
    component('unknown-offsets', elsewhere),
  ].filter(({ bytes }, index) => index === 0 || bytes !== 0);
  const storage = sumOfComponents(components);
  const filled = size(mapBytes(known), ...growth.inPlace(), withoutGap(growth));
  const scattered = settled - stored + (growth.wholeBlocks ? 0 : whole - settled);
  const grain = growth.wholeBlocks && scattered === 0 ? growth.blockSize : fsBlockSize;
  return finish(
    facts,
    components,
    { storage, maxLength, grain, scattered, wholePieces: growth.wholeBlocks && scattered === 0 },
    {
      capacity: growth.capacity,
      expected: Math.max(facts.allocation, filled),
      maxLength,
      unbounded: [],
      nextSnapshot: null,
      findings: [],
    },
  );
}

/** The blocks of the host that stay holes at the least, wherever the unwritten bytes begin (at a multiple of 512). */
function smallestGap(neverWritten: number, fsBlockSize: number): number {
  return Math.max(0, roundDown(neverWritten - (fsBlockSize - Math.min(fsBlockSize, 512)), fsBlockSize));
}

function withoutGap({ appended, neverWritten, neverWrittenEnd }: BlockGrowth): Range[] {
  if (appended === undefined) return [];
  const runs = [
    { start: appended.start, end: neverWrittenEnd - neverWritten },
    { start: neverWrittenEnd, end: appended.end },
  ];
  return runs.filter((run) => run.end > run.start);
}

function endOf(runs: Iterable<Range>): number {
  let last = 0;
  for (const { end } of runs) last = end;
  return last;
}

/** The runs (ascending) as far as they lie below `limit`. */
function* upTo(limit: number, runs: Iterable<Range>): Generator<Range> {
  for (const { start, end } of runs) if (start < limit) yield { start, end: Math.min(end, limit) };
}

/** Without a map: allocation that may lie in the file where no guest write comes (`apart` bytes), or behind its end, and stays. */
function storageElsewhere(facts: FileFacts, known: number, apart: number): number {
  const elsewhere = Math.max(0, facts.allocation - known);
  const behindEnd = Math.max(0, elsewhere - Math.max(0, roundUp(facts.length, facts.fsBlockSize) - known));
  return Math.min(elsewhere - behindEnd, apart) + behindEnd;
}

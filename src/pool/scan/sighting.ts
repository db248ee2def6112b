/** A cached examination of one file, and whether it is still fresh. */
import {
  RACY_WINDOW_MS,
  type PathStamp,
  type HostFilesystem,
  isFresh,
  isSamePathStamp,
  isSamePlace,
  COW_RACY_WINDOW_MS,
  lockKeyOf,
  statPath,
  type ResolvedPath,
  type WalkedPath,
} from '#host';
import type { WriteProtection } from '#block';
import type { Examined, ExportKind } from '#sandbox';
import type { ImageReport } from '#wire';
import { carryOverBound } from './lasting-bound.ts';
import { type PhysicalRanges, physicalRangesOf } from './sharing.ts';

export interface CachedExamination {
  readonly walked: WalkedPath;
  readonly report: ImageReport;
  /** A file found by a scan that is no disk image. */
  readonly isOther: boolean;
  /** Of such a file: what its holes can come to take. */
  readonly holes: number;
  readonly exported: ExportKind | undefined;
  /** `device:inode`; undefined when the file could not be opened, as are the next four. */
  readonly identity: string | undefined;
  readonly filesystem: HostFilesystem | undefined;
  readonly allocation: number | undefined;
  readonly ranges: PhysicalRanges | undefined;
  readonly protection: WriteProtection | undefined;
  /** Which limits of the filesystem cover it. */
  readonly domains: readonly string[];
  readonly lockKey: string | undefined;
  readonly openForWriting: boolean | undefined;
  readonly permissions: number | undefined;
  /** Taken before the file was read; undefined where nothing is to be kept. */
  readonly mark: PathStamp | undefined;
  /** A later change shows in `mark` or `references`, as far as changes do. */
  readonly isSettled: boolean;
  /** Where the names led that were looked up for it. */
  readonly references: readonly ResolvedPath[];
}

const NO_REFERENCES: readonly ResolvedPath[] = [];
const NO_DOMAINS: readonly string[] = [];

/** A sighting of `walked` that is read once and not kept. */
export function sightingOf(walked: WalkedPath, examined: Examined): CachedExamination {
  const { report, facts, filesystem, isOther, holes, exported } = examined;
  const isSharing = facts?.map !== undefined && filesystem?.reflink !== false;
  return {
    walked,
    report,
    isOther,
    holes,
    exported,
    identity: facts?.identity,
    filesystem,
    allocation: facts?.allocation,
    // Where files share nothing the map has done its work: of ten thousand images it would be most of the memory.
    ranges: isSharing ? physicalRangesOf(facts.map) : undefined,
    protection: facts?.protection,
    domains: facts?.domains ?? NO_DOMAINS,
    lockKey: undefined,
    openForWriting: facts?.openForWriting,
    permissions: facts?.permissions,
    mark: undefined,
    isSettled: false,
    references: NO_REFERENCES,
  };
}

/**
 * As `sightingOf`, with what shows whether it still holds. `mark`: of before the reading began, which was at `beganMs`.
 *
 * Of two sightings that say the same the report of the first stays, as the same object.
 */
export async function keptSighting(
  walked: WalkedPath,
  examined: Examined,
  { mark, beganMs, before }: { mark: PathStamp | undefined; beganMs: number; before: CachedExamination | undefined },
): Promise<CachedExamination> {
  const { facts, filesystem, lookedUp } = examined;
  const read = sightingOf(walked, examined);
  const same = before?.identity === read.identity ? before?.report : undefined;
  const sighting = { ...read, report: carryOverBound(same, read.report) };
  const isLate = filesystem?.kind === 'other' || filesystem?.reflink !== false;
  const racyWindowMs = isLate ? COW_RACY_WINDOW_MS : RACY_WINDOW_MS;
  const references = lookedUp.length === 0 ? NO_REFERENCES : await Promise.all(lookedUp.map(statPath));
  const isStable = (one: PathStamp | undefined): boolean => one === undefined || !isFresh(one, beganMs, racyWindowMs);
  const isSame = before !== undefined && isSameOutcome(before, sighting);
  return {
    ...sighting,
    report: isSame ? before.report : sighting.report,
    ranges: isSame ? before.ranges : sighting.ranges,
    lockKey: mark === undefined || filesystem === undefined ? undefined : lockKeyOf({ superblock: filesystem.device, inode: mark.ino }),
    mark,
    references,
    isSettled:
      mark !== undefined &&
      facts !== undefined &&
      facts.openForWriting !== true &&
      !isPassing(sighting.report) &&
      !hasPending(examined) &&
      isStable(mark) &&
      references.every((place) => isStable(place.mark)),
  };
}

/** Errors that the next look may not meet again, though nothing changed. */
function isPassing({ error }: ImageReport): boolean {
  return error !== undefined && !['corrupt', 'unsupported', 'refused'].includes(error.kind);
}

/** Bytes that have no place yet get one without a sign, and can be shared from then on. */
function hasPending({ facts, filesystem }: Examined): boolean {
  if (filesystem?.reflink !== true) return false;
  return facts?.map?.some((range) => range.physicalOffset === undefined && !range.encoded) === true;
}

function isSameOutcome(before: CachedExamination, now: CachedExamination): boolean {
  return (
    before.isOther === now.isOther &&
    before.identity === now.identity &&
    before.holes === now.holes &&
    before.exported === now.exported &&
    before.permissions === now.permissions &&
    isSameRanges(before.ranges, now.ranges) &&
    before.domains === now.domains &&
    before.protection === now.protection &&
    JSON.stringify(before.report) === JSON.stringify(now.report)
  );
}

function isSameRanges(a: PhysicalRanges | undefined, b: PhysicalRanges | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

/** What a look finds beside the file itself. */
export interface Circumstances {
  /** The filesystem that the directory lies on. */
  readonly filesystem: string;
  /** Files open for writing, by `lockKeyOf`; undefined if unknown. */
  readonly writers: ReadonlySet<string> | undefined;
}

/** Whether the file is as it was read, what it refers to left aside. */
export function stillHolds(sighting: CachedExamination, mark: PathStamp | undefined, { filesystem, writers }: Circumstances): boolean {
  if (!sighting.isSettled || sighting.filesystem?.id !== filesystem || !isSamePathStamp(sighting.mark, mark)) return false;
  if (writers === undefined || writers.size === 0 || sighting.lockKey === undefined) return true;
  return !writers.has(sighting.lockKey);
}

/** Whether what it refers to is as it was. `see` answers for a name, once for all who refer to it. */
export async function referencesHold(sighting: CachedExamination, see: (path: Buffer) => Promise<ResolvedPath>): Promise<boolean> {
  for (const place of sighting.references) if (!isSamePlace(place, await see(place.path))) return false;
  return true;
}

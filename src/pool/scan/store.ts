/**
 * Builds the report of a store from its images: sums, sharing, verdict. Pure; yields at intervals, since there may be
 * many images.
 */
import { type Assumption, formatBytes, plural, saturated } from '#base';
import type { HostFilesystem } from '#host';
import type { ExportKind } from '#sandbox';
import type { Finding, ImageReport, ScannedImage, StoreReport } from '#wire';
import { commitRowFindings, commitStoreFindings, type CountedRow, type LargestCommit } from './commits.ts';
import { domainResiduals, type DomainResiduals } from './domains.ts';
import { imagesBeyond, tooLongFindings } from './beyond-largest-file.ts';
import { availableUnderLimits, judgeUnderlyingStorage } from './storage-verdict.ts';
import { mapCaveats } from './map-caveat.ts';
import { type WriterLimit, writerLimitFindings } from './process-limit.ts';
import { NeverWrittenRule, type StoredFileFacts, type WrittenVerdict } from './never-written.ts';
import { countedCommitment, countedResidual, isLeastKnown, isUnread, staysAsItIs } from './counted-image.ts';
import { RISK_KEYS } from './risk.ts';
import { otherFindings } from './other-files.ts';
import { type FileSharing, type PhysicalRanges, type Sharing, sharingInSteps } from './sharing.ts';

/** A file that a scan found and examined. */
export interface FoundImage {
  readonly report: ImageReport;
  /** `device:inode`; undefined when the file could not be opened. */
  readonly identity: string | undefined;
  /** st_blocks × 512; undefined when the file could not even be opened. */
  readonly allocation: number | undefined;
  /** undefined: where the filesystem does not tell, or its files share nothing. */
  readonly ranges: PhysicalRanges | undefined;
  /** Its filesystem permits no process to open it for writing, and none has it open for writing: it cannot change. */
  readonly isUnwritable: boolean;
  /** Which limits of the filesystem cover it. */
  readonly domains: readonly string[];
  readonly isOpenForWriting: boolean | undefined;
  /** The limit of the process that writes it; undefined: no such process is known. */
  readonly writerLimit: WriterLimit | undefined;
  readonly permissions: number | undefined;
  readonly exported: ExportKind | undefined;
  readonly aliases: readonly string[];
  readonly backingOf: readonly string[];
  /** Into this file, as the backing file of scanned images; undefined: of none, or none whose size is known. */
  readonly largestCommit?: LargestCommit | undefined;
}

/** A file that is no disk image. */
export interface OtherFile extends StoredFileFacts {
  readonly allocation: number;
  /** What its holes can come to take. */
  readonly holes: number;
  /** What the filesystem's map of it can take beyond that, when its holes are filled in an order made for it. */
  readonly mapExcess: number;
}

export interface StoreInput {
  readonly filesystem: HostFilesystem;
  readonly images: readonly FoundImage[];
  readonly others: readonly OtherFile[];
  /** Processes that could not be inspected, or why their number is unknown; all: there is no list of processes. */
  readonly inaccessibleProcesses: number | 'all' | 'pid-namespace' | 'hidepid';
  /** What the administrator's patterns left out. */
  readonly excluded: { readonly files: number; readonly directories: number };
  /** Names below the directories that are neither files nor directories: fifos, sockets and devices are the special ones. */
  readonly notFollowed: { readonly symlinks: number; readonly specials: number };
  /** What could not be read below the directories of this store. */
  readonly unreadable: readonly Finding[];
}

/** Available bytes, the least and the most that a look saw. */
export interface RoomSeen {
  readonly least: number;
  readonly most: number;
}

export interface StorePolicy {
  /** Free bytes that must always remain. */
  readonly floor: number;
  /** What the administrator declares of what lies below. */
  readonly assume: readonly Assumption[];
  /** Patterns of files that are never written any more, and the word `backing`: they count with their current allocation. */
  readonly neverWritten: readonly string[];
  /** Patterns of files and directories that are left out. */
  readonly exclude: readonly string[];
}

/** What the images of a store come to, whatever room the filesystem has. */
export interface StoreSums {
  readonly allocation: number;
  /** null: not known of every image. */
  readonly commitment: number | null;
  /** Of what is known. */
  readonly leastResidual: number;
  /** By what a limit can cover. */
  readonly byDomain: DomainResiduals;
  /** Of it: what the holes of other files can come to take. */
  readonly otherHoles: number;
  /** What the filesystem's maps of the files can take beyond all commitments and holes. */
  readonly mapExcess: number;
  readonly shared: number;
  /** The filesystem, or the limit of the process that writes it, ends a file before an image is full. */
  readonly exceedsLargestFile: boolean;
  /** Nothing is missing that a yes needs. */
  readonly isComplete: boolean;
  /** Highest risk first. */
  readonly images: readonly ScannedImage[];
  readonly findings: readonly Finding[];
}

/** The rows of an earlier report: what is as it was stays the same object, so that a comparison finds the changes. */
export class RowCache {
  readonly #rows = new WeakMap<ImageReport, { readonly key: string; readonly row: ScannedImage }>();

  row(image: FoundImage, sharing: FileSharing, rule: NeverWrittenRule): ScannedImage {
    const { shared, sharedOutside, exclusive } = sharing;
    const written = image.isUnwritable ? UNWRITABLE : rule.judge({ ...image, paths: [image.report.path, ...image.aliases] });
    const limits = writerLimitFindings(image.writerLimit, image.report);
    const standing = [written.reason ?? '', ...written.findings.map(({ code }) => code), ...limits.map(({ message }) => message)].join(' ');
    const key = [
      shared,
      sharedOutside,
      exclusive,
      standing,
      image.aliases.join('\0'),
      '',
      image.backingOf.join('\0'),
      commitKey(image),
    ].join('\n');
    const known = this.#rows.get(image.report);
    if (known?.key === key) return known.row;
    const row = scannedImage(image, sharing, { ...written, findings: [...written.findings, ...limits] });
    this.#rows.set(image.report, { key, row });
    return row;
  }
}

function commitKey({ largestCommit }: FoundImage): string {
  return largestCommit === undefined ? '' : `${largestCommit.growth} ${largestCommit.from}`;
}

/** Protected by the filesystem, and open in no process. */
const UNWRITABLE: WrittenVerdict = {
  reason: null,
  findings: [
    {
      level: 'info',
      code: 'IMAGE_UNWRITABLE',
      message:
        'Read-only by its filesystem (superblock, subvolume or immutable flag), and it is not open or mapped for writing: counted with its allocation.',
    },
  ],
};

const ROWS_PER_STEP = 500;

/** The sums of one store, with pauses to do something else in. `rows` serves one policy. */
export function* sumsInSteps(input: StoreInput, policy: StorePolicy, rowMemory = new RowCache()): Generator<void, StoreSums> {
  const { filesystem, images } = input;
  const sharing = yield* sharingInSteps(images.map(({ allocation = 0, ranges }) => ({ allocation, ranges })));
  const rule = new NeverWrittenRule(policy.neverWritten);
  const rows: ScannedImage[] = [];
  for (const [index, image] of images.entries()) {
    if (index % ROWS_PER_STEP === 0) yield;
    rows.push(rowMemory.row(image, sharing.files[index] as FileSharing, rule));
  }
  yield;
  const isKnown = rows.every((row) => staysAsItIs(row) || (row.commitment !== null && !isLeastKnown(row)));
  const staying = rows.map(staysAsItIs);
  const kept = yield* sharingInSteps(
    images.flatMap(({ allocation = 0, ranges }, index) => (staying[index] === true ? [{ allocation, ranges }] : [])),
  );
  // What stays as it is keeps the blocks that its files share; what is written comes apart from them.
  const whole = rows.reduce((sum, row) => (staysAsItIs(row) ? sum : sum + countedCommitment(row)), kept.allocation);
  const sharedOutside = sharing.files.reduce((sum, file, index) => (staying[index] === true ? sum : sum + file.sharedOutside), 0);
  const holed = input.others.filter((other) => other.holes > 0 && rule.judge(other).reason === null);
  const otherHoles = saturated(holed.reduce((sum, { holes }) => sum + holes, 0));
  const isPromise =
    filesystem.copyOnWrite !== true ||
    rows.every((row) => staysAsItIs(row) || !row.findings.some(({ code }) => code === 'BTRFS_COPY_ON_WRITE'));
  const tooLong = imagesBeyond(rows.filter((row) => !staysAsItIs(row)));
  const isComplete =
    isPromise &&
    tooLong.every(({ possible }) => possible.length === 0) &&
    isKnown &&
    rows.every((row) => staysAsItIs(row) || row.error === undefined) &&
    input.unreadable.length === 0;
  yield;
  const findings = [
    ...tooLongFindings(tooLong),
    ...storeFindings(input, rows, sharing),
    ...commitStoreFindings(rows.map((row, index) => countedRow(row, images[index]))),
    ...otherFindings(input, holed, otherHoles),
    ...saturation(whole),
  ];
  yield;
  const byDomain = yield* domainResiduals(
    images.map(({ allocation = 0, ranges, domains }, index) => {
      const row = rows[index] as ScannedImage;
      return { allocation, ranges, domains, commitment: row.commitment === null ? allocation : countedCommitment(row) };
    }),
  );
  return {
    allocation: sharing.allocation,
    commitment: isKnown ? saturated(whole) : null,
    // A block that a file outside of the scan shares stays its own when an image here writes a copy.
    byDomain,
    exceedsLargestFile: tooLong.some(({ certain }) => certain.length > 0),
    leastResidual: saturated(Math.max(0, whole - sharing.allocation + Math.min(sharing.sharedOutside, sharedOutside)) + otherHoles),
    otherHoles,
    mapExcess: saturated(
      rows.reduce((sum, row) => (staysAsItIs(row) ? sum : sum + (row.mapExcess ?? 0)), 0) +
        holed.reduce((sum, { mapExcess }) => sum + mapExcess, 0),
    ),
    shared: sharing.shared,
    isComplete,
    images: yield* byRisk(rows),
    findings,
  };
}

/** The report of one store, from its sums and its filesystem now. `available`: what counts as available under all limits. */
export function reportStore(
  sums: StoreSums,
  filesystem: HostFilesystem,
  policy: StorePolicy,
  available = availableUnderLimits(filesystem, sums),
): StoreReport {
  const { id, host, mount, type, size, used } = filesystem;
  const headroom = saturated(available - sums.leastResidual - policy.floor);
  const underlying = judgeUnderlyingStorage(filesystem, sums, policy.assume, mapCaveats(headroom, sums.mapExcess));
  const isKnown = sums.commitment !== null;
  return {
    id,
    host,
    mount,
    type,
    size,
    used,
    available,
    allocation: sums.allocation,
    commitment: sums.commitment,
    residual: isKnown ? sums.leastResidual : null,
    otherHoles: sums.otherHoles,
    mapExcess: sums.mapExcess,
    shared: sums.shared,
    floor: policy.floor,
    headroom: size > 0 && (isKnown || headroom < 0) ? headroom : null,
    fits: sums.exceedsLargestFile ? false : verdict(sums.isComplete && underlying.isReliable && size > 0, headroom, filesystem),
    assumed: underlying.assumed,
    images: sums.images,
    findings: [...underlying.findings, ...sums.findings],
  };
}

/**
 * The available space that belongs to a look which found it between `least` and `most`, with `needed` bytes to come.
 *
 * While guests write, available space and residual are never of the same moment. Taken before the images were looked at, what
 * was written meanwhile is still available; taken after, it is counted twice. So the least is taken, and nothing is promised
 * that is not there. But where only the least would make the sum negative, nothing says that it is: it is 0 then.
 */
export function roomDuring({ least, most }: RoomSeen, needed: number): number {
  return Math.max(least, Math.min(most, needed));
}

/** What is known may be enough for a no; a yes needs everything. */
function verdict(isComplete: boolean, headroom: number, filesystem: HostFilesystem): boolean | null {
  if (filesystem.size > 0 && headroom < 0) return false;
  return isComplete ? true : null;
}

function saturation(commitment: number): Finding[] {
  if (commitment <= Number.MAX_SAFE_INTEGER) return [];
  const message = 'The commitments of the images add up to 2^53 bytes or more: the figures of the store end at 2^53 - 1.';
  return [{ level: 'warning', code: 'SUMS_SATURATED', message }];
}

function scannedImage(image: FoundImage, sharing: FileSharing, written: WrittenVerdict): ScannedImage {
  const { report } = image;
  const findings = [...report.findings];
  if (sharing.sharedOutside > 0) {
    findings.push({
      level: 'info',
      code: 'SHARED_OUTSIDE',
      message: `${formatBytes(sharing.sharedOutside)} are shared with files outside this scan (reported by the filesystem; may be inaccurate on btrfs) and need new space when overwritten.`,
    });
  }
  findings.push(...written.findings);
  const row = {
    ...report,
    findings,
    exclusive: image.allocation === undefined ? null : sharing.exclusive,
    shared: image.allocation === undefined ? null : sharing.shared,
    aliases: image.aliases,
    backingOf: image.backingOf,
    neverWritten: written.reason,
  };
  findings.push(...commitRowFindings(countedRow(row, image)));
  return row;
}

function countedRow(row: ScannedImage, image: FoundImage | undefined): CountedRow {
  return { row, counted: countedCommitment(row), staysAsItIs: staysAsItIs(row), largestCommit: image?.largestCommit };
}

function* byRisk(rows: readonly ScannedImage[]): Generator<void, ScannedImage[]> {
  const ranked = rows.map((row) => ({ row, keys: RISK_KEYS.map((key) => key(row)) }));
  yield;
  ranked.sort((a, b) => compareKeys(a.keys, b.keys) || (a.row.path < b.row.path ? -1 : 1));
  yield;
  return ranked.map(({ row }) => row);
}

function compareKeys(some: readonly number[], others: readonly number[]): number {
  for (const [index, one] of some.entries()) {
    const other = others[index] as number;
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
}

function storeFindings(input: StoreInput, rows: readonly ScannedImage[], sharing: Sharing): Finding[] {
  const { filesystem } = input;
  const findings: Finding[] = [...input.unreadable];
  const failed = rows.filter(isUnread).length;
  if (failed > 0)
    findings.push({
      level: 'critical',
      code: 'IMAGES_UNREADABLE',
      message: `${plural(failed, 'image')} could not be read; ${failed === 1 ? 'its growth is' : 'their growth is'} unknown.`,
    });
  if (filesystem.size === 0)
    findings.push({
      level: 'critical',
      code: 'STORE_WITHOUT_LIMIT',
      message: 'The filesystem reports no size (a tmpfs without a limit?): fit unknown.',
    });
  const backing = rows.filter((row) => row.backingOf.length > 0).reduce((sum, row) => sum + countedResidual(row), 0);
  if (backing > 0)
    findings.push({
      level: 'info',
      code: 'BACKING_RESIDUAL',
      message: `${formatBytes(backing)} of the residual belong to backing files, which guests do not write while overlays use them; --never-written (in the daemon: never_written) excludes that.`,
    });
  const reclaimable = rows.reduce((sum, row) => sum + row.reclaimable, 0);
  if (reclaimable > 0)
    findings.push({
      level: 'info',
      code: 'SPECULATIVE_LEFT_OUT',
      message: `${formatBytes(reclaimable)} of the images' commitments are XFS CoW preallocation for shared blocks, which XFS reclaims before a write fails; the store's sums exclude it.`,
    });
  if (sharing.shared > 0)
    findings.push({
      level: 'info',
      code: 'SHARED_BLOCKS',
      message: `${formatBytes(sharing.shared)} are shared between images and counted once; each image that overwrites its share needs new space, which the residual includes.`,
    });
  if (filesystem.copyOnWrite === true && rows.some((row) => row.findings.some((finding) => finding.code === 'BTRFS_COPY_ON_WRITE'))) {
    findings.push({
      level: 'warning',
      code: 'STORE_COPY_ON_WRITE',
      message:
        'Images on btrfs without NOCOW: old extents stay whole until their last byte is replaced, and available space is an estimate. It cannot be guaranteed here that every write fits.',
    });
  }
  const open = rows.filter((row) => row.openForWriting === true).length;
  if (open > 0)
    findings.push({
      level: 'info',
      code: 'OPEN_FOR_WRITING',
      message: `${plural(open, 'image')} ${open === 1 ? 'is' : 'are'} open for writing: figures lag until the writer flushes, and may count twice the clusters that tables in its memory refer to.`,
    });
  const notFollowed = notFollowedText(input.notFollowed);
  if (notFollowed !== '')
    findings.push({
      level: 'info',
      code: 'NOT_FOLLOWED',
      message: `${notFollowed} not followed; their images count only if found elsewhere in the scan.`,
    });
  return findings;
}

function notFollowedText({ symlinks, specials }: StoreInput['notFollowed']): string {
  const parts = [
    ...(symlinks > 0 ? [plural(symlinks, 'symbolic link')] : []),
    ...(specials > 0 ? [`${plural(specials, 'special file')} (device, fifo or socket)`] : []),
  ];
  return parts.length === 0 ? '' : `${parts.join(' and ')} ${symlinks + specials === 1 ? 'was' : 'were'}`;
}

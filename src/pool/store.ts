/** One filesystem and the images on it become a store report: sums, sharing, verdict. Pure. */
import { formatBytes } from '#base';
import type { FileFacts } from '#block';
import type { HostFilesystem } from '#host';
import type { Finding, ImageReport, ScannedImage, StoreReport } from '#wire';
import { countSharing, type FileSharing, type Sharing } from './sharing.ts';

/** A file that a scan found and examined. */
export interface FoundImage {
  readonly report: ImageReport;
  readonly facts: FileFacts | undefined;
  readonly aliases: readonly string[];
  readonly backingOf: readonly string[];
}

export interface StoreInput {
  readonly filesystem: HostFilesystem;
  readonly images: readonly FoundImage[];
  /** Files that are no disk images: how many, and their storage. */
  readonly others: { readonly count: number; readonly allocation: number };
  /** Names below the directories that are neither files nor directories: fifos, sockets and devices are the special ones. */
  readonly notFollowed: { readonly symlinks: number; readonly specials: number };
  /** What could not be read below the directories of this store. */
  readonly unreadable: readonly Finding[];
}

export interface StorePolicy {
  /** Free bytes that must always remain. */
  readonly floor: number;
  /** Backing files are never written: they count with what they hold now. */
  readonly frozenBacking: boolean;
}

/** The report of one store, its most dangerous image first. */
export function reportStore(input: StoreInput, policy: StorePolicy): StoreReport {
  const { filesystem, images } = input;
  const sharing = countSharing(
    images.map(({ facts }) => ({ allocation: facts?.allocation ?? 0, map: filesystem.reflink === false ? undefined : facts?.map })),
  );
  const rows = images.map((image, index) => scannedImage(image, sharing.files[index] as FileSharing, policy));
  const known = rows.filter((row) => row.commitment !== null);
  const commitment = known.reduce((sum, row) => sum + countedCommitment(row, policy), 0);
  const isPromise =
    filesystem.copyOnWrite !== true || rows.every((row) => !row.findings.some(({ code }) => code === 'BTRFS_COPY_ON_WRITE'));
  const isComplete =
    isPromise &&
    known.length === rows.length &&
    rows.every((row) => row.error === undefined) &&
    input.unreadable.length === 0 &&
    filesystem.size > 0;
  // A block that a file outside of the scan shares stays its own when an image here writes a copy.
  const residual = Math.max(0, commitment - sharing.allocation + sharing.sharedOutside);
  const headroom = filesystem.available - residual - policy.floor;
  return {
    id: filesystem.id,
    mount: filesystem.mount,
    type: filesystem.type,
    size: filesystem.size,
    used: filesystem.used,
    available: filesystem.available,
    allocation: sharing.allocation,
    commitment: known.length === rows.length ? commitment : null,
    residual: known.length === rows.length ? residual : null,
    shared: sharing.shared,
    floor: policy.floor,
    headroom: filesystem.size > 0 && (known.length === rows.length || headroom < 0) ? headroom : null,
    fits: verdict(isComplete, headroom, filesystem),
    images: rows.sort((a, b) => mostDangerousFirst(a, b, policy)),
    findings: storeFindings(input, rows, sharing, policy),
  };
}

/** What is known may be enough for a no; a yes needs everything. */
function verdict(isComplete: boolean, headroom: number, filesystem: HostFilesystem): boolean | null {
  if (filesystem.size > 0 && headroom < 0) return false;
  return isComplete ? true : null;
}

function scannedImage(image: FoundImage, sharing: FileSharing, policy: StorePolicy): ScannedImage {
  const { report, facts } = image;
  const findings = [...report.findings];
  if (sharing.sharedOutside > 0) {
    findings.push({
      level: 'info',
      code: 'SHARED_OUTSIDE',
      message: `${formatBytes(sharing.sharedOutside)} are shared with files outside of this scan (the filesystem says so; on btrfs it can be mistaken): overwritten, they need new storage.`,
    });
  }
  const overlays = `${image.backingOf.length} image${image.backingOf.length === 1 ? '' : 's'}`;
  if (isFrozen(image, policy)) {
    findings.push({
      level: 'info',
      code: 'BACKING_FROZEN',
      message: `Backing file of ${overlays}: counted with what it holds now, as --frozen-backing promises.`,
    });
  } else if (image.backingOf.length > 0) {
    findings.push({
      level: 'info',
      code: 'IS_BACKING_FILE',
      message: `Backing file of ${overlays}: guests do not write it, a block commit does. --frozen-backing counts it with what it holds now.`,
    });
  }
  return {
    ...report,
    findings,
    exclusive: facts === undefined ? null : sharing.exclusive,
    shared: facts === undefined ? null : sharing.shared,
    aliases: image.aliases,
    backingOf: image.backingOf,
  };
}

/** Whether the sums count an image with what it holds now. */
function isFrozen(image: { readonly backingOf: readonly string[] }, policy: StorePolicy): boolean {
  return policy.frozenBacking && image.backingOf.length > 0;
}

function countedCommitment(row: ScannedImage, policy: StorePolicy): number {
  if (isFrozen(row, policy)) return row.allocation ?? 0;
  return Math.max(row.allocation ?? 0, (row.commitment ?? 0) - row.reclaimable);
}

/** What the store's sums count of a row's residual. */
function countedResidual(row: ScannedImage, policy: StorePolicy): number {
  if (isFrozen(row, policy)) return 0;
  return Math.max(0, (row.residual ?? 0) - row.reclaimable);
}

/** What could not be read first: nobody knows how dangerous it is. Then by what may still be written. */
function mostDangerousFirst(a: ScannedImage, b: ScannedImage, policy: StorePolicy): number {
  const unknown = Number(b.error !== undefined) - Number(a.error !== undefined);
  if (unknown !== 0) return unknown;
  return countedResidual(b, policy) - countedResidual(a, policy) || (a.path < b.path ? -1 : 1);
}

function storeFindings(input: StoreInput, rows: readonly ScannedImage[], sharing: Sharing, policy: StorePolicy): Finding[] {
  const { filesystem, others } = input;
  const findings: Finding[] = [...input.unreadable];
  const failed = rows.filter((row) => row.error !== undefined).length;
  if (failed > 0)
    findings.push({
      level: 'danger',
      code: 'IMAGES_UNREADABLE',
      message: `${failed} image${failed === 1 ? '' : 's'} could not be read; what ${failed === 1 ? 'it' : 'they'} can grow to is not in the sums.`,
    });
  if (filesystem.size === 0)
    findings.push({
      level: 'danger',
      code: 'STORE_WITHOUT_LIMIT',
      message: 'The filesystem states no size (a tmpfs without a limit?): whether everything fits cannot be told.',
    });
  const backing = rows.filter((row) => row.backingOf.length > 0).reduce((sum, row) => sum + countedResidual(row, policy), 0);
  if (backing > 0)
    findings.push({
      level: 'info',
      code: 'BACKING_RESIDUAL',
      message: `${formatBytes(backing)} of the residual belong to backing files, which no guest writes as long as overlays use them; --frozen-backing leaves that out.`,
    });
  const reclaimable = rows.reduce((sum, row) => sum + row.reclaimable, 0);
  if (reclaimable > 0)
    findings.push({
      level: 'info',
      code: 'SPECULATIVE_LEFT_OUT',
      message: `${formatBytes(reclaimable)} of the images' commitments are speculative preallocation, which XFS gives back before a write fails; the store's sums leave that out.`,
    });
  if (sharing.shared > 0)
    findings.push({
      level: 'info',
      code: 'SHARED_BLOCKS',
      message: `${formatBytes(sharing.shared)} are shared between images and counted once; each image that overwrites its share takes new space, which the residual counts in.`,
    });
  if (filesystem.copyOnWrite === true && rows.some((row) => row.findings.some((finding) => finding.code === 'BTRFS_COPY_ON_WRITE'))) {
    findings.push({
      level: 'warning',
      code: 'STORE_COPY_ON_WRITE',
      message:
        'Images on btrfs without NOCOW: old extents stay whole until their last byte is replaced, and available space is an estimate. That everything fits cannot be promised here.',
    });
  }
  const open = rows.filter((row) => row.openForWriting === true).length;
  if (open > 0)
    findings.push({
      level: 'info',
      code: 'OPEN_FOR_WRITING',
      message: `${open} image${open === 1 ? ' is' : 's are'} open for writing: figures lag behind until the writer flushes.`,
    });
  if (others.count > 0)
    findings.push({
      level: 'info',
      code: 'OTHER_FILES',
      message: `${others.count} other file${others.count === 1 ? '' : 's'} (${formatBytes(others.allocation)}) taken for no disk image${others.count === 1 ? '' : 's'} and left out.`,
    });
  const notFollowed = notFollowedText(input.notFollowed);
  if (notFollowed !== '')
    findings.push({
      level: 'info',
      code: 'NOT_FOLLOWED',
      message: `${notFollowed} not followed: an image behind one of them is in the sums only where the scan finds it by itself.`,
    });
  return findings;
}

function notFollowedText({ symlinks, specials }: StoreInput['notFollowed']): string {
  const parts = [
    ...(symlinks > 0 ? [`${symlinks} symbolic link${symlinks === 1 ? '' : 's'}`] : []),
    ...(specials > 0 ? [`${specials} special file${specials === 1 ? '' : 's'} (device, fifo or socket)`] : []),
  ];
  return parts.length === 0 ? '' : `${parts.join(' and ')} ${symlinks + specials === 1 ? 'was' : 'were'}`;
}

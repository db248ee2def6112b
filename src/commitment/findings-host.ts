/** What an administrator should know about how the host's filesystem holds a file. Codes are listed in docs/findings.md. */
import { formatBytes, MiB, roundUp } from '#base';
import { type FileFacts, storedBytes } from '#block';
import type { Finding } from '#wire';

/**
 * Whether the file can become as long as its guest can make it. `maxLength` bounds the length; `expected`, the storage after every
 * byte was written once, is reached, and a file is at least as long as what it stores within its length.
 */
export function largestFileFindings(
  { largestFile }: FileFacts,
  { maxLength, expected }: { readonly maxLength: number | null; readonly expected: number | null },
): Finding[] {
  if (largestFile === undefined || maxLength === null || maxLength <= largestFile) return [];
  const figures = `its guest can make it ${formatBytes(maxLength)} long, and its filesystem ends a file at ${formatBytes(largestFile)}`;
  if (expected !== null && expected > largestFile) {
    return [{ level: 'critical', code: 'EXCEEDS_LARGEST_FILE', message: `Writes will fail: ${figures}.` }];
  }
  return [{ level: 'warning', code: 'MAY_EXCEED_LARGEST_FILE', message: `Writes may fail: ${figures}.` }];
}

/** Less than this is not worth a sentence. */
const MIN_EXCESS = MiB;

/** Findings on the file as its filesystem holds it. */
export function hostFindings(facts: FileFacts): Finding[] {
  const findings: Finding[] = [];
  const end = roundUp(facts.length, Math.max(facts.fsBlockSize, facts.extentSizeHint));
  const behind = facts.map === undefined ? Math.max(0, facts.allocation - end) : storedBehind(facts, end);
  if (behind > 0) {
    const why =
      facts.filesystem === 'xfs'
        ? 'XFS speculative preallocation, released after the file is closed, or deliberately reserved space'
        : 'space reserved beyond its end';
    findings.push({
      level: 'info',
      code: 'ALLOCATION_ABOVE_LENGTH',
      message: `${formatBytes(behind)} of storage beyond the end of the file: ${why}.`,
    });
  }
  if (facts.filesystem === 'btrfs' && facts.noCow !== true) {
    findings.push({
      level: 'warning',
      code: 'BTRFS_COPY_ON_WRITE',
      message:
        'On btrfs without NOCOW an overwrite takes new space first and old extents stay whole until their last byte is replaced: the filesystem can use more than the commitment, and that cannot be promised. chattr +C on the directory before the image is made ends it.',
    });
  }
  if (facts.extentSizeHint > facts.fsBlockSize) {
    findings.push({
      level: 'info',
      code: 'EXTENT_SIZE_HINT',
      message: `The file carries an extent size hint of ${formatBytes(facts.extentSizeHint)} (QEMU sets it on XFS): storage is allocated in multiples of it.`,
    });
  }
  if (facts.map === undefined) {
    findings.push({
      level: 'info',
      code: 'NO_STORAGE_MAP',
      message:
        'The filesystem provided no map of the file: the figures are derived from its allocation alone and can be too high, or too low for files with holes in used clusters and storage in free ones.',
    });
  }
  return findings;
}

/** `excess`: what the filesystem's map of the file can take beyond the commitment. */
export function mapFindings({ filesystem }: FileFacts, excess: number): Finding[] {
  if (excess < MIN_EXCESS) return [];
  const most = `up to ${formatBytes(excess)} beyond the commitment`;
  if (filesystem === 'ext4') {
    return [
      {
        level: 'info',
        code: 'EXT4_MAP_ORDER',
        message: `A guest that writes, zeroes or discards single blocks in an order chosen to split ext4's extent map of the file can enlarge that map to ${most} (mapExcess), or make it deeper than ext4 accepts, which makes writes fail. Usual writes do neither.`,
      },
    ];
  }
  return [
    {
      level: 'info',
      code: 'XFS_MAP_ORDER',
      message: `A guest that zeroes or discards single blocks of stored data can enlarge XFS's extent map of the file to ${most} (mapExcess).`,
    },
  ];
}

function storedBehind(facts: FileFacts, end: number): number {
  return storedBytes(
    (facts.map ?? []).map((range) => ({
      ...range,
      byteLength: Math.max(0, Math.min(range.byteLength, range.fileOffset + range.byteLength - end)),
    })),
  );
}

/**
 * Blocks that several files share (reflinks), counted once: a sweep over the physical ranges of all files of a store.
 * The filesystem's "shared" flag is a hint; what counts is where the ranges lie.
 */
import type { StorageMap } from '#block';

export interface StoredFile {
  readonly allocation: number;
  /** undefined: the file shares nothing that could be known. */
  readonly map: StorageMap | undefined;
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
  const between = files.map(() => 0);
  const outside = files.map(() => 0);
  const repeated = files.map(() => 0);
  const savings = { allocation: 0, shared: 0 };
  sweep(boundariesOf(files), (length, users, isFlagged) => {
    let references = 0;
    for (const count of users.values()) references += count;
    if (references > 1) savings.allocation += (references - 1) * length;
    if (users.size > 1) {
      savings.shared += length;
      for (const file of users.keys()) between[file] = (between[file] as number) + length;
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

/** Start or end of a physical range of a file. */
interface Boundary {
  readonly at: number;
  readonly file: number;
  readonly step: 1 | -1;
  readonly flagged: boolean;
}

function boundariesOf(files: readonly StoredFile[]): Boundary[] {
  const boundaries: Boundary[] = [];
  for (const [file, { map }] of files.entries()) {
    for (const { physicalOffset, byteLength, shared } of map ?? []) {
      if (physicalOffset === undefined) continue;
      boundaries.push(
        { at: physicalOffset, file, step: 1, flagged: shared },
        { at: physicalOffset + byteLength, file, step: -1, flagged: shared },
      );
    }
  }
  return boundaries.sort((a, b) => a.at - b.at);
}

/** Calls `visit` for each stretch of blocks that the same files use, ascending. */
function sweep(
  boundaries: readonly Boundary[],
  visit: (length: number, users: ReadonlyMap<number, number>, isFlagged: boolean) => void,
): void {
  const users = new Map<number, number>();
  let flagged = 0;
  let from = 0;
  for (const { at, file, step, flagged: isFlagged } of boundaries) {
    if (at > from && users.size > 0) visit(at - from, users, flagged > 0);
    from = at;
    if (isFlagged) flagged += step;
    const count = (users.get(file) ?? 0) + step;
    if (count === 0) users.delete(file);
    else users.set(file, count);
  }
}

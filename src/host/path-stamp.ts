/**
 * Whether a file is as it was, without opening it: who compares two marks of a name reads only what changed.
 *
 * Every write through the kernel sets ctime, and no program can set it back. Three kinds of change leave no mark: a write
 * within the granularity of the clock after the look (`isFresh` says when that is possible), a store into a page that is
 * mapped and already dirty (marked when the kernel writes it back), and what moves or shares blocks without writing
 * (defragmentation, deduplication, a reflink made of the file).
 */
import { type BigIntStats, lstat, lstatSync, realpath, stat } from 'node:fs';
import { promisify } from 'node:util';

const lstatAsync = promisify(lstat);
const statAsync = promisify(stat);
const realpathAsync = promisify(realpath.native);

/** The properties that change when a name resolves to another file or the file is written, truncated, or changes owner or mode. */
export interface PathStamp {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  /** st_blocks: can change without a write, as when XFS takes preallocation back. */
  readonly blocks: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** FAT keeps times to two seconds; everything else is finer. */
export const RACY_WINDOW_MS = 2000;
/**
 * Times of a network filesystem are those of its server's clock. And where writes go to new places (btrfs, shared blocks of
 * XFS), a file's map shows the old ones until the kernel has written back, which it does within half a minute and unmarked.
 */
export const COW_RACY_WINDOW_MS = 60_000;

/** The stamp of the name itself, no link followed; undefined if nothing is accessible there. For local filesystems: it blocks. */
export function pathStampOf(path: Buffer): PathStamp | undefined {
  try {
    const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return stats === undefined ? undefined : pathStampIn(stats);
  } catch {
    return undefined;
  }
}

/** As `pathStampOf`, where a server may have to answer. */
export async function markOfRemote(path: Buffer): Promise<PathStamp | undefined> {
  return pathStampIn(await lstatAsync(path, { bigint: true }).catch(() => undefined));
}

function pathStampIn(stats: BigIntStats): PathStamp;
function pathStampIn(stats: BigIntStats | undefined): PathStamp | undefined;
function pathStampIn(stats: BigIntStats | undefined): PathStamp | undefined {
  if (stats === undefined) return undefined;
  const { dev, ino, size, blocks, mtimeNs, ctimeNs } = stats;
  return { dev, ino, size, blocks, mtimeNs, ctimeNs };
}

/** Whether nothing was written between two stamps, as far as stamps show. */
export function isSamePathStamp(a: PathStamp | undefined, b: PathStamp | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.ctimeNs === b.ctimeNs && a.mtimeNs === b.mtimeNs && a.size === b.size && a.blocks === b.blocks && a.ino === b.ino && a.dev === b.dev
  );
}

/** Whether the file was changed so shortly before `lookedAtMs`, within `racyWindowMs`, that more may follow and leave the same mark. */
export function isFresh(mark: PathStamp, lookedAtMs: number, racyWindowMs: number): boolean {
  return mark.ctimeNs >= BigInt(Math.floor(lookedAtMs - racyWindowMs)) * 1_000_000n;
}

/** The target of a name, all links followed, and the stamp of the file there; both undefined if it resolves to nothing. */
export interface ResolvedPath {
  readonly path: Buffer;
  readonly realPath: string | undefined;
  readonly mark: PathStamp | undefined;
}

/** Never throws, opens nothing. */
export async function statPath(path: Buffer): Promise<ResolvedPath> {
  const [mark, realPath] = await Promise.all([
    statAsync(path, { bigint: true }).then(pathStampIn, () => undefined),
    realpathAsync(path).catch(() => undefined),
  ]);
  return { path, realPath, mark };
}

export function isSamePlace(a: ResolvedPath, b: ResolvedPath): boolean {
  return a.realPath === b.realPath && isSamePathStamp(a.mark, b.mark);
}

/**
 * Opens files safely: a name is first resolved with O_PATH without opening the object, the object is checked, and only
 * then that same object is opened for reading. A fifo's writer is never woken and a tape never rewound, and the checked
 * object is the one that is read, even if the name changes meanwhile.
 */
import { closeSync, constants, fstatSync, open, openSync, readlinkSync, type Stats } from 'node:fs';
import { promisify } from 'node:util';
import { asPlimsollError, PlimsollError, quoteForHumans } from '#base';
import { nameText } from './name-text.ts';

const openAsync = promisify(open);

/** Not in Node's constants; the same on every architecture but alpha, parisc and sparc. Source: asm-generic/fcntl.h */
const O_PATH = 0x200000;
const { O_RDONLY, O_NONBLOCK, O_NOCTTY, O_NOFOLLOW, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND } = constants;

/** The location of an opened object, with all links resolved by the kernel. */
export interface RealPlace {
  /** For display: its `nameText`. Decisions use `realPathBytes`. */
  readonly realPath: string;
  readonly realPathBytes: Buffer;
}

export interface OpenOptions {
  /** Additional flags for open(2), such as O_NOATIME; none that write or create. */
  readonly flags?: number;
  /**
   * The name lies in a directory of a local filesystem: unless it is a link, its look-up cannot block and needs no thread of the
   * pool.
   */
  readonly isLocal?: boolean;
  /** Called with the location of the object before it is opened for reading; refuses by throwing. */
  readonly permit?: (place: RealPlace) => void;
}

/** An open regular file. */
export interface OpenedDescriptor extends RealPlace {
  readonly fd: number;
}

/**
 * The regular file `path`, open for reading; it is never opened at all when it is something else or not permitted.
 *
 * Throws: refused, NOT_A_REGULAR_FILE; busy, when a lease stands in the way; not-found, io; what `permit` throws.
 */
export async function openRegular(path: string | Buffer, options: OpenOptions = {}): Promise<OpenedDescriptor> {
  const image = displayPath(path);
  const flags = readingFlags(options.flags ?? 0);
  refuseImpossibleName(path, image);
  return withPlace(path, image, options.isLocal === true, (place, stats) => {
    if (!stats.isFile()) throw notRegular(stats, image);
    const realPathBytes = readlinkSync(throughProc(place), 'buffer');
    const realPath = nameText(realPathBytes);
    options.permit?.({ realPath, realPathBytes });
    return { fd: openSync(throughProc(place), flags), realPath, realPathBytes };
  });
}

/** A directory or regular file, open for queries about its filesystem. Throws as `openRegular`. */
export async function openForMetadata(path: string | Buffer): Promise<number> {
  const image = displayPath(path);
  refuseImpossibleName(path, image);
  return withPlace(path, image, false, (place, stats) => {
    if (!stats.isFile() && !stats.isDirectory()) throw notRegular(stats, image);
    return openSync(throughProc(place), readingFlags(0));
  });
}

/** Closes immediately; for descriptors of local files opened read-only. */
export function closeDescriptor(fd: number): void {
  closeSync(fd);
}

/** `path` as text. */
export function displayPath(path: string | Buffer): string {
  return nameText(path);
}

/** Only the look-up can block on the server of a slow filesystem, so only it goes through the thread pool. */
async function withPlace<T>(path: string | Buffer, image: string, isLocal: boolean, use: (place: number, stats: Stats) => T): Promise<T> {
  try {
    const { place, stats } = (isLocal ? lookUpNow(path) : undefined) ?? { place: await openAsync(path, O_PATH), stats: undefined };
    try {
      return use(place, stats ?? fstatSync(place));
    } finally {
      closeSync(place);
    }
  } catch (error) {
    throw explainOpening(error as NodeJS.ErrnoException, image);
  }
}

/** undefined for a link, whose target may be slow to look up. */
function lookUpNow(path: string | Buffer): { readonly place: number; readonly stats: Stats } | undefined {
  const place = openSync(path, O_PATH + O_NOFOLLOW);
  const stats = fstatSync(place);
  if (!stats.isSymbolicLink()) return { place, stats };
  closeSync(place);
  return undefined;
}

function explainOpening(error: NodeJS.ErrnoException, image: string): PlimsollError {
  if (error.code === 'EAGAIN') {
    return new PlimsollError('busy', 'FILE_LEASED', {
      doing: 'open file',
      image,
      found: 'another process holds a lease on it',
      cause: error,
    });
  }
  if (error.code === 'ENOENT' && error.path?.startsWith('/proc/self/')) {
    return new PlimsollError('unsupported', 'NO_PROC', { doing: 'open file', image, found: '/proc is not mounted', cause: error });
  }
  return asPlimsollError(error, 'open file', image);
}

function readingFlags(more: number): number {
  if ((more & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)) !== 0) {
    throw new PlimsollError('bug', 'OPEN_FLAGS', {
      doing: 'open file',
      field: 'flags',
      found: more,
      expected: 'flags that neither write nor create',
    });
  }
  return O_RDONLY | O_NONBLOCK | O_NOCTTY | more;
}

function throughProc(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** Names come from images too: an impossible file name is refused before Node throws a TypeError for it. */
function refuseImpossibleName(path: string | Buffer, image: string): void {
  const isEmpty = path.length === 0;
  if (!isEmpty && !path.includes('\0')) return;
  throw new PlimsollError('refused', 'IMPOSSIBLE_NAME', {
    doing: 'open file',
    image,
    found: isEmpty ? 'an empty name' : `a name with a NUL byte (${quoteForHumans(image)})`,
  });
}

function notRegular(stats: Stats, image: string): PlimsollError {
  const expected = stats.isBlockDevice() ? 'a regular file; block devices are not supported' : 'a regular file';
  return new PlimsollError('refused', 'NOT_A_REGULAR_FILE', { doing: 'open image', image, found: describeType(stats), expected });
}

function describeType(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isBlockDevice()) return 'a block device';
  if (stats.isCharacterDevice()) return 'a character device';
  if (stats.isFIFO()) return 'a fifo';
  if (stats.isSocket()) return 'a socket';
  return 'a symbolic link';
}

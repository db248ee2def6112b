/**
 * A loop device below a filesystem: its backing file may have holes, which writes above fill from the filesystem below.
 *
 * sysfs names a path, which may lead elsewhere in this mount namespace or to a file that was removed; what cannot be measured
 * counts as if all of it were still to come. Source: drivers/block/loop.c.
 */
import { basename, dirname } from 'node:path';
import type { StorageCaveat } from '#block';
import type { SystemTree } from './system-tree.ts';

/** The known properties of a backing file and its filesystem. Units: bytes. */
export interface BackingStorage {
  /** Bytes that the filesystem below can still provide, with its own limits applied. */
  readonly available: number;
  /** undefined: the file has no name any more. `stored`: by its storage map, undefined if that could not be read. */
  readonly file: { readonly length: number; readonly allocation: number; readonly stored: () => Promise<number | undefined> } | undefined;
  /** Overwriting stored bytes takes new storage. */
  readonly copiesOnWrite: boolean;
  /** `MAJOR:MINOR` of the filesystem, to find other loop devices on it. */
  readonly device: string;
  readonly type: string;
  readonly caveats: readonly StorageCaveat[];
}

/** Examines the filesystem of a backing file, and the file if it has a name; undefined if neither exists. */
export type ExamineBacking = (path: Buffer, isRemoved: boolean) => Promise<BackingStorage | undefined>;

export interface LoopLayer {
  /** Maximum bytes that writes above can take; Infinity if no byte is missing. */
  readonly remaining: number;
  /** For messages: `/dev/loop0 (/srv/disk.img on ext4)`. */
  readonly name: string;
  /** Bytes of this and other loop devices that the filesystem below has not stored yet. */
  readonly missing: number;
  readonly available: number;
  readonly caveats: readonly StorageCaveat[];
}

const REMOVED = Buffer.from(' (deleted)');
const SECTOR = 512;

interface LoopFile {
  readonly path: Buffer;
  readonly isRemoved: boolean;
  /** Bytes of the device. */
  readonly size: number;
}

/** The layer below the loop device in `directory` (below /sys); a read-only one takes no writes: undefined. */
export async function loopLayer(tree: SystemTree, directory: string, examine: ExamineBacking): Promise<LoopLayer | undefined> {
  const file = loopFile(tree, directory);
  if (file === undefined || tree.line(`${directory}/ro`) === '1') return undefined;
  const name = `/dev/${basename(directory)} (${file.path.toString('utf8')})`;
  const below = await examine(file.path, file.isRemoved);
  if (below === undefined) return { remaining: Infinity, name, missing: 0, available: 0, caveats: [notFound(name)] };
  const others = await missingInOthers(tree, directory, below.device, examine);
  const byAllocation = missingIn(file, below);
  const own = byAllocation + others <= below.available ? byAllocation : await missingByMap(file, below, byAllocation);
  const missing = own + others;
  // What is stored below, but free above, can be written without storage from below: a sure no counts all of it.
  const remaining = missing <= below.available ? Infinity : Math.max(0, below.available) + Math.max(0, file.size - own);
  const caveats = below.copiesOnWrite ? [...below.caveats, copied(name, below.type)] : below.caveats;
  return { remaining, name: `${name.slice(0, -1)} on ${below.type})`, missing, available: below.available, caveats };
}

function loopFile(tree: SystemTree, directory: string): LoopFile | undefined {
  const text = tree.bytes(`${directory}/loop/backing_file`);
  if (text === undefined) return undefined;
  const path = text.at(-1) === 10 ? text.subarray(0, -1) : text;
  const isRemoved = path.length > REMOVED.length && path.subarray(-REMOVED.length).equals(REMOVED);
  const size = SECTOR * (tree.number(`${directory}/size`) ?? 0);
  return { path: isRemoved ? path.subarray(0, -REMOVED.length) : path, isRemoved, size };
}

/**
 * By st_blocks, which counts blocks of the file's own map as well: they can stand for holes of up to 1/64 of the file. All of it
 * may be missing where the file is not what was opened for the device, or is copied when it is overwritten.
 */
function missingIn({ size }: LoopFile, { file, copiesOnWrite }: BackingStorage): number {
  if (file === undefined || copiesOnWrite || file.length < size) return size;
  const stored = file.allocation - Math.ceil(file.length / 64);
  return Math.min(size, Math.max(0, size - stored));
}

async function missingByMap({ size }: LoopFile, { file, copiesOnWrite }: BackingStorage, byAllocation: number): Promise<number> {
  if (file === undefined || copiesOnWrite || file.length < size) return byAllocation;
  const stored = await file.stored();
  return stored === undefined ? byAllocation : Math.min(size, Math.max(0, file.length - stored));
}

async function missingInOthers(tree: SystemTree, own: string, device: string, examine: ExamineBacking): Promise<number> {
  let missing = 0;
  for (const name of tree.names('/sys/block').filter((one) => /^loop\d+$/.test(one))) {
    const directory = tree.real(`/sys/block/${name}`) ?? `/sys/block/${name}`;
    if (basename(directory) === basename(own) || tree.line(`${directory}/ro`) === '1') continue;
    const file = loopFile(tree, directory);
    const below = file === undefined || file.size === 0 ? undefined : await examine(file.path, file.isRemoved);
    if (file !== undefined && below?.device === device) missing += missingIn(file, below);
  }
  return missing;
}

function notFound(name: string): StorageCaveat {
  return {
    level: 'warning',
    code: 'STORAGE_BELOW_UNKNOWN',
    message: `The filesystem of the backing file of ${name} was not found: it is unknown whether it can store every write.`,
    coveredBy: 'backed',
  };
}

function copied(name: string, type: string): StorageCaveat {
  return {
    level: 'warning',
    code: 'STORAGE_BELOW_UNKNOWN',
    message: `${type} copies the backing file of ${name} when it is overwritten, and can use more than the length of the file.`,
    coveredBy: 'backed',
  };
}

/** Directory of a backing file whose name is gone. */
export function directoryOfRemoved(path: Buffer): Buffer {
  return Buffer.from(dirname(path.toString('latin1')), 'latin1');
}

/**
 * The loop devices backed by a file: the kernel has the file open for them, so no process shows it and no lock is held.
 *
 * sysfs gives a path, not an inode. It is compared by the file at that path now: a loop device that was set up in
 * another mount namespace is unknown and is counted. Source: drivers/block/loop.c, loop_attr_backing_file_show.
 */
import { existsSync, readdirSync, readFileSync, stat } from 'node:fs';
import { promisify } from 'node:util';
import { type Mount, readMounts } from './mounts.ts';
import { nameText } from './name-text.ts';

const statAsync = promisify(stat);

export interface LoopDevice {
  /** `/dev/loop0`. */
  readonly device: string;
  readonly readOnly: boolean;
  /** Where it, or a partition of it, is mounted, if visible in this mount namespace. */
  readonly mountPoints: readonly string[];
  /** Block devices on top of it: `dm-0`. */
  readonly usedBy: readonly string[];
}

export interface LoopSearch {
  readonly devices: readonly LoopDevice[];
  /** Loop devices whose file is unknown. */
  readonly unresolvedCount: number;
}

export interface BackingFile {
  readonly dev: bigint;
  readonly ino: bigint;
}

const DELETED = Buffer.from(' (deleted)');
const NEWLINE = 10;
/** sysfs counts in sectors of 512 bytes, whatever the device's own are. */
const SECTOR = 512;

/**
 * The loop devices backed by `file`; undefined where there is no sysfs. `block`: the directory in which sysfs lists block
 * devices.
 */
export async function loopDevicesOn(
  file: BackingFile,
  block = '/sys/block',
  mounts: readonly Mount[] = readMounts(),
): Promise<LoopSearch | undefined> {
  const devices: LoopDevice[] = [];
  let unresolvedCount = 0;
  for (const name of loopNames(block) ?? []) {
    const rests = await restsOn(`${block}/${name}`, file);
    if (rests === undefined) unresolvedCount += 1;
    else if (rests) devices.push(describeLoop(block, name, mounts));
  }
  return existsSync(block) ? { devices, unresolvedCount } : undefined;
}

/** A file without a name that a loop device can write: it cannot be opened, so the storage it uses is unknown. */
export interface RemovedLoopFile {
  /** `/dev/loop0`. */
  readonly device: string;
  readonly formerPath: string;
  /** Bytes of the device: the maximum that the file can store. */
  readonly size: number;
}

/** Writable loop devices whose file has no name any more. `block`: the directory that lists block devices. */
export function removedLoopFiles(block = '/sys/block'): RemovedLoopFile[] {
  return (loopNames(block) ?? []).flatMap((name) => {
    const path = backingPath(`${block}/${name}`);
    if (path === undefined || !path.subarray(-DELETED.length).equals(DELETED) || existsSync(path)) return [];
    if (firstLine(`${block}/${name}/ro`) === '1') return [];
    const sectors = Number(firstLine(`${block}/${name}/size`) ?? 0);
    return [{ device: `/dev/${name}`, formerPath: nameText(path.subarray(0, -DELETED.length)), size: sectors * SECTOR }];
  });
}

function loopNames(block: string): string[] | undefined {
  try {
    return readdirSync(block)
      .filter((name) => /^loop\d+$/.test(name))
      .sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
  } catch {
    return undefined;
  }
}

/** undefined if unknown. */
async function restsOn(loop: string, file: BackingFile): Promise<boolean | undefined> {
  const path = backingPath(loop);
  if (path === undefined) return false;
  try {
    const { dev, ino } = await statAsync(path, { bigint: true });
    return dev === file.dev && ino === file.ino;
  } catch {
    // A file that has lost its name is not the one that was opened by a name, unless through another hard link.
    return path.subarray(-DELETED.length).equals(DELETED) ? false : undefined;
  }
}

/** undefined when the loop device has no backing file. */
function backingPath(loop: string): Buffer | undefined {
  try {
    const text = readFileSync(`${loop}/loop/backing_file`);
    return text.at(-1) === NEWLINE ? text.subarray(0, -1) : text;
  } catch {
    return undefined;
  }
}

function describeLoop(block: string, name: string, mounts: readonly Mount[]): LoopDevice {
  const parts = [name, ...namesIn(`${block}/${name}`).filter((one) => new RegExp(`^${name}p\\d+$`).test(one))];
  const directories = parts.map((part) => (part === name ? `${block}/${name}` : `${block}/${name}/${part}`));
  const numbers = new Set(directories.map((directory) => firstLine(`${directory}/dev`)));
  const sources = new Set(parts.map((part) => `/dev/${part}`));
  // btrfs has a device number of its own, and names its device as the source of the mount.
  const own = mounts.filter((mount) => numbers.has(mount.device) || sources.has(mount.source));
  return {
    device: `/dev/${name}`,
    readOnly: firstLine(`${block}/${name}/ro`) === '1',
    mountPoints: [...new Set(own.map((mount) => mount.mountPoint))],
    usedBy: directories.flatMap((directory) => namesIn(`${directory}/holders`)),
  };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function firstLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').split('\n')[0];
  } catch {
    return undefined;
  }
}

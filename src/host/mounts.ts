/** The mounts visible to this process. Source: proc_pid_mountinfo(5), proc_pid_fdinfo(5). */
import { readFileSync } from 'node:fs';

export interface Mount {
  readonly mountId: number;
  /** The part of the filesystem that is mounted: `/`, or another directory for a bind mount or a btrfs subvolume. */
  readonly root: string;
  /** `MAJOR:MINOR` of the superblock: the same for all mounts, and on btrfs all subvolumes, of one filesystem. */
  readonly device: string;
  /** Where it is mounted; bytes that are not UTF-8 are shown as U+FFFD. */
  readonly mountPoint: string;
  /** The filesystem's type as the kernel spells it: `ext4`, `fuse.sshfs`. */
  readonly type: string;
  /** The mounted object: `/dev/loop0`, `server:/export`, or a word of the filesystem's own. */
  readonly source: string;
  /** Options of this mount alone: `ro` here is a read-only view of what may be writable elsewhere. */
  readonly options: readonly string[];
  /** Options of the superblock, which hold for every mount of it: `ro`, `prjquota`. */
  readonly superOptions: readonly string[];
}

/** The mounts listed in the text of a mountinfo file, in its order; `text` is bytes as latin1. */
export function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ', 2);
    const [mountId, , device, root = '/', mountPoint, options = ''] = before.split(' ');
    const [type, source = '', superOptions = ''] = after.split(' ');
    if (mountId === undefined || device === undefined || mountPoint === undefined || type === undefined) return [];
    return [
      {
        mountId: Number(mountId),
        root: unescapeOctal(root),
        device,
        mountPoint: unescapeOctal(mountPoint),
        type: unescapeOctal(type),
        source: unescapeOctal(source),
        options: optionsOf(options),
        superOptions: optionsOf(superOptions),
      },
    ];
  });
}

/** The known properties of an open file by which to find its mount. */
export interface Mounted {
  readonly mountId: number | undefined;
  readonly realPath: string;
  /** `MAJOR:MINOR` of st_dev. */
  readonly device: string;
}

/**
 * The mount that an open file was reached through: by its mount id, which is exact, else the longest mount point above its
 * path with its device (the last one listed covers those before it).
 */
export function mountOf(mounts: readonly Mount[], file: Mounted): Mount | undefined {
  const exact = mounts.find((mount) => mount.mountId === file.mountId);
  if (exact !== undefined) return exact;
  let best: Mount | undefined;
  for (const mount of mounts) {
    // A btrfs subvolume has a device number of its own, which mountinfo does not show.
    if (mount.device !== file.device && mount.type !== 'btrfs') continue;
    if (!isBelow(file.realPath, mount.mountPoint)) continue;
    if (best === undefined || mount.mountPoint.length >= best.mountPoint.length) best = mount;
  }
  return best;
}

/**
 * All mounts, read anew: a cached list would be wrong after the next mount. `root`: the directory that contains `/proc`, for
 * captured trees.
 */
export function readMounts(root = ''): Mount[] {
  return parseMounts(readFileSync(`${root}/proc/self/mountinfo`, 'latin1'));
}

/** The mount id behind an open descriptor. */
export function mountIdOf(fd: number): number | undefined {
  const match = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'));
  return match === null ? undefined : Number(match[1]);
}

/** `MAJOR:MINOR` of a device number as stat gives it. Source: glibc sys/sysmacros.h, gnu_dev_major, gnu_dev_minor. */
export function majorMinor(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn & 0xffffffffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return `${major}:${minor}`;
}

function isBelow(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

function optionsOf(text: string): string[] {
  return text.split(',').flatMap((option) => (option === '' ? [] : [unescapeOctal(option)]));
}

/** Space, tab, newline and backslash stand in the list as three octal digits; other bytes as they are. */
function unescapeOctal(latin1: string): string {
  const bytes = latin1.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/**
 * The mounts this process sees. Source: proc_pid_mountinfo(5), proc_pid_fdinfo(5).
 */
import { readFileSync } from 'node:fs';

export interface Mount {
  readonly mountId: number;
  /** `MAJOR:MINOR` of the superblock: the same for all mounts, and on btrfs all subvolumes, of one filesystem. */
  readonly device: string;
  /** Where it is mounted; bytes that are not UTF-8 are shown as U+FFFD. */
  readonly mountPoint: string;
  /** The filesystem's type as the kernel spells it: `ext4`, `fuse.sshfs`. */
  readonly type: string;
  /** What is mounted: `/dev/loop0`, `server:/export`, or a word of the filesystem's own. */
  readonly source: string;
}

/** The mounts listed in the text of a mountinfo file, in its order; `text` is bytes as latin1. */
export function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ', 2);
    const [mountId, , device, , mountPoint] = before.split(' ');
    const [type, source = ''] = after.split(' ');
    if (mountId === undefined || device === undefined || mountPoint === undefined || type === undefined) return [];
    const place = unescapeOctal(mountPoint);
    return [{ mountId: Number(mountId), device, mountPoint: place, type: unescapeOctal(type), source: unescapeOctal(source) }];
  });
}

/** What is known of an open file to find its mount by. */
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

/** All mounts, read anew: a list kept would be wrong after the next mount. */
export function readMounts(): Mount[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'latin1'));
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

/** Space, tab, newline and backslash stand in the list as three octal digits; other bytes as they are. */
function unescapeOctal(latin1: string): string {
  const bytes = latin1.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

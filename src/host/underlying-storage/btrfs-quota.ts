/**
 * The limits of btrfs qgroups and the devices of a btrfs, from /sys/fs/btrfs/UUID, which is world-readable. Source:
 * fs/btrfs/sysfs.c (qgroup attributes, kernel 5.9), fs/btrfs/qgroup.c.
 */
import { formatBytes, MiB } from '#base';
import type { StorageCaveat, StorageLimit } from '#block';
import type { SystemTree } from './system-tree.ts';

const MAX_REFERENCED = 1;
const MAX_EXCLUSIVE = 2;
/**
 * A qgroup counts the subvolume's metadata too, and a write reserves more of it than it takes. Measured with 4 KiB writes in
 * random order into sparse NOCOW images: under 2 % of the data in extent items; a sixteenth and 16 MiB leave room.
 */
const METADATA_SHARE = 1 / 16;
const METADATA_RESERVE = 16 * MiB;

export interface BtrfsQuotas {
  readonly caveats: readonly StorageCaveat[];
  readonly limits: readonly StorageLimit[];
}

/** The directory of the filesystem in sysfs: by UUID, else by the device that its mount names. */
export function btrfsDirectory(tree: SystemTree, uuid: string | undefined, source: string): string | undefined {
  const top = '/sys/fs/btrfs';
  if (uuid !== undefined && tree.namesIfThere(`${top}/${uuid}`) !== undefined) return `${top}/${uuid}`;
  const device = source.replace(/^\/dev\//, '');
  const found = tree.names(top).filter((name) => tree.namesIfThere(`${top}/${name}/devices/${device}`) !== undefined);
  return found.length === 1 ? `${top}/${found[0]}` : undefined;
}

/** `MAJOR:MINOR` of each device; undefined where they are not visible. */
export function btrfsDevices(tree: SystemTree, directory: string | undefined): string[] | undefined {
  if (directory === undefined) return undefined;
  const devices = tree.names(`${directory}/devices`).map((name) => tree.line(`${directory}/devices/${name}/dev`));
  return devices.length > 0 && devices.every((device) => device !== undefined) ? devices : undefined;
}

/** The limits in force, by subvolume. `directory`: from `btrfsDirectory`. */
export function btrfsQuotas(tree: SystemTree, directory: string | undefined): BtrfsQuotas {
  if (directory === undefined) {
    return {
      caveats: [quotaCaveat('The btrfs qgroups could not be read: the filesystem is not visible in sysfs.')],
      limits: [],
    };
  }
  const groups = tree.namesIfThere(`${directory}/qgroups`);
  if (groups === undefined || tree.line(`${directory}/qgroups/enabled`) === '0') return { caveats: [], limits: [] };
  const limited = groups.flatMap((name) => limitedGroup(tree, `${directory}/qgroups/${name}`, name) ?? []);
  const caveats: StorageCaveat[] = [];
  if (limited.length > 0 && tree.line(`${directory}/qgroups/inconsistent`) === '1') {
    caveats.push(quotaCaveat('btrfs marks its qgroup accounting as inconsistent: the space left under its limits is unknown.'));
  }
  for (const { level, id, left, most } of limited) {
    if (level > 0) {
      caveats.push(
        quotaCaveat(
          `The btrfs qgroup ${level}/${id} is limited to ${formatBytes(most)}, which leaves ${formatBytes(left)}; its member subvolumes are not determined.`,
        ),
      );
    }
  }
  return { caveats, limits: limited.filter(({ level }) => level === 0).map(limitOf) };
}

interface LimitedGroup {
  readonly level: number;
  readonly id: string;
  /** Bytes below the nearest limit. */
  readonly left: number;
  /** The limit itself. */
  readonly most: number;
}

function limitedGroup(tree: SystemTree, directory: string, name: string): LimitedGroup | undefined {
  const match = /^(\d+)_(\d+)$/.exec(name);
  const flags = tree.number(`${directory}/limit_flags`) ?? 0;
  const of = (file: string): number => tree.number(`${directory}/${file}`) ?? 0;
  const reserved = of('rsv_data') + of('rsv_meta_pertrans') + of('rsv_meta_prealloc');
  const limits = [
    ...(hasFlag(flags, MAX_REFERENCED) ? [{ most: of('max_referenced'), used: of('referenced') }] : []),
    ...(hasFlag(flags, MAX_EXCLUSIVE) ? [{ most: of('max_exclusive'), used: of('exclusive') }] : []),
  ];
  if (match === null || limits.length === 0) return undefined;
  const nearest = limits
    .map(({ most, used }) => ({ most, left: Math.max(0, most - used - reserved) }))
    .reduce((least, one) => (one.left < least.left ? one : least));
  return { level: Number(match[1]), id: match[2] as string, ...nearest };
}

/** `flag`: a power of two. */
function hasFlag(flags: number, flag: number): boolean {
  return Math.floor(flags / flag) % 2 === 1;
}

function limitOf({ id, left, most }: LimitedGroup): StorageLimit {
  const remaining = Math.max(0, Math.floor(left * (1 - METADATA_SHARE)) - METADATA_RESERVE);
  return {
    level: 'warning',
    code: 'QUOTA_LIMIT',
    domain: `subvolume ${id}`,
    remaining,
    message: `The btrfs qgroup 0/${id} is limited to ${formatBytes(most)}: ${formatBytes(left)} remain, of which ${formatBytes(left - remaining)} are reserved for metadata.`,
  };
}

function quotaCaveat(message: string): StorageCaveat {
  return { level: 'warning', code: 'QUOTA_UNKNOWN', message, coveredBy: 'no-quota' };
}

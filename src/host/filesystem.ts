/**
 * The filesystem of a file: its identity, its usage and its allocation rules. It is the store that images share. Source:
 * statfs(2), linux/magic.h; UUIDs by ioctl.
 */
import { isPowerOfTwo } from '#base';
import { fstatSync, readlinkSync, type StatsFs, statfs } from 'node:fs';
import { promisify } from 'node:util';
import type { FilesystemKind, UnderlyingStorage, MapGeometry, StorageRules } from '#block';
import { closeDescriptor, openForMetadata } from './descriptor.ts';
import { type Ffi, loadFfi } from './ffi.ts';
import { examineBackingWith } from './underlying-storage/backing-file.ts';
import { dmsetup } from './underlying-storage/device-mapper.ts';
import { describeUnderlyingStorage, domainsOf, kernelQuotas } from './underlying-storage/underlying-storage.ts';
import { SystemTree } from './underlying-storage/system-tree.ts';
import { btrfsUuidOf, hasExtents, uuidOf, type XfsGeometry, xfsGeometryOf } from './ioctls.ts';
import { derivedHostIdentity, hostIdentity } from './host-id.ts';
import { largestNewFile } from './largest-file.ts';
import { majorMinor, type Mount, mountIdOf, mountOf, readMounts } from './mounts.ts';
import { readStorageRules } from './storage-rules.ts';
import { idOfCopy, type StoreIdentity, storeIdentityOf } from './store-id.ts';

const statfsOf = promisify(statfs);

/** A filesystem as it was when first examined. */
export interface HostFilesystem {
  /**
   * Stable across boots: see store-id.ts. The same for all mounts and btrfs subvolumes of one filesystem. A copy of a filesystem
   * that is mounted beside the original has its UUID too: the id of the one examined later ends with `@` and a digest of its mount point.
   */
  readonly id: string;
  /** Ids of it by earlier versions and settings; those that begin with `dev:` hold for this boot only. */
  readonly formerIds: readonly string[];
  /** The id of this host; null: unknown. */
  readonly host: string | null;
  /** `MAJOR:MINOR` of the superblock, as in mountinfo and /proc/locks. */
  readonly device: string;
  readonly mount: string;
  /** As the kernel spells it: `ext4`, `nfs4`, `fuse.sshfs`. */
  readonly type: string;
  readonly kind: FilesystemKind;
  /** 0 for a tmpfs without a limit. */
  readonly size: number;
  readonly used: number;
  /** Bytes an unprivileged process may still write (f_bavail); on btrfs the kernel's estimate. */
  readonly available: number;
  /** Unit of allocation, as in FileFacts. */
  readonly fsBlockSize: number;
  /** As in FileFacts; of the directory or file through which the filesystem was examined. */
  readonly geometry?: MapGeometry | undefined;
  /** Files can share blocks; undefined if unknown. */
  readonly reflink: boolean | undefined;
  /** Overwriting stored bytes takes new storage first (files marked NOCOW excepted); undefined if unknown. */
  readonly copyOnWrite: boolean | undefined;
  /** Maximum length in bytes of a new file in the examined directory; undefined if no limit is known. */
  readonly largestNewFile: number | undefined;
  /** The superblock is read-only, not only one mount of it. */
  readonly isReadOnly: boolean;
  /** The storage below it, and the limits on it. */
  readonly underlying: UnderlyingStorage;
}

/** The filesystems of one run: each is examined once, so figures taken from one cache belong together. */
export class FilesystemCache {
  readonly #byDevice = new Map<bigint, Promise<HostFilesystem>>();
  readonly #depth: number;
  /** The id that each superblock got, by its device and the id that it has without a copy. */
  readonly #ids: Map<string, { readonly device: string; readonly id: string }>;

  /**
   * `before`: of an earlier run, whose ids stay valid as long as their filesystems are mounted; its figures do not. `depth`: how
   * many loop devices lie above the filesystems that are examined.
   */
  constructor(before?: FilesystemCache, depth = 0) {
    this.#depth = depth;
    this.#ids = new Map();
    if (before === undefined || before.#ids.size === 0) return;
    const mounted = new Set(readMounts().map(({ device }) => device));
    for (const [key, given] of before.#ids) if (mounted.has(given.device)) this.#ids.set(key, given);
  }

  /** The filesystem of an open file; `device` is its st_dev. */
  of(fd: number, device: bigint): Promise<HostFilesystem> {
    const known = this.#byDevice.get(device);
    if (known !== undefined) return known;
    const asked = examine(fd, device, (identity, place) => this.#claim(identity, place), this.#depth);
    this.#byDevice.set(device, asked);
    // A failure (out of descriptors, for example) is not cached.
    asked.catch(() => this.#byDevice.delete(device));
    return asked;
  }

  /** Two superblocks never share an id. */
  #claim({ id, formerIds }: StoreIdentity, { device, mount }: Place): StoreIdentity {
    const key = `${device} ${id}`;
    const known = this.#ids.get(key);
    const given = known?.id ?? [id, idOfCopy(id, mount)].find((one) => !this.#isTaken(one)) ?? `${id}@${device}`;
    if (known === undefined) this.#ids.set(key, { device, id: given });
    return { id: given, formerIds: given === id ? formerIds : [`${id}@${device}`] };
  }

  #isTaken(id: string): boolean {
    return [...this.#ids.values()].some((one) => one.id === id);
  }
}

/**
 * The filesystem that a directory, regular file or open descriptor lies on.
 *
 * Throws: not-found, io; refused, for what is neither a directory nor a regular file.
 */
export async function filesystemOf(target: string | Buffer | number, cache = new FilesystemCache()): Promise<HostFilesystem> {
  if (typeof target === 'number') return cache.of(target, fstatSync(target, { bigint: true }).dev);
  const fd = await openForMetadata(target);
  try {
    return await cache.of(fd, fstatSync(fd, { bigint: true }).dev);
  } finally {
    closeDescriptor(fd);
  }
}

/** The allocation rules for a new file in the examined directory. */
export function storageRulesOf({ kind, fsBlockSize, geometry }: HostFilesystem): StorageRules {
  return { filesystem: kind, fsBlockSize, geometry };
}

interface Place {
  /** `MAJOR:MINOR` of the superblock. */
  readonly device: string;
  /** Where it is mounted. */
  readonly mount: string;
}

type ClaimId = (identity: StoreIdentity, place: Place) => StoreIdentity;

async function examine(fd: number, stDev: bigint, claim: ClaimId, depth: number): Promise<HostFilesystem> {
  const ffi = await loadFfi();
  const numbers = await statfsOf(`/proc/self/fd/${fd}`);
  const ownDevice = majorMinor(stDev);
  const mounts = readMounts();
  const mount = findMount(fd, ownDevice, mounts);
  const device = mount?.device ?? ownDevice;
  const traits = traitsOf(numbers.type, mount?.type);
  const told = tellOf(ffi, fd, traits.kind);
  const mountPoint = mount?.mountPoint ?? '/';
  const host = hostIdentity().id;
  const identity = storeIdentityOf({
    uuid: told.uuid,
    device,
    type: mount?.type ?? traits.kind,
    mounts: mounts.filter((one) => one.device === device),
    hostId: host,
    derivedHostId: derivedHostIdentity().id,
  });
  // Blocks are counted in fragments, which on FUSE need not be the block size.
  const unit = Math.max(0, ffi?.fragmentSize(fd) ?? 0) || numbers.bsize;
  return {
    ...claim(identity, { device, mount: mountPoint }),
    host,
    device,
    mount: mountPoint,
    type: mount?.type ?? traits.kind,
    kind: traits.kind,
    ...room(numbers, unit),
    ...readStorageRules({
      ffi,
      fd,
      kind: traits.kind,
      mount,
      blockSize: saneBlock(numbers.bsize),
      freeBlocks: numbers.bfree,
      xfs: told.xfs,
    }),
    reflink: told.reflink ?? traits.reflink,
    copyOnWrite: traits.copyOnWrite,
    largestNewFile: largestNewFile(mount?.type ?? '', unit, ffi === undefined || hasExtents(ffi, fd) !== false),
    isReadOnly: mount?.superOptions.includes('ro') === true,
    underlying: await describeUnderlyingStorage({
      mount,
      magic: numbers.type,
      uuid: told.uuid,
      domains: domainsOf(ffi, fd, fstatSync(fd, { bigint: true }), mount?.type),
      quotas: kernelQuotas(ffi, fd),
      room: room(numbers, unit),
      tree: new SystemTree(),
      dmsetup,
      examineBacking: examineBackingWith((target) => filesystemOf(target, new FilesystemCache(undefined, depth + 1)), depth),
    }),
  };
}

function findMount(fd: number, device: string, mounts: readonly Mount[]): Mount | undefined {
  const realPath = readlinkSync(`/proc/self/fd/${fd}`);
  return mountOf(mounts, { mountId: mountIdOf(fd), realPath, device });
}

function room(numbers: StatsFs, unit: number): Pick<HostFilesystem, 'size' | 'used' | 'available'> {
  return { size: numbers.blocks * unit, used: (numbers.blocks - numbers.bfree) * unit, available: numbers.bavail * unit };
}

interface Traits {
  readonly kind: FilesystemKind;
  readonly reflink: boolean | undefined;
  readonly copyOnWrite: boolean | undefined;
}

const UNKNOWN: Traits = { kind: 'other', reflink: undefined, copyOnWrite: undefined };
/** Properties by f_type. ZFS and bcachefs copy on write; their charging rules are not modelled. */
const TRAITS_OF_MAGIC: Readonly<Record<number, Traits>> = {
  0xef53: { kind: 'ext4', reflink: false, copyOnWrite: false },
  0x58465342: { kind: 'xfs', reflink: undefined, copyOnWrite: false },
  0x9123683e: { kind: 'btrfs', reflink: true, copyOnWrite: true },
  0x01021994: { kind: 'tmpfs', reflink: false, copyOnWrite: false },
  0x2fc12fc1: { kind: 'other', reflink: undefined, copyOnWrite: true },
  0xca451a4e: { kind: 'other', reflink: true, copyOnWrite: true },
};

function traitsOf(magic: number, type: string | undefined): Traits {
  // ext2 and ext3 have ext4's magic and map files by indirect blocks, which charge differently.
  const traits = TRAITS_OF_MAGIC[magic] ?? UNKNOWN;
  return type === 'ext2' || type === 'ext3' ? { ...traits, kind: type } : traits;
}

interface Told {
  readonly uuid: string | undefined;
  readonly reflink?: boolean | undefined;
  readonly xfs?: XfsGeometry | undefined;
}

function tellOf(ffi: Ffi | undefined, fd: number, kind: FilesystemKind): Told {
  if (ffi === undefined) return { uuid: undefined };
  if (kind === 'btrfs') return { uuid: btrfsUuidOf(ffi, fd) ?? uuidOf(ffi, fd) };
  const geometry = kind === 'xfs' ? xfsGeometryOf(ffi, fd) : undefined;
  return { uuid: uuidOf(ffi, fd) ?? geometry?.uuid, reflink: geometry?.reflink, xfs: geometry };
}

/** Network filesystems report transfer sizes as block sizes; storage is then assumed to be allocated in pages. */
function saneBlock(reported: number): number {
  return isPowerOfTwo(reported) && reported >= 512 && reported <= 65536 ? reported : 4096;
}

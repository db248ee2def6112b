/**
 * The stable id of a filesystem. In order: its UUID; for a network filesystem a digest of its source; else a digest of host and
 * mount point. Device numbers are never part of it, since they change from boot to boot; nor are names, since ids appear in
 * addresses, and in metrics for clients that may not read paths.
 */
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { majorMinor, type Mount } from './mounts.ts';

export interface StoreIdentity {
  readonly id: string;
  /** Ids of the same filesystem by earlier versions and settings: data stored under them belongs to it. */
  readonly formerIds: readonly string[];
}

/** The facts about a filesystem that its id is made of. */
export interface IdentityFacts {
  /** By ioctl. */
  readonly uuid: string | undefined;
  /** `MAJOR:MINOR` of the superblock. */
  readonly device: string;
  /** The kernel's name of its type. */
  readonly type: string;
  /** All mounts of this superblock. */
  readonly mounts: readonly Mount[];
  readonly hostId: string | null;
  /** The id that the host would have without a configured one. */
  readonly derivedHostId: string | null;
}

const ID_DIGITS = 32;
const COPY_DIGITS = 8;

/** Their contents end with the mount, and the kernel gives each mount a new random UUID. */
const IN_MEMORY: ReadonlySet<string> = new Set(['tmpfs', 'ramfs', 'devtmpfs']);
/** Their source names the same storage on every host. */
const NETWORK_TYPES: Readonly<Record<string, string>> = {
  nfs: 'nfs',
  nfs4: 'nfs',
  cifs: 'smb',
  smb3: 'smb',
  ceph: 'ceph',
  lustre: 'lustre',
  'fuse.ceph': 'ceph',
  'fuse.glusterfs': 'glusterfs',
  'fuse.sshfs': 'sshfs',
  beegfs: 'beegfs',
};

export function storeIdentityOf(facts: IdentityFacts, uuidOfSource = uuidOfBlockDevice): StoreIdentity {
  const { uuid, device, type, mounts } = facts;
  const byDevice = `dev:${device}`;
  if (uuid !== undefined && !IN_MEMORY.has(type)) return { id: `uuid:${uuid}`, formerIds: [] };
  const formerIds = uuid === undefined ? [byDevice] : [`uuid:${uuid}`, byDevice];
  const network = NETWORK_TYPES[type];
  const source = leastOf(mounts.map((mount) => mount.source));
  if (network !== undefined && source !== undefined && source !== 'none') return { id: `net:${digestOf(network, source)}`, formerIds };
  const found = source?.startsWith('/dev/') === true ? uuidOfSource(source) : undefined;
  if (found !== undefined) return { id: `uuid:${found}`, formerIds };
  const point = mountPointOf(mounts);
  // A process can be without /proc: then nothing else is known.
  if (point === undefined) return { id: byDevice, formerIds: [] };
  const id = mountId(facts.hostId, point);
  const others = [mountId(facts.derivedHostId, point), mountId(null, point)].filter((one) => one !== id);
  return { id, formerIds: [...others, ...formerIds] };
}

function mountId(hostId: string | null, point: string): string {
  return `mount:${digestOf(hostId ?? '', point)}`;
}

/** Of a copy: the id of the original, and where the copy is mounted. */
export function idOfCopy(id: string, mountPoint: string): string {
  return `${id}@${digestOf(mountPoint).slice(0, COPY_DIGITS)}`;
}

function digestOf(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, ID_DIGITS);
}

/** Of all mounts of a filesystem the same one, in whatever order they were mounted: a whole one before a bind mount of a part. */
function mountPointOf(mounts: readonly Mount[]): string | undefined {
  const whole = mounts.filter(({ root }) => root === '/');
  return leastOf((whole.length > 0 ? whole : mounts).map(({ mountPoint }) => mountPoint));
}

/** The shortest, of equally long ones the first by code units. */
function leastOf(texts: readonly string[]): string | undefined {
  return [...texts].sort((a, b) => a.length - b.length || (a < b ? -1 : Number(a > b)))[0];
}

const BY_UUID = '/dev/disk/by-uuid';

/** As udev recorded it: for filesystems that the kernel has no UUID ioctl for, and where the FFI is missing. */
function uuidOfBlockDevice(source: string): string | undefined {
  try {
    const wanted = majorMinor(statSync(source, { bigint: true }).rdev);
    return readdirSync(BY_UUID).find((name) => majorMinor(statSync(join(BY_UUID, name), { bigint: true }).rdev) === wanted);
  } catch {
    return undefined;
  }
}

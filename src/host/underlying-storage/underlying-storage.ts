/**
 * The storage below a store: whether the available space of its filesystem is backed, and which limits apply.
 *
 * Everything is read from mountinfo, sysfs and unprivileged system calls; only quotas of other users and thin pools take root.
 * docs/promises.md lists what is known of each layer.
 */
import type { BigIntStats } from 'node:fs';
import { PLAIN_STORAGE, type UnderlyingStorage, type StorageCaveat, type StorageLimit } from '#block';
import type { Ffi } from '../ffi.ts';
import { projectOf, subvolumeOf } from '../ioctls.ts';
import type { Mount } from '../mounts.ts';
import { examineStack, type StackSources } from './block-stack.ts';
import { btrfsMetadata, type BtrfsRoom } from './btrfs-metadata.ts';
import { btrfsDevices, btrfsDirectory, btrfsQuotas } from './btrfs-quota.ts';
import { diskQuotas, kernelQuotas, type QuotaQuestions, quotaTypesOf } from './disk-quota.ts';
import { typeCaveats } from './known-types.ts';
import type { SystemTree } from './system-tree.ts';

/** What is asked about one filesystem. */
export interface UnderlyingStorageQuery extends StackSources {
  readonly mount: Mount | undefined;
  /** statfs f_type. */
  readonly magic: number;
  readonly uuid: string | undefined;
  readonly quotas: QuotaQuestions;
  /** The domains of what was opened, such as `subvolume 257`. */
  readonly domains: readonly string[];
  readonly room: BtrfsRoom;
}

/** The storage below the filesystem mounted as `mount`. */
export async function describeUnderlyingStorage(question: UnderlyingStorageQuery): Promise<UnderlyingStorage> {
  const { mount, magic, tree, domains } = question;
  const [major] = (mount?.device ?? '').split(':');
  const caveats = typeCaveats(mount?.type, magic, major !== '' && major !== '0');
  if (mount === undefined || caveats.length > 0) return { ...PLAIN_STORAGE, caveats };
  // Nothing is written to a superblock that is read-only.
  if (mount.superOptions.includes('ro')) return PLAIN_STORAGE;
  const quotas = limitsWithin(question, mount);
  const memory = mount.type === 'tmpfs' ? memoryLimit(tree) : [];
  const devices = devicesOf(question, mount);
  const stack = await examineStack(devices.found, question);
  return {
    caveats: [...devices.caveats, ...otherDevices(mount), ...stack.caveats, ...quotas.caveats],
    limits: [...stack.limits, ...quotas.limits, ...memory],
    domains,
    countedLayers: stack.countedLayers,
  };
}

function limitsWithin({ tree, uuid, quotas, room }: UnderlyingStorageQuery, mount: Mount): Pick<UnderlyingStorage, 'caveats' | 'limits'> {
  if (mount.type === 'btrfs') {
    const directory = btrfsDirectory(tree, uuid, mount.source);
    const parts = [btrfsQuotas(tree, directory), btrfsMetadata(tree, directory, room)];
    return { caveats: parts.flatMap(({ caveats }) => caveats), limits: parts.flatMap(({ limits }) => limits) };
  }
  return diskQuotas(mount, quotas);
}

function devicesOf({ tree, uuid }: UnderlyingStorageQuery, mount: Mount): { found: readonly string[]; caveats: readonly StorageCaveat[] } {
  if (mount.type === 'tmpfs') return { found: [], caveats: [] };
  if (mount.type !== 'btrfs') return { found: [mount.device], caveats: [] };
  const found = btrfsDevices(tree, btrfsDirectory(tree, uuid, mount.source));
  if (found !== undefined) return { found, caveats: [] };
  return { found: [], caveats: [storageCaveat('The devices of the btrfs are not visible in sysfs.')] };
}

/** XFS can keep file data on a second device, which statfs does not count; an external journal must have storage too. */
function otherDevices({ type, superOptions }: Mount): StorageCaveat[] {
  const named = superOptions.find((option) => /^(rtdev|logdev|journal_dev|journal_path)=/.test(option));
  return named === undefined ? [] : [storageCaveat(`${type} uses a second device (${named}), which is not examined.`)];
}

function storageCaveat(message: string): StorageCaveat {
  return { level: 'warning', code: 'STORAGE_BELOW_UNKNOWN', message, coveredBy: 'backed' };
}

/** tmpfs can be larger than memory and swap together. */
function memoryLimit(tree: SystemTree): StorageLimit[] {
  const text = tree.text('/proc/meminfo') ?? '';
  const kib = (field: string): number | undefined => {
    const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text);
    return match === null ? undefined : Number(match[1]);
  };
  const available = kib('MemAvailable');
  if (available === undefined) return [];
  const remaining = 1024 * (available + (kib('SwapFree') ?? 0));
  const message = `tmpfs lies in memory: ${Math.floor(remaining / 2 ** 20)} MiB of memory and swap remain.`;
  return [{ level: 'warning', code: 'MEMORY_LIMIT', domain: null, remaining, message }];
}

const named = new Map<string, readonly string[]>();

/** The same names are the same object: a store has thousands of files, of few owners. */
function asOne(domains: readonly string[]): readonly string[] {
  const key = domains.join('\n');
  const known = named.get(key);
  if (known !== undefined) return known;
  if (named.size > 10_000) named.clear();
  named.set(key, domains);
  return domains;
}

/** Which limits cover a file, as `StorageLimit.domain` names them. `type`: as in mountinfo. */
export function domainsOf(
  ffi: Ffi | undefined,
  fd: number,
  { uid, gid }: Pick<BigIntStats, 'uid' | 'gid'>,
  type: string | undefined,
): readonly string[] {
  if (type === 'btrfs') {
    const subvolume = ffi === undefined ? undefined : subvolumeOf(ffi, fd);
    return asOne(subvolume === undefined ? [] : [`subvolume ${subvolume}`]);
  }
  const project = ffi === undefined ? undefined : projectOf(ffi, fd);
  return asOne([`user ${uid}`, `group ${gid}`, ...(project === undefined ? [] : [`project ${project}`])]);
}

/** What can be written at the most to files of `domains`, of `available` bytes of the filesystem. */
export function availableIn({ limits }: Pick<UnderlyingStorage, 'limits'>, available: number, domains: readonly string[]): number {
  const applying = limits.filter(({ domain }) => domain === null || domains.includes(domain));
  return Math.min(available, ...applying.map(({ remaining }) => remaining));
}

export { kernelQuotas, quotaTypesOf };

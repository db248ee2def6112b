/**
 * User, group and project quotas of ext4, XFS and tmpfs: whether limits are enforced, which any user may query, and the
 * space left under them, which requires root. Source: quotactl_fd(2), linux/quota.h, linux/dqblk_xfs.h,
 * fs/quota/quota.c.
 */
import { formatBytes } from '#base';
import type { StorageCaveat, StorageLimit } from '#block';
import type { Ffi } from '../ffi.ts';
import type { Mount } from '../mounts.ts';

export const QUOTA_TYPES = ['user', 'group', 'project'] as const;
export type QuotaType = (typeof QUOTA_TYPES)[number];

const Q_GETNEXTQUOTA = 0x800009;
const Q_XGETQSTATV = 0x5808;
/** struct fs_quota_statv: version i8 at 0, flags u16 at 2; 160 bytes and spare. */
const QSTATV_BYTES = 192;
const QSTATV_VERSION = 1;
/** struct if_nextdqblk: limits in KiB and usage in bytes as u64, the id u32 at 68; 72 bytes. */
const NEXT_DQBLK_BYTES = 72;
const KIB = 1024;
const ENOENT = 2;
const ESRCH = 3;
/** Ids read of one type; a filesystem with more limits is not followed further. */
const MAX_IDS = 100_000;

/** Option names that mean enforced limits, as ext4, XFS, f2fs and tmpfs print them. */
const ENFORCING: Readonly<Record<QuotaType, RegExp>> = {
  user: /^(usrquota|uquota|quota|usrjquota=.+)$/,
  group: /^(grpquota|gquota|grpjquota=.+)$/,
  project: /^(prjquota|pquota|prjjquota=.+)$/,
};

/** The types whose limits the options of a mount enforce. ext4 prints `quota` beside `usrquota`. */
export function quotaTypesOf(superOptions: readonly string[]): QuotaType[] {
  return QUOTA_TYPES.filter((type) => superOptions.some((option) => ENFORCING[type].test(option)));
}

/** The kernel's answers about quotas, replaceable in tests. */
export interface QuotaQuestions {
  /** The types whose limits are enforced; undefined if the query failed. */
  enforced(): QuotaType[] | undefined;
  /** The ids with a limit; undefined without permission to read them. */
  limits(type: QuotaType): QuotaOfId[] | undefined;
}

export interface QuotaOfId {
  readonly id: number;
  /** Bytes: the lower of hard and soft limit, which ends writes when its grace is over. */
  readonly limit: number;
  readonly used: number;
}

export interface DiskQuotas {
  readonly caveats: readonly StorageCaveat[];
  readonly limits: readonly StorageLimit[];
  /** The types that limit files here: the domains of a file are its ids of these. */
  readonly types: readonly QuotaType[];
}

/**
 * The limits in force on a mounted filesystem.
 *
 * XFS gives the limits of id 0 to every id that has none of its own, and does not enforce them for id 0 itself.
 */
export function diskQuotas({ type: kind, superOptions }: Pick<Mount, 'type' | 'superOptions'>, questions: QuotaQuestions): DiskQuotas {
  const types = [...new Set([...(questions.enforced() ?? []), ...quotaTypesOf(superOptions)])];
  const caveats: StorageCaveat[] = [];
  const limits: StorageLimit[] = [];
  for (const type of types) {
    const found = questions.limits(type);
    if (found === undefined) {
      caveats.push({
        level: 'warning',
        code: 'QUOTA_UNKNOWN',
        message: `Limits of ${type} quotas are enforced on this filesystem; the space left under them could not be read.`,
        coveredBy: 'no-quota',
      });
      continue;
    }
    const standard = kind === 'xfs' ? found.find(({ id }) => id === 0) : undefined;
    if (standard !== undefined) caveats.push(standardLimit(type, standard));
    limits.push(...found.filter((one) => one !== standard).map((one) => limitOf(type, one)));
  }
  return { caveats, limits, types };
}

function standardLimit(type: QuotaType, { limit }: QuotaOfId): StorageCaveat {
  return {
    level: 'warning',
    code: 'QUOTA_UNKNOWN',
    message: `XFS limits every ${type} without a quota of its own to ${formatBytes(limit)}.`,
    coveredBy: 'no-quota',
  };
}

function limitOf(type: QuotaType, { id, limit, used }: QuotaOfId): StorageLimit {
  const remaining = Math.max(0, limit - used);
  return {
    level: 'warning',
    code: 'QUOTA_LIMIT',
    domain: `${type} ${id}`,
    remaining,
    message: `The quota of ${type} ${id} is ${formatBytes(limit)}, of which ${formatBytes(remaining)} remain.`,
  };
}

/** The kernel's answers about the filesystem of `fd`. */
export function kernelQuotas(ffi: Ffi | undefined, fd: number): QuotaQuestions {
  return {
    enforced: () => (ffi === undefined ? undefined : enforcedTypes(ffi, fd)),
    limits: (type) => (ffi === undefined ? undefined : limitsOf(ffi, fd, QUOTA_TYPES.indexOf(type))),
  };
}

/** qs_flags has two bits for each type: accounting, then enforcement. */
function enforcedTypes(ffi: Ffi, fd: number): QuotaType[] | undefined {
  const state = Buffer.alloc(QSTATV_BYTES);
  state.writeInt8(QSTATV_VERSION, 0);
  if (ffi.quotactl(fd, Q_XGETQSTATV, 0, 0, state) < 0) return undefined;
  const flags = state.readUInt16LE(2);
  return QUOTA_TYPES.filter((_, index) => (flags & (2 << (2 * index))) !== 0);
}

function limitsOf(ffi: Ffi, fd: number, type: number): QuotaOfId[] | undefined {
  const found: QuotaOfId[] = [];
  for (let next = 0, count = 0; count < MAX_IDS; count += 1) {
    const block = Buffer.alloc(NEXT_DQBLK_BYTES);
    const result = ffi.quotactl(fd, Q_GETNEXTQUOTA, type, next, block);
    if (result === -ENOENT || result === -ESRCH) return found;
    if (result < 0) return undefined;
    const id = block.readUInt32LE(68);
    const limits = [0, 8].map((at) => KIB * Number(block.readBigUInt64LE(at))).filter((limit) => limit > 0);
    if (limits.length > 0) found.push({ id, limit: Math.min(...limits), used: Number(block.readBigUInt64LE(16)) });
    if (id === 0xffffffff) return found;
    next = id + 1;
  }
  return undefined;
}

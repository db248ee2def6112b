/**
 * The modelled filesystem types, and why the others are not modelled. Types are spelled as in mountinfo; the
 * magic number of statfs(2) must agree with the type (linux/magic.h).
 */
import type { StorageCaveat } from '#block';

/** statfs magic of the types whose rules of storage are known. */
const MAGIC_OF_MODELLED: Readonly<Record<string, number>> = {
  ext2: 0xef53,
  ext3: 0xef53,
  ext4: 0xef53,
  xfs: 0x58465342,
  btrfs: 0x9123683e,
  tmpfs: 0x01021994,
};

/** A file lives on one of several filesystems, or is copied from one to another when it is first written. */
const UNIONS = new Set(['overlay', 'aufs', 'unionfs', 'mergerfs', 'mhddfs', 'unionfs-fuse', 'fuse-overlayfs']);

/** Filesystems that other hosts, or the host of this guest, can fill as well. */
const SHARED = new Set([
  ...['nfs', 'nfs4', 'cifs', 'smb3', 'smbfs', 'ncpfs', 'afs', 'coda', '9p', 'virtiofs', 'vboxsf', 'vmhgfs', 'prl_fs'],
  ...['ceph', 'ceph-fuse', 'glusterfs', 'ocfs2', 'gfs', 'gfs2', 'lustre', 'beegfs', 'orangefs', 'pvfs2', 'gpfs', 'panfs'],
  ...['sshfs', 's3fs', 'rclone', 'goofys', 'juicefs', 'moosefs', 'mfs', 'lizardfs', 'seaweedfs', 'quobyte', 'davfs', 'curlftpfs'],
  ...['vmhgfs-fuse', 'gcsfuse', 'blobfuse', 'blobfuse2', 'mount-s3', 'wekafs', 'acfs', 'bfs', 'scoutfs', 'davfs2', 'sdcardfs'],
]);

/** `type`: undefined where mountinfo does not list the mount; `hasDevice`: it lies on a block device. */
export function typeCaveats(type: string | undefined, magic: number, hasDevice: boolean): StorageCaveat[] {
  if (type === undefined) return [unlisted(magic)];
  const modelled = MAGIC_OF_MODELLED[type];
  if (modelled === magic) return [];
  if (modelled !== undefined) return unmodelled(`${type} (statfs reports the magic number 0x${magic.toString(16)})`, true);
  // `fuse.mergerfs` and `fuseblk.ntfs` name the program behind FUSE.
  const name = type.replace(/^fuse(blk)?\./, '');
  if (UNIONS.has(name)) return [union(type)];
  if (SHARED.has(name)) return shared(type);
  return unmodelled(type, !hasDevice);
}

function unlisted(magic: number): StorageCaveat {
  return {
    level: 'warning',
    code: 'FILESYSTEM_NOT_MODELLED',
    message: `The mount is not listed in mountinfo (statfs reports the magic number 0x${magic.toString(16)}): the filesystem type could not be determined.`,
    coveredBy: null,
  };
}

function union(type: string): StorageCaveat {
  return {
    level: 'warning',
    code: 'FILESYSTEM_UNION',
    message: `${type} is a union of several filesystems: a file is stored on one of them, whose available space differs from that reported by ${type}. Scan the filesystems below it instead.`,
    coveredBy: null,
  };
}

function shared(type: string): StorageCaveat[] {
  return [
    {
      level: 'warning',
      code: 'FILESYSTEM_SHARED',
      message: `Other hosts can use space on ${type}, which is not visible on this host.`,
      coveredBy: 'exclusive',
    },
    {
      level: 'warning',
      code: 'STORAGE_BELOW_UNKNOWN',
      message: `The storage below ${type} is on another host: it is unknown whether it has a block for every available byte.`,
      coveredBy: 'backed',
    },
    {
      level: 'warning',
      code: 'QUOTA_UNKNOWN',
      message: `Quotas of the server behind ${type} are not visible on this host.`,
      coveredBy: 'no-quota',
    },
  ];
}

function unmodelled(type: string, canBeShared: boolean): StorageCaveat[] {
  const caveats: StorageCaveat[] = [
    {
      level: 'warning',
      code: 'FILESYSTEM_NOT_MODELLED',
      message: `plimsoll has no model of ${type}: it is unknown whether every byte reported as available can be written, and how much storage a write uses.`,
      coveredBy: 'backed',
    },
    { level: 'warning', code: 'QUOTA_UNKNOWN', message: `Quotas of ${type} are not read.`, coveredBy: 'no-quota' },
  ];
  if (!canBeShared) return caveats;
  return [
    ...caveats,
    {
      level: 'warning',
      code: 'FILESYSTEM_SHARED',
      message: `${type} is not on a block device of this host: it is unknown whether other hosts use space on it.`,
      coveredBy: 'exclusive',
    },
  ];
}

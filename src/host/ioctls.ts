/**
 * ioctl queries to a filesystem about one open file; each reports an unsupported query in its own way. Source:
 * linux/fs.h, linux/btrfs.h, xfs_fs.h; numbers in the generic encoding.
 */
import { type Ffi, loadFfi } from './ffi.ts';

const FS_IOC_GETFSUUID = 0x80111500; // struct fsuuid2: u8 length, u8 uuid[16]; kernel 6.9
const BTRFS_IOC_FS_INFO = 0x8400941f; // struct btrfs_ioctl_fs_info_args: u64, u64, u8 fsid[16], ...; 1024 bytes
const XFS_IOC_FSGEOMETRY = 0x8100587e; // struct xfs_fsop_geom, 256 bytes; kernel 5.2
const FS_IOC_FSGETXATTR = 0x801c581f; // struct fsxattr: u32 xflags, u32 extsize, ...; 28 bytes
const FS_IOC_FSSETXATTR = 0x401c5820; // as FSGETXATTR
const FS_IOC_GETFLAGS = 0x80086601; // declared long, writes an int
const FS_IOC_SETFLAGS = 0x40086602; // declared long, reads an int

const BTRFS_IOC_INO_LOOKUP = 0xd0009412; // struct btrfs_ioctl_ino_lookup_args: u64 treeid, u64 objectid, char name[4080]
const BTRFS_IOC_GET_SUBVOL_INFO = 0x81f8943c; // struct btrfs_ioctl_get_subvol_info_args, 504 bytes; kernel 4.18

const BTRFS_FIRST_FREE_OBJECTID = 256n;
const SUBVOL_INFO_BYTES = 504;
const SUBVOL_INFO_FLAGS_AT = 288;
const BTRFS_ROOT_SUBVOL_RDONLY = 1;
const FS_IMMUTABLE_FL = 0x10;
const FS_EXTENT_FL = 0x80000;
const FS_XFLAG_EXTSIZE = 0x800;
const FS_XFLAG_COWEXTSIZE = 0x10000;
/** Copy-on-write granularity of XFS in blocks for a file without a hint of its own: XFS_DEFAULT_COWEXTSZ_HINT. */
const XFS_DEFAULT_COPY_BLOCKS = 32;
const FS_NOCOW_FL = 0x800000;
const XFS_GEOMETRY_UUID_AT = 64;
const XFS_GEOMETRY_SUNIT_AT = 80; // u32 sunit, u32 swidth, in blocks; the block size is at 0
const XFS_GEOMETRY_FLAGS_AT = 92;
const XFS_FSOP_GEOM_FLAGS_REFLINK = 0x100000;

/** The filesystem's UUID in its usual spelling; undefined if it has none or the query failed. */
export function uuidOf(ffi: Ffi, fd: number): string | undefined {
  const general = Buffer.alloc(17);
  if (ffi.ioctl(fd, FS_IOC_GETFSUUID, general) >= 0 && general[0] === 16) return spellUuid(general.subarray(1, 17));
  return undefined;
}

/** btrfs: the fsid that all subvolumes have in common. */
export function btrfsUuidOf(ffi: Ffi, fd: number): string | undefined {
  const info = Buffer.alloc(1024);
  return ffi.ioctl(fd, BTRFS_IOC_FS_INFO, info) < 0 ? undefined : spellUuid(info.subarray(16, 32));
}

/** btrfs: the id of the subvolume that an open file lies in. */
export function subvolumeOf(ffi: Ffi, fd: number): number | undefined {
  const lookup = Buffer.alloc(4096);
  lookup.writeBigUInt64LE(BTRFS_FIRST_FREE_OBJECTID, 8);
  return ffi.ioctl(fd, BTRFS_IOC_INO_LOOKUP, lookup) < 0 ? undefined : Number(lookup.readBigUInt64LE(0));
}

/** The project id of an open file or directory, 0 for none; undefined where the filesystem has no projects. */
export function projectOf(ffi: Ffi, fd: number): number | undefined {
  const attributes = Buffer.alloc(28);
  return ffi.ioctl(fd, FS_IOC_FSGETXATTR, attributes) < 0 ? undefined : attributes.readUInt32LE(12);
}

/** Whether an open file carries the immutable flag (chattr +i). */
export function isImmutable(ffi: Ffi, fd: number): boolean {
  const flags = Buffer.alloc(8);
  return ffi.ioctl(fd, FS_IOC_GETFLAGS, flags) >= 0 && (flags.readInt32LE(0) & FS_IMMUTABLE_FL) !== 0;
}

/** btrfs: whether the subvolume that an open file lies in is read-only. */
export function isReadOnlySubvolume(ffi: Ffi, fd: number): boolean {
  const info = Buffer.alloc(SUBVOL_INFO_BYTES);
  return ffi.ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, info) >= 0 && (info.readUInt32LE(SUBVOL_INFO_FLAGS_AT) & BTRFS_ROOT_SUBVOL_RDONLY) !== 0;
}

/** ext4: whether an open file or directory is mapped by extents; undefined if the query failed. */
export function hasExtents(ffi: Ffi, fd: number): boolean | undefined {
  const flags = Buffer.alloc(8);
  return ffi.ioctl(fd, FS_IOC_GETFLAGS, flags) < 0 ? undefined : (flags.readInt32LE(0) & FS_EXTENT_FL) !== 0;
}

export interface XfsGeometry {
  readonly uuid: string | undefined;
  readonly reflink: boolean;
  /** Bytes of a stripe (the larger of unit and width), 0 without stripes. */
  readonly stripe: number;
}

/** XFS: the geometry chosen by mkfs. */
export function xfsGeometryOf(ffi: Ffi, fd: number): XfsGeometry | undefined {
  const geometry = Buffer.alloc(256);
  if (ffi.ioctl(fd, XFS_IOC_FSGEOMETRY, geometry) < 0) return undefined;
  return {
    uuid: spellUuid(geometry.subarray(XFS_GEOMETRY_UUID_AT, XFS_GEOMETRY_UUID_AT + 16)),
    reflink: (geometry.readInt32LE(XFS_GEOMETRY_FLAGS_AT) & XFS_FSOP_GEOM_FLAGS_REFLINK) !== 0,
    stripe:
      Math.max(geometry.readUInt32LE(XFS_GEOMETRY_SUNIT_AT), geometry.readUInt32LE(XFS_GEOMETRY_SUNIT_AT + 4)) * geometry.readUInt32LE(0),
  };
}

export interface ExtentSizes {
  /** The extent size hint in bytes, 0 when there is none. */
  readonly hint: number;
  /** Granularity in bytes of copies of shared blocks: the larger of both hints, otherwise 32 blocks. */
  readonly cowExtentSize: number;
}

/** XFS: the granularity in which an open file takes storage. */
export function extentSizesOf(ffi: Ffi, fd: number, blockSize: number): ExtentSizes {
  const attributes = Buffer.alloc(28);
  if (ffi.ioctl(fd, FS_IOC_FSGETXATTR, attributes) < 0) return { hint: 0, cowExtentSize: XFS_DEFAULT_COPY_BLOCKS * blockSize };
  const flags = attributes.readInt32LE(0);
  const hint = (flags & FS_XFLAG_EXTSIZE) === 0 ? 0 : attributes.readUInt32LE(4);
  const copyHint = (flags & FS_XFLAG_COWEXTSIZE) === 0 ? 0 : attributes.readUInt32LE(16);
  return { hint, cowExtentSize: Math.max(hint, copyHint) || XFS_DEFAULT_COPY_BLOCKS * blockSize };
}

/** btrfs: whether the open file is written in place (chattr +C); undefined if the query failed. */
export function noCowOf(ffi: Ffi, fd: number): boolean | undefined {
  const flags = Buffer.alloc(8);
  return ffi.ioctl(fd, FS_IOC_GETFLAGS, flags) < 0 ? undefined : (flags.readInt32LE(0) & FS_NOCOW_FL) !== 0;
}

/** An all-zero UUID means that the filesystem was created without one. */
function spellUuid(bytes: Buffer): string | undefined {
  if (bytes.every((byte) => byte === 0)) return undefined;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/**
 * Marks an open file, which must still be empty, as written in place on btrfs (chattr +C). Nothing happens where the
 * filesystem knows no such mark: everything but btrfs writes in place anyway, and QEMU takes the option the same way.
 */
export async function markNoCow(fd: number): Promise<void> {
  const ffi = await loadFfi();
  if (ffi === undefined) return;
  const flags = Buffer.alloc(8);
  if (ffi.ioctl(fd, FS_IOC_GETFLAGS, flags) < 0) return;
  flags.writeUInt32LE((flags.readUInt32LE(0) | FS_NOCOW_FL) >>> 0, 0);
  ffi.ioctl(fd, FS_IOC_SETFLAGS, flags);
}

/**
 * XFS: prevents speculative preallocation for a growing file, which XFS never releases past the
 * end of a file with preallocation, as QEMU creates it. `fd`: open for writing and still empty.
 *
 * An extent size hint of one block does it: it rounds nothing up. A hint inherited from the directory stays. Nothing happens
 * elsewhere.
 */
export async function trimSpeculativePreallocation(
  fd: number,
  { kind, fsBlockSize }: { kind: string; fsBlockSize: number },
): Promise<void> {
  const ffi = kind === 'xfs' ? await loadFfi() : undefined;
  const attributes = Buffer.alloc(28);
  if (ffi === undefined || ffi.ioctl(fd, FS_IOC_FSGETXATTR, attributes) < 0) return;
  const flags = attributes.readUInt32LE(0);
  if ((flags & FS_XFLAG_EXTSIZE) !== 0) return;
  attributes.writeUInt32LE((flags | FS_XFLAG_EXTSIZE) >>> 0, 0);
  attributes.writeUInt32LE(fsBlockSize, 4);
  ffi.ioctl(fd, FS_IOC_FSSETXATTR, attributes);
}

/** The nocow option: the new file is written in place on btrfs, as `chattr +C` asks it. */
import { loadFfi } from '#host';

// linux/fs.h, generic encoding; both are declared long and carry an int.
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_NOCOW_FL = 0x800000;

/**
 * Marks the open file, which must still be empty. Nothing happens where the filesystem knows no such mark: the option asks
 * for a property that everything but btrfs has anyway, and QEMU takes it the same way.
 */
export async function markNoCow(fd: number): Promise<void> {
  const ffi = await loadFfi();
  if (ffi === undefined) return;
  const flags = Buffer.alloc(8);
  if (ffi.ioctl(fd, FS_IOC_GETFLAGS, flags) < 0) return;
  flags.writeInt32LE(flags.readInt32LE(0) | FS_NOCOW_FL, 0);
  ffi.ioctl(fd, FS_IOC_SETFLAGS, flags);
}

/** Extents of a disk that lies whole in its file, refined by those of the file. */
import { filterDevice, type ReadableDevice } from '#block';

/** `device`, whose data extents are zeros where `file` has an extent of zeros: QEMU reads it so, too. */
export function withStoredExtents(device: ReadableDevice, file: ReadableDevice): ReadableDevice {
  return {
    ...filterDevice(device, { read: (target, offset, options) => device.read(target, offset, options) }),
    async *extents(offset, length, options) {
      for await (const extent of device.extents(offset, length, options)) {
        const { start, end, status, fileOffset } = extent;
        if (status !== 'data' || fileOffset === undefined) {
          yield extent;
          continue;
        }
        const shift = start - fileOffset;
        for await (const one of file.extents(fileOffset, end - start, options)) {
          yield { ...one, start: one.start + shift, end: one.end + shift };
        }
      }
    },
  };
}

/** A range of a device as a device of its own: a partition, or the payload behind a header. */
import { type ReadableDevice, readableDevice } from '../device.ts';

/** The bytes [start, start + byteLength) of `device`, as far as it reaches. */
export function sliceDevice(device: ReadableDevice, start: number, byteLength: number): ReadableDevice {
  const length = Math.max(0, Math.min(byteLength, device.byteLength - start));
  const clip = (offset: number, wanted: number): number => Math.max(0, Math.min(wanted, length - offset));
  return readableDevice({
    byteLength: length,
    memory: device.memory,
    peek: (offset, wanted) => device.peek?.(start + offset, clip(offset, wanted)),
    read: (target, offset, options) => device.read(target.subarray(0, clip(offset, target.byteLength)), start + offset, options),
    async *extents(offset, wanted, options) {
      for await (const extent of device.extents(start + offset, clip(offset, wanted), options)) {
        yield { ...extent, start: extent.start - start, end: extent.end - start };
      }
    },
    dispose: () => Promise.resolve(device[Symbol.asyncDispose]()),
  });
}

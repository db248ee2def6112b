/** An image over its backing file: bytes of which the image states nothing are those of the file below. */
import { type Extent, type ReadableDevice, readableDevice, type ReadOptions } from '../device.ts';

/** `device`, whose unallocated bytes are those of `backing`, zeros past its end. Its extents lie one deeper. */
export function withBacking(device: ReadableDevice, backing: ReadableDevice): ReadableDevice {
  return readableDevice({
    byteLength: device.byteLength,
    memory: device.memory,
    async read(target, offset, options) {
      options?.signal?.throwIfAborted();
      const end = Math.min(offset + target.byteLength, device.byteLength);
      for await (const { start, end: stop, status } of device.extents(offset, target.byteLength, options)) {
        const part = target.subarray(start - offset, stop - offset);
        const source = status === 'unallocated' ? backing : device;
        part.fill(0, start < source.byteLength ? await source.read(part, start, options) : 0);
      }
      return Math.max(0, end - offset);
    },
    async *extents(offset, length, options) {
      for await (const extent of device.extents(offset, length, options)) {
        if (extent.status === 'unallocated') yield* extentsBelow(extent, backing, options);
        else yield extent;
      }
    },
    dispose: async () => {
      await device[Symbol.asyncDispose]();
      await backing[Symbol.asyncDispose]();
    },
  });
}

/** The extents of `backing` in the place of an unallocated `extent`, as far as it reaches. */
export async function* extentsBelow(extent: Extent, backing: ReadableDevice, options: ReadOptions | undefined): AsyncGenerator<Extent> {
  const end = Math.min(extent.end, backing.byteLength);
  if (end > extent.start) {
    for await (const one of backing.extents(extent.start, end - extent.start, options)) yield { ...one, depth: one.depth + 1 };
  }
  if (end < extent.end) yield { ...extent, start: Math.max(extent.start, end) };
}

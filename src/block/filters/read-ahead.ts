/** Reads larger pieces while reads are sequential, as when a table or a whole disk is read in small steps. */
import { filterDevice, type ReadableDevice } from '../device.ts';

/**
 * `device`, of which up to `windowBytes` are read at once when a read begins where the last one ended. The window doubles from
 * the size of the read, so that random access costs nothing. For content that does not change.
 */
export function withReadAhead(device: ReadableDevice, windowBytes: number): ReadableDevice {
  let window = { start: 0, bytes: new Uint8Array(0) };
  let size = 0;
  let expected = 0;
  return filterDevice(device, {
    async read(target, offset, options) {
      options?.signal?.throwIfAborted();
      const length = Math.max(0, Math.min(target.byteLength, device.byteLength - offset));
      const isSequential = offset === expected;
      expected = offset + length;
      const { start, bytes } = window;
      if (offset >= start && offset + length <= start + bytes.byteLength) {
        target.set(bytes.subarray(offset - start, offset - start + length));
        return length;
      }
      size = isSequential ? Math.min(windowBytes, Math.max(2 * size, 2 * length)) : 0;
      if (size <= length) return device.read(target.subarray(0, length), offset, options);
      const ahead = new Uint8Array(Math.min(size, device.byteLength - offset));
      const read = ahead.subarray(0, await device.read(ahead, offset, options));
      window = { start: offset, bytes: read };
      const wanted = read.subarray(0, length);
      target.set(wanted);
      return wanted.byteLength;
    },
  });
}

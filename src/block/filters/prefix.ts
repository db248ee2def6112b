/** Keeps the beginning of a device in memory: a small image is then read by one call. */
import { filterDevice, type ReadableDevice } from '../device.ts';

/**
 * `device`, whose first bytes, as many as `memory` holds, are read by the first call that lies within them and kept there.
 * The result of `peek` is valid until `memory` is used for something else.
 *
 * Later reads of the prefix return the same bytes: one consistent view of headers and first tables.
 */
export function withPrefix(device: ReadableDevice, memory: Uint8Array): ReadableDevice {
  const kept = Math.min(memory.byteLength, device.byteLength);
  let loading: Promise<number> | undefined;
  let prefix: Uint8Array | undefined;
  const isInside = (offset: number, length: number): boolean => offset + length <= kept || (offset < kept && kept === device.byteLength);
  const load = async (): Promise<Uint8Array> => {
    loading ??= device.read(memory.subarray(0, kept), 0);
    prefix = memory.subarray(0, await loading);
    return prefix;
  };
  return filterDevice(device, {
    peek: (offset, length) => (prefix !== undefined && isInside(offset, length) ? prefix.subarray(offset, offset + length) : undefined),
    async read(target, offset, options) {
      if (!isInside(offset, target.byteLength)) return device.read(target, offset, options);
      options?.signal?.throwIfAborted();
      const bytes = (prefix ?? (await load())).subarray(offset, offset + target.byteLength);
      target.set(bytes);
      return bytes.byteLength;
    },
  });
}

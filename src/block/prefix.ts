/** A filter that remembers how a device begins: small images are then read by one call. */
import type { BlockDevice } from './device.ts';

/**
 * `device`, of which the first bytes, as many as `memory` holds, are read at the first call that lies within them and kept
 * there. What is read must not be used once `memory` is given to somebody else.
 *
 * What is read later through it does not change: one consistent view of headers and first tables.
 */
export function withPrefix(device: BlockDevice, memory: Uint8Array): BlockDevice {
  const kept = Math.min(memory.byteLength, device.byteLength);
  let prefix: Promise<Uint8Array> | undefined;
  return {
    byteLength: device.byteLength,
    async read(offset, length, into) {
      if (offset + length > kept && !(offset < kept && kept === device.byteLength)) return device.read(offset, length, into);
      prefix ??= device.read(0, kept, memory);
      return (await prefix).subarray(offset, offset + length);
    },
  };
}

/** A filter that remembers how a device begins: small images are then read by one call. */
import type { BlockDevice } from './device.ts';

/**
 * `device`, of which the first `prefixBytes` are read at the first call that lies within them, and kept.
 *
 * What is read later through it does not change: one consistent view of headers and first tables.
 */
export function withPrefix(device: BlockDevice, prefixBytes: number): BlockDevice {
  const kept = Math.min(prefixBytes, device.byteLength);
  let prefix: Promise<Uint8Array> | undefined;
  return {
    byteLength: device.byteLength,
    async read(offset, length) {
      if (offset + length > kept && !(offset < kept && kept === device.byteLength)) return device.read(offset, length);
      prefix ??= device.read(0, kept);
      return (await prefix).subarray(offset, offset + length);
    },
  };
}

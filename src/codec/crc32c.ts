/** CRC-32C (Castagnoli): the checksum of VHDX, iSCSI, ext4, btrfs and XFS. Source: RFC 3720, appendix B.4. */

/** The polynomial 0x1EDC6F41, its bits reversed: the lowest bit of a byte comes first. */
const POLYNOMIAL = 0x82f63b78;

/** What each value of one byte does to the register. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let register = byte;
  for (let bit = 0; bit < 8; bit += 1) register = (register >>> 1) ^ ((register & 1) === 1 ? POLYNOMIAL : 0);
  return register;
});

/**
 * The checksum of `bytes`, an unsigned 32-bit number. `previous` is the checksum of what comes before them:
 * `crc32c(b, crc32c(a))` is that of a and b together.
 */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  let register = ~previous;
  for (let at = 0; at < bytes.length; at += 1) {
    register = (register >>> 8) ^ (TABLE[(register ^ (bytes[at] as number)) & 0xff] as number);
  }
  return ~register >>> 0;
}

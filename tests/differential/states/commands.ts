/** Commands of qemu-io as text, quiet, offsets and lengths in bytes. */

/** Guest writes `byteLength` bytes of data; a pattern of its own tells states from fills. */
export function write(guestOffset: number, byteLength: number, pattern = 1): string {
  return `write -q -P ${pattern} ${guestOffset} ${byteLength}`;
}

/** Writes one cluster compressed; the pattern compresses to almost nothing. */
export function writeCompressed(guestOffset: number, byteLength: number, pattern = 1): string {
  return `write -q -c -P ${pattern} ${guestOffset} ${byteLength}`;
}

/** Writes one cluster compressed, its bytes taken from a file: as compressible as the file is. */
export function writeCompressedFrom(file: string, guestOffset: number, byteLength: number): string {
  return `write -q -c -s ${file} ${guestOffset} ${byteLength}`;
}

/** Guest WRITE ZEROES that keeps the storage. */
export function writeZeroes(guestOffset: number, byteLength: number): string {
  return `write -q -z ${guestOffset} ${byteLength}`;
}

/** Guest WRITE ZEROES that allows unmapping. */
export function writeZeroesUnmap(guestOffset: number, byteLength: number): string {
  return `write -q -z -u ${guestOffset} ${byteLength}`;
}

export function discard(guestOffset: number, byteLength: number): string {
  return `discard -q ${guestOffset} ${byteLength}`;
}

/** Dies at once: nothing is flushed, the image is not closed. */
export const POWER_CUT = 'sigraise 9';

/** `command` for pieces of `byteLength` at `from`, `from + step`, ... below `to`. */
export function every(
  step: number,
  byteLength: number,
  from: number,
  to: number,
  command: (guestOffset: number, byteLength: number) => string = write,
): string[] {
  const commands: string[] = [];
  for (let at = from; at + byteLength <= to; at += step) commands.push(command(at, byteLength));
  return commands;
}

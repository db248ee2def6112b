/** Refcounts as numbers, many at a time. Source: qcow2 spec, "Host cluster management". */

/**
 * The refcounts of the entries [from, from + count) of `block` into `values`; exact below 2^53, which any real one is.
 *
 * `from` is a multiple of 8, so that it begins a byte. Entries of 1, 2 and 4 bits fill a byte from its lowest bits.
 */
export function decodeRefcounts(block: Uint8Array, refcountOrder: number, from: number, count: number, values: Float64Array): void {
  if (refcountOrder === 4) {
    for (let index = 0, at = from * 2; index < count; index += 1, at += 2)
      values[index] = ((block[at] as number) << 8) | (block[at + 1] as number);
    return;
  }
  if (refcountOrder < 3) {
    const bits = 2 ** refcountOrder;
    const mask = 2 ** bits - 1;
    for (let index = 0; index < count; index += 1) {
      const position = (from + index) * bits;
      values[index] = ((block[position >>> 3] as number) >>> (position & 7)) & mask;
    }
    return;
  }
  const width = 2 ** (refcountOrder - 3);
  for (let index = 0, at = from * width; index < count; index += 1) {
    let value = 0;
    for (const end = at + width; at < end; at += 1) value = value * 256 + (block[at] as number);
    values[index] = value;
  }
}

/** Whether all refcounts of the entries [from, from + count) are 0; `from` and `count` are multiples of 32 at the least. */
export function areAllZero(block: Uint8Array, refcountOrder: number, from: number, count: number): boolean {
  const start = (from * 2 ** refcountOrder) / 8;
  const end = ((from + count) * 2 ** refcountOrder) / 8;
  for (let at = start; at < end; at += 1) if (block[at] !== 0) return false;
  return true;
}

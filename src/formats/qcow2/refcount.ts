/** Refcount blocks: which host clusters are in use. Source: qcow2 spec, "Host cluster management". */
import type { ClusterSet } from './cluster-set.ts';

/**
 * Adds every cluster whose refcount in `block` is not 0 to `used`; the block describes clusters from `firstCluster` on.
 *
 * `block` is one cluster; entries of 1, 2 and 4 bits fill a byte from its lowest bits, wider ones are big-endian.
 */
export function addUsedClusters(block: Uint8Array, refcountOrder: number, firstCluster: number, used: ClusterSet): void {
  if (refcountOrder === 4) return addUsed16(block, firstCluster, used);
  const entryCount = (block.byteLength * 8) / 2 ** refcountOrder;
  for (let entry = 0; entry < entryCount; entry += 32) {
    let mask = 0;
    for (let bit = 0; bit < 32; bit += 1) {
      if (isUsed(block, refcountOrder, entry + bit)) mask |= 1 << bit;
    }
    used.addWord(firstCluster + entry, mask >>> 0);
  }
}

/** The default width, 16 bits: zero is zero in either byte order, so the entries are read as the machine has them. */
function addUsed16(block: Uint8Array, firstCluster: number, used: ClusterSet): void {
  const entries = new Uint16Array(block.buffer, block.byteOffset, block.byteLength / 2);
  for (let entry = 0; entry < entries.length; entry += 32) {
    let mask = 0;
    for (let bit = 0; bit < 32; bit += 1) {
      if (entries[entry + bit] !== 0) mask |= 1 << bit;
    }
    used.addWord(firstCluster + entry, mask >>> 0);
  }
}

function isUsed(block: Uint8Array, refcountOrder: number, entry: number): boolean {
  if (refcountOrder >= 3) {
    const width = 2 ** (refcountOrder - 3);
    for (let at = entry * width; at < (entry + 1) * width; at += 1) if (block[at] !== 0) return true;
    return false;
  }
  return refcountOf(block, refcountOrder, entry) !== 0;
}

/** The refcount of the entry; exact below 2^53, which any real count is. */
export function refcountOf(block: Uint8Array, refcountOrder: number, entry: number): number {
  if (refcountOrder < 3) {
    const bits = 2 ** refcountOrder;
    const position = entry * bits;
    return ((block[position >>> 3] as number) >>> (position & 7)) & (2 ** bits - 1);
  }
  const width = 2 ** (refcountOrder - 3);
  let value = 0;
  for (let at = entry * width; at < (entry + 1) * width; at += 1) value = value * 256 + (block[at] as number);
  return value;
}

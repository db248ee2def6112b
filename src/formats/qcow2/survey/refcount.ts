/** Refcount blocks: which host clusters are in use. Source: qcow2 spec, "Host cluster management". */
import type { ClusterSet } from '../../clusters/index.ts';

/**
 * Adds every cluster whose refcount in `block` is not 0 to `used`; the block describes clusters from `firstCluster` on.
 *
 * `block` is one cluster at a position divisible by 4; entries of 1, 2 and 4 bits fill a byte from its lowest bits, wider
 * ones are big-endian. Blocks are mostly zeros or mostly not: 4 bytes of zeros are passed over at once, so that a table of
 * holes costs next to nothing.
 */
export function addUsedClusters(block: Uint8Array, refcountOrder: number, firstCluster: number, used: ClusterSet): void {
  const words = new Uint32Array(block.buffer, block.byteOffset, block.byteLength / 4);
  if (refcountOrder === 4) return addUsed16(block, words, firstCluster, used);
  const bytesPerMask = 4 * 2 ** refcountOrder;
  for (let at = 0; at < block.byteLength; at += bytesPerMask) {
    if (isZero(words, at / 4, (at + bytesPerMask) / 4)) continue;
    used.addWord(firstCluster + (at * 8) / 2 ** refcountOrder, usedMask(block, refcountOrder, at));
  }
}

/** Two refcounts of 1 as one word, in the machine's own byte order: what nearly every entry of a full image is. */
const TWO_ONES = new Uint32Array(new Uint8Array([0, 1, 0, 1]).buffer)[0] as number;

/** The default width: 32 entries at a time are all 1, all 0, or looked at one by one. */
function addUsed16(block: Uint8Array, words: Uint32Array, firstCluster: number, used: ClusterSet): void {
  const ones = countOnes(block);
  used.addRun(firstCluster, firstCluster + ones * 2);
  const pairs = new Float64Array(block.buffer, block.byteOffset, block.byteLength / 8);
  for (let at = ones; at < words.length; at += 16) {
    // What follows is most often nothing at all.
    if (words[at] === 0) at = 16 * Math.floor(nextUsed(pairs, at / 2) / 8);
    if (at >= words.length) break;
    let differs = 0;
    let any = 0;
    for (let index = at; index < at + 16; index += 1) {
      const word = words[index] as number;
      differs |= word ^ TWO_ONES;
      any |= word;
    }
    if (any === 0) continue;
    used.addWord(firstCluster + at * 2, differs === 0 ? 0xffffffff : usedMask16(block, at * 4));
  }
}

/** The first index from `at` on whose four refcounts are not all 0. As doubles one pattern that is not 0 equals it: a sign. */
function nextUsed(pairs: Float64Array, at: number): number {
  const end = pairs.length;
  let index = at;
  while (index < end && pairs[index] === 0 && !Object.is(pairs[index], -0)) index += 1;
  return index;
}

/** How many words at the start, in multiples of 16, are two refcounts of 1 each. */
function countOnes(block: Uint8Array): number {
  const fours = new Float64Array(block.buffer, block.byteOffset, block.byteLength / 8);
  let at = 0;
  while (at < fours.length && areOnes(fours, at)) at += 8;
  return at * 2;
}

/** Four refcounts of 1 as a double: compared in one step, and unlike zero it has no second pattern that equals it. */
const FOUR_ONES = new Float64Array(new Uint8Array([0, 1, 0, 1, 0, 1, 0, 1]).buffer)[0] as number;

function areOnes(fours: Float64Array, from: number): boolean {
  let at = from;
  while (at < from + 8 && fours[at] === FOUR_ONES) at += 1;
  return at === from + 8;
}

function isZero(words: Uint32Array, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) if (words[at] !== 0) return false;
  return true;
}

/** Which of the 32 entries that begin at byte `at` are not 0, the first in bit 0. */
function usedMask(block: Uint8Array, refcountOrder: number, at: number): number {
  if (refcountOrder === 0)
    return (
      ((block[at] as number) | ((block[at + 1] as number) << 8) | ((block[at + 2] as number) << 16) | ((block[at + 3] as number) << 24)) >>>
      0
    );
  const first = (at * 8) / 2 ** refcountOrder;
  let mask = 0;
  for (let bit = 0; bit < 32; bit += 1) if (isUsed(block, refcountOrder, first + bit)) mask |= 1 << bit;
  return mask >>> 0;
}

/** The default width. */
function usedMask16(block: Uint8Array, at: number): number {
  let mask = 0;
  for (let bit = 0; bit < 32; bit += 1) if (block[at + 2 * bit] !== 0 || block[at + 2 * bit + 1] !== 0) mask |= 1 << bit;
  return mask >>> 0;
}

function isUsed(block: Uint8Array, refcountOrder: number, entry: number): boolean {
  if (refcountOrder < 3) return refcountOf(block, refcountOrder, entry) !== 0;
  const width = 2 ** (refcountOrder - 3);
  for (let at = entry * width; at < (entry + 1) * width; at += 1) if (block[at] !== 0) return true;
  return false;
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

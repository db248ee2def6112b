/** The bits of one chunk: 8192 neighbouring clusters, as 32-bit words, the lowest cluster in the lowest bit. */

/** Clusters of one chunk; 1 KiB of memory. */
export const CHUNK_CLUSTERS = 8192;
export const CHUNK_WORDS = CHUNK_CLUSTERS / 32;

/** Every chunk that is wholly in a set; never written to. */
export const FULL_CHUNK = new Uint32Array(CHUNK_WORDS).fill(0xffffffff);

/** Whether all clusters of the chunk are in the set. */
export function isFull(words: Uint32Array): boolean {
  if (words[CHUNK_WORDS - 1] !== 0xffffffff) return false;
  for (let at = 0; at < CHUNK_WORDS; at += 1) if (words[at] !== 0xffffffff) return false;
  return true;
}

/** Adds the clusters [start, end). */
export function setBits(words: Uint32Array, start: number, end: number): void {
  let at = start;
  while (at < end) {
    if ((at & 31) === 0 && end - at >= 32) {
      words.fill(0xffffffff, at >>> 5, end >>> 5);
      at = (end >>> 5) * 32;
      continue;
    }
    words[at >>> 5] = (words[at >>> 5] as number) | (1 << (at & 31));
    at += 1;
  }
}

export function lastBit(words: Uint32Array): number {
  for (let at = CHUNK_WORDS - 1; at >= 0; at -= 1) {
    const word = words[at] as number;
    if (word !== 0) return at * 32 + 31 - Math.clz32(word);
  }
  return -1;
}

export function firstCommonBit(ours: Uint32Array, theirs: Uint32Array): number | undefined {
  for (let at = 0; at < CHUNK_WORDS; at += 1) {
    const common = (ours[at] as number) & (theirs[at] as number);
    if (common !== 0) return at * 32 + 31 - Math.clz32(common & -common);
  }
  return undefined;
}

export function countDifference(ours: Uint32Array, theirs: Uint32Array): number {
  let total = 0;
  for (let at = 0; at < CHUNK_WORDS; at += 1) {
    const word = ((ours[at] as number) & ~(theirs[at] as number)) >>> 0;
    if (word !== 0) total += countOne(word);
  }
  return total;
}

export function countBits(words: Uint32Array): number {
  let total = 0;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as number;
    if (word !== 0) total += countOne(word);
  }
  return total;
}

/** Bits of a 32-bit word. */
function countOne(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Writes start and end of each run of bits to `found`; how many numbers. Borders are where a bit differs from the one before. */
export function findRuns(words: Uint32Array, found: number[]): number {
  let count = 0;
  let before = 0;
  for (let at = 0; at < CHUNK_WORDS; at += 1) {
    const word = words[at] as number;
    if (word === 0 && before === 0) continue;
    let borders = word ^ ((word << 1) | before);
    before = word >>> 31;
    while (borders !== 0) {
      found[count] = at * 32 + 31 - Math.clz32(borders & -borders);
      count += 1;
      borders &= borders - 1;
    }
  }
  if (before === 1) {
    found[count] = CHUNK_CLUSTERS;
    count += 1;
  }
  return count;
}

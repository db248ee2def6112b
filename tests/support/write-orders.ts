/**
 * Orders in which a disk of `blocks` blocks is written block by block, made to split the map that its filesystem keeps of the
 * file: each order is a list of sessions, since QEMU opens the file anew for each and the filesystem then allocates elsewhere.
 */
import { ExtentTree } from './extent-tree.ts';
import { Prng } from '../differential/prng.ts';

export type Sessions = readonly (readonly number[])[];
export type WriteOrder = (blocks: number) => Sessions;

const SEED = 20261130;

/** By name; each writes every block once. */
export const WRITE_ORDERS: Readonly<Record<string, WriteOrder>> = {
  'even, then odd': (blocks) => [stride(blocks, 0, 2), stride(blocks, 1, 2)],
  'even, then odd descending': (blocks) => [stride(blocks, 0, 2), stride(blocks, 1, 2).reverse()],
  'even, then odd in one session': (blocks) => [[...stride(blocks, 0, 2), ...stride(blocks, 1, 2)]],
  'even and odd shuffled': (blocks) => [shuffled(stride(blocks, 0, 2)), shuffled(stride(blocks, 1, 2))],
  'even, then odd from the middle outward': (blocks) => [stride(blocks, 0, 2), outward(blocks).filter((block) => block % 2 === 1)],
  'from the middle outward': (blocks) => [outward(blocks)],
  'stride of three': (blocks) => [stride(blocks, 0, 3), stride(blocks, 1, 3), stride(blocks, 2, 3)],
  'stride of eight, bits reversed': (blocks) => [0, 4, 2, 6, 1, 5, 3, 7].map((first) => stride(blocks, first, 8)),
  'binary midpoints': (blocks) => halves(midpoints(blocks)),
  random: (blocks) => halves(shuffled(stride(blocks, 0, 1))),
  'random in two sweeps of opposite direction': (blocks) => {
    const chosen = new Set(shuffled(stride(blocks, 0, 1)).slice(0, blocks / 2));
    const [first, second] = [true, false].map((is) => stride(blocks, 0, 1).filter((block) => chosen.has(block) === is));
    return [first as number[], (second as number[]).reverse()];
  },
  'one of each cluster, then even, then odd': (blocks) => {
    const first = stride(blocks, 0, 16);
    const others = stride(blocks, 0, 1).filter((block) => block % 16 !== 0);
    return [first, others.filter((block) => block % 2 === 0), others.filter((block) => block % 2 === 1).reverse()];
  },
};

/**
 * Nearly fills one node of an ext4 tree, which holds `entries`, with extents at the start, then writes down from the end: each
 * block goes in front of the last entry of a full node, which moves to a node of its own.
 */
export function splittingOrder(blocks: number, entries: number): Sessions {
  const anchors = stride(2 * (entries - 1), 0, 2);
  return [[...anchors, ...stride(blocks - 2 * entries, 0, 1).map((block) => blocks - 1 - block)]];
}

function stride(blocks: number, first: number, step: number): number[] {
  return Array.from({ length: Math.max(0, Math.ceil((blocks - first) / step)) }, (_, index) => first + index * step);
}

function shuffled(blocks: number[]): number[] {
  return new Prng(SEED).shuffled(blocks);
}

function outward(blocks: number): number[] {
  return stride(blocks / 2, 0, 1).flatMap((index) => [blocks / 2 + index, blocks / 2 - 1 - index]);
}

/** The middle of all, then the middles of both halves, and on. `blocks`: a power of two. */
function midpoints(blocks: number): number[] {
  const bits = Math.log2(blocks);
  return stride(blocks, 0, 1).map((index) => Number.parseInt(index.toString(2).padStart(bits, '0').split('').reverse().join(''), 2));
}

function halves(blocks: readonly number[]): Sessions {
  return [blocks.slice(0, blocks.length / 2), blocks.slice(blocks.length / 2)];
}

/**
 * Splits nodes of an ext4 tree on several levels with each block. Where a full leaf is the last of a full node, which is the last
 * of a full node in turn, an extent in front of its last one makes a new node on each of these levels. The order fills such
 * chains from the left to the right: a leaf, then blocks downward in front of its last extent until the node above is full.
 *
 * `height`: how many levels are kept full; the blocks that are left over come last.
 */
export function chainedOrder(blocks: number, entries: number, height: number): Sessions {
  const tree = new ExtentTree(entries);
  const order: number[] = [];
  const isWritten = new Uint8Array(blocks);
  const write = (block: number): void => {
    tree.insert(block);
    order.push(block);
    isWritten[block] = 1;
  };
  for (let next = 0; next < blocks - 1; ) {
    const lacking = entries - tree.lastLeafEntries - 1;
    if (next + 2 * lacking + entries >= blocks) break;
    for (const end = next + 2 * lacking; next < end; next += 2) write(next);
    const chain = tree.fullAtTheEnd(1);
    const isLast = chain.height >= height || next + chain.roomAbove + 2 * entries >= blocks;
    const end = isLast ? blocks - 1 : next + chain.roomAbove;
    for (let block = end; block > next || block === end; block -= 1) write(block);
    next = end + 2;
  }
  const left = stride(blocks, 0, 1).filter((block) => isWritten[block] === 0);
  return [[...order, ...left.reverse()]];
}

/**
 * As `splittingOrder` for a file whose blocks have storage, unwritten and side by side: every second block, so that no two written
 * ones join. Each splits an unwritten extent twice, in front of the last extent of a full node.
 */
export function cuttingOrder(blocks: number, entries: number): Sessions {
  const anchors = stride(entries - 1, 1, 2);
  return [[...anchors, blocks - 2, ...stride(blocks - 2 * entries, 6, 2).map((block) => blocks - block)]];
}

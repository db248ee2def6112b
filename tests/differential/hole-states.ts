/**
 * Images with free clusters that have storage and free clusters that have none, between used ones, in every order; and orders
 * of guest writes that pass over some of them. Drawn from a seed and described in full.
 */
import { KiB } from '#base';
import { type Fill, type FillGeometry, writeOf } from './fills.ts';
import { Prng } from './prng.ts';
import { discard, write, writeCompressedFrom } from './states/commands.ts';
import { type CreateOptions, type ImageState, state } from './states/site.ts';

/** Neighbouring host clusters: free with storage, free without, or in use; how the free ones came to be. */
export interface Segment {
  readonly kind: 'stored' | 'unstored' | 'used' | 'compressed';
  readonly clusters: number;
}

export interface HoleLayout {
  readonly seed: number;
  readonly clusterSize: number;
  readonly options: CreateOptions;
  readonly segments: readonly Segment[];
  /** Guest clusters that are never written before. */
  readonly untouched: number;
  /** A snapshot is taken before the clusters are freed, and deleted afterwards. */
  readonly hasSnapshot: boolean;
}

const MAX_CLUSTERS = 40;

export function drawHoles(seed: number): HoleLayout {
  const prng = new Prng(seed);
  const clusterSize = prng.pick([512, 1, 2, 4, 4, 16, 64].map((size) => (size === 512 ? 512 : size * KiB)));
  const largest = prng.pick([2, 6, 16, MAX_CLUSTERS]);
  const kinds = prng.pick<Segment['kind'][]>([
    ['stored', 'unstored', 'used'],
    ['stored', 'unstored', 'unstored', 'used'],
    ['stored', 'unstored', 'used', 'compressed'],
  ]);
  const segments = Array.from({ length: 6 + prng.below(20) }, () => ({ kind: prng.pick(kinds), clusters: 1 + prng.below(largest) }));
  const refcountBits = prng.pick([1, 4, 8, 16, 16, 32, 64]);
  const options = { cluster_size: clusterSize, refcount_bits: kinds.includes('compressed') ? 16 : refcountBits };
  return { seed, clusterSize, options, segments, untouched: prng.pick([0, 0, 8, 60]), hasSnapshot: refcountBits > 1 && prng.chance(0.3) };
}

/**
 * The layout as an image: the segments are written in the order of their host clusters. What ends without storage belongs to
 * the upper part of the guest's disk, which is shrunk away; what keeps its storage is discarded without being punched.
 */
export function holeState(layout: HoleLayout): ImageState {
  return state(`holes-${layout.seed}`, ['history', 'unpunched'], async (site) => {
    const { clusterSize, segments } = layout;
    const kept = segments.filter(({ kind }) => kind !== 'unstored').reduce((sum, { clusters }) => sum + clusters + 1, layout.untouched);
    const all = segments.reduce((sum, { clusters }) => sum + clusters + 1, layout.untouched + 1);
    await site.create(all * clusterSize, layout.options);
    const pattern = site.dataFileOf('pattern.bin', clusterSize, 0.5);
    let [low, high] = [0, kept];
    const [writes, frees, overwrites]: [string[], string[], string[]] = [[], [], []];
    for (const { kind, clusters } of segments) {
      const at = kind === 'unstored' ? high : low;
      const [offset, length] = [at * clusterSize, clusters * clusterSize];
      if (kind === 'unstored') high += clusters;
      else low += clusters + 1;
      if (kind === 'compressed')
        for (let cluster = at; cluster < at + clusters; cluster += 1)
          writes.push(writeCompressedFrom(pattern, cluster * clusterSize, clusterSize));
      else writes.push(write(offset, length));
      if (kind === 'stored') frees.push(discard(offset, length));
      if (kind === 'compressed') overwrites.push(write(offset, clusterSize, 3));
    }
    await site.io(writes);
    if (layout.hasSnapshot) {
      await site.snapshot('-c', 'one');
      await site.io(overwrites);
      await site.snapshot('-d', 'one');
    }
    if (kept < all) await site.resize(kept * clusterSize, '--shrink');
    await site.io(frees, { discard: 'unmap', driverOptions: ['pass-discard-request=off'] });
  });
}

export function describeHoles(layout: HoleLayout): string {
  return `seed ${layout.seed}: ${JSON.stringify(layout)}`;
}

/**
 * Writes everything in several sessions, each request some of the guest's clusters: long ones that pass over short holes, single
 * ones that fill them, and ones that begin in the cluster before, which is mostly in place, and go on behind it.
 */
export function steeredFill(seed: number): Fill {
  const sessions = (geometry: FillGeometry): string[][] => {
    const prng = new Prng(seed);
    const { capacity, clusterSize } = geometry;
    const total = Math.ceil(capacity / clusterSize);
    const parts: string[][] = [];
    const sessionCount = prng.pick([1, 2, 4, 8]);
    for (let session = 0; session < sessionCount; session += 1) {
      const largest = prng.pick([1, 1, 3, 8, 33, 64]);
      const isLongFirst = prng.chance(0.5);
      const requests = Array.from({ length: Math.ceil(total / largest / 2) }, () => {
        const length = isLongFirst ? largest : 1 + prng.below(largest);
        const first = prng.below(total);
        return { guestOffset: first * clusterSize, byteLength: Math.min(length * clusterSize, capacity - first * clusterSize) };
      });
      parts.push(requests.map(writeOf));
    }
    // The rest, from the end or from the start, in one size.
    const size = prng.pick([1, 2, 7, 32, total]);
    const rest = Array.from({ length: Math.ceil(total / size) }, (_, index) => index * size * clusterSize).map((guestOffset) =>
      writeOf({ guestOffset, byteLength: Math.min(size * clusterSize, capacity - guestOffset) }),
    );
    return [...parts, prng.chance(0.5) ? rest : rest.reverse()];
  };
  return { name: `steered-${seed}`, sessions };
}

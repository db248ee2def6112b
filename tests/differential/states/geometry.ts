/** States that differ in how the image was created: cluster sizes, refcount widths, versions, preallocation, capacities. */
import { KiB, MiB } from '#base';
import { every, write } from './commands.ts';
import { type CreateOptions, type ImageState, state } from './site.ts';

/** Capacity for each cluster size, so that a fill takes a few thousand requests at most. */
const CLUSTER_SIZES: readonly (readonly [name: string, clusterSize: number, capacity: number])[] = [
  ['512', 512, MiB],
  ['1k', KiB, (3 * MiB) / 2],
  ['2k', 2 * KiB, 3 * MiB],
  ['4k', 4 * KiB, 5 * MiB],
  ['16k', 16 * KiB, 16 * MiB],
  ['64k', 64 * KiB, 32 * MiB],
  ['256k', 256 * KiB, 48 * MiB],
  ['1m', MiB, 64 * MiB],
  ['2m', 2 * MiB, 64 * MiB],
];

const fresh: ImageState[] = CLUSTER_SIZES.map(([name, clusterSize, capacity]) =>
  state(`cluster-${name}-fresh`, ['geometry', ...(name === '64k' || name === '512' ? ['disk'] : [])], (site) =>
    site.create(capacity, { cluster_size: clusterSize }),
  ),
);

const scattered: ImageState[] = CLUSTER_SIZES.map(([name, clusterSize, capacity]) =>
  state(`cluster-${name}-scattered`, ['geometry', ...(name === '4k' || name === '256k' ? ['disk'] : [])], async (site) => {
    await site.create(capacity, { cluster_size: clusterSize });
    await site.io([...every(7 * clusterSize, 2 * clusterSize, 3 * clusterSize, capacity), write(0, 512)]);
  }),
);

const refcountWidths: ImageState[] = [1, 2, 4, 8, 32, 64].map((refcountBits) =>
  state(`refcount-${refcountBits}`, ['geometry', 'refcount'], async (site) => {
    await site.create(5 * MiB, { cluster_size: 4 * KiB, refcount_bits: refcountBits });
    await site.io(every(64 * KiB, 12 * KiB, 0, 5 * MiB));
  }),
);

const tableGrowth: ImageState[] = [
  grows('growth-512-64-bits', 3 * MiB, { cluster_size: 512, refcount_bits: 64 }, ['disk']),
  grows('growth-512-32-bits-odd', 5 * MiB + 512, { cluster_size: 512, refcount_bits: 32 }, ['slow']),
  grows('growth-512-16-bits', 10 * MiB, { cluster_size: 512 }, ['slow']),
  grows('growth-1k-64-bits', 18 * MiB, { cluster_size: KiB, refcount_bits: 64 }, ['slow']),
];

/** The refcount table fills up on the way; a third of the image is there already, in pieces. */
function grows(name: string, capacity: number, options: CreateOptions, tags: readonly string[]): ImageState {
  return state(name, ['geometry', 'growth', ...tags], async (site) => {
    await site.create(capacity, options);
    await site.io(every(48 * KiB, 16 * KiB, 8 * KiB, capacity));
  });
}

const capacities: ImageState[] = [
  ['capacity-0', 0, {}],
  ['capacity-512', 512, {}],
  ['capacity-1m-and-512', MiB + 512, {}],
  ['capacity-odd-2m-clusters', 5 * MiB + 1536, { cluster_size: 2 * MiB }],
  ['capacity-odd-512-clusters', 700 * KiB + 512, { cluster_size: 512 }],
  ['capacity-odd-extended', 3 * MiB + 2560, { cluster_size: 64 * KiB, extended_l2: 'on' }],
  ['capacity-l2-border', 4 * MiB, { cluster_size: 4 * KiB, refcount_bits: 8 }],
  ['capacity-l2-border-and-one', 2 * MiB + 4 * KiB, { cluster_size: 4 * KiB }],
].map(([name, capacity, options]) =>
  state(name as string, ['geometry', 'capacity'], (site) => site.create(capacity as number, options as CreateOptions)),
);

const preallocated: ImageState[] = [
  preallocates('metadata', {}, ['disk']),
  preallocates('metadata', { cluster_size: 4 * KiB, refcount_bits: 64 }, [], 5 * MiB),
  preallocates('metadata', { cluster_size: 2 * MiB }, []),
  preallocates('metadata', { cluster_size: 512 }, [], 700 * KiB + 512),
  preallocates('metadata', { extended_l2: 'on', cluster_size: 128 * KiB }, ['disk']),
  preallocates('falloc', {}, ['disk']),
  preallocates('falloc', { cluster_size: 4 * KiB }, [], 5 * MiB),
  preallocates('full', {}, []),
  preallocates('full', { cluster_size: KiB }, [], 2 * MiB),
  state('prealloc-metadata-half-written', ['prealloc', 'disk'], async (site) => {
    await site.create(16 * MiB, { preallocation: 'metadata' });
    await site.io(every(256 * KiB, 96 * KiB, 64 * KiB, 16 * MiB));
  }),
  state('prealloc-metadata-snapshot', ['prealloc', 'snapshot'], async (site) => {
    await site.create(16 * MiB, { preallocation: 'metadata' });
    await site.io(every(256 * KiB, 96 * KiB, 64 * KiB, 8 * MiB));
    await site.snapshot('-c', 'one');
  }),
  state('prealloc-grown-by-metadata', ['prealloc', 'resize'], async (site) => {
    await site.create(4 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(MiB, MiB)]);
    await site.resize(12 * MiB + 512, '--preallocation=metadata');
  }),
  state('prealloc-grown-by-falloc', ['prealloc', 'resize'], async (site) => {
    await site.create(4 * MiB, { cluster_size: 64 * KiB });
    await site.resize(12 * MiB, '--preallocation=falloc');
  }),
];

function preallocates(mode: string, options: CreateOptions, tags: readonly string[], capacity = 16 * MiB): ImageState {
  const details = Object.values(options).join('-');
  return state(`prealloc-${mode}${details === '' ? '' : `-${details}`}`, ['prealloc', ...tags], (site) =>
    site.create(capacity, { preallocation: mode, ...options }),
  );
}

const versions: ImageState[] = [
  state('v2-fresh', ['v2'], (site) => site.create(16 * MiB, { compat: '0.10' })),
  state('v2-scattered', ['v2', 'disk'], async (site) => {
    await site.create(16 * MiB, { compat: '0.10', cluster_size: 16 * KiB });
    await site.io(every(160 * KiB, 48 * KiB, 0, 16 * MiB));
  }),
  state('v2-large-clusters', ['v2'], async (site) => {
    await site.create(33 * MiB + 512, { compat: '0.10', cluster_size: MiB });
    await site.io(every(3 * MiB, 512, 0, 33 * MiB));
  }),
  state('lazy-refcounts-clean', ['lazy'], async (site) => {
    await site.create(8 * MiB, { lazy_refcounts: 'on', cluster_size: 16 * KiB });
    await site.io(every(80 * KiB, 32 * KiB, 0, 8 * MiB));
  }),
];

export const GEOMETRY_STATES: readonly ImageState[] = [
  ...fresh,
  ...scattered,
  ...refcountWidths,
  ...tableGrowth,
  ...capacities,
  ...preallocated,
  ...versions,
];

/**
 * Corners of the arithmetic that an adversary found: last clusters in every state, holes with and without storage, compressed
 * clusters freed early, images that are killed while their refcounts are stale.
 */
import { KiB, MiB } from '#base';
import { discard, every, POWER_CUT, write, writeCompressed, writeCompressedFrom, writeZeroes } from './commands.ts';
import { type CreateOptions, type ImageState, type Site, state } from './site.ts';

/** Capacity that ends inside the last cluster, and where that begins. */
interface LastCluster {
  readonly start: number;
  readonly partialBytes: number;
  readonly clusterSize: number;
}

/** How the last cluster comes into the state that its name tells. */
const LAST: Readonly<Record<string, (site: Site, options: CreateOptions, last: LastCluster) => Promise<void>>> = {
  'zero-preallocated': async (site, options, { start, partialBytes }) => {
    await site.create(start + partialBytes, { ...options, preallocation: 'metadata' });
    await site.io([writeZeroes(start, partialBytes)]);
  },
  'zero-over-data': async (site, options, { start, partialBytes }) => {
    await site.create(start + partialBytes, options);
    await site.io([write(0, start + partialBytes), writeZeroes(start, partialBytes)]);
  },
  'zero-shrunk': async (site, options, { start, partialBytes, clusterSize }) => {
    await site.create(start + 2 * clusterSize, { ...options, preallocation: 'metadata' });
    await site.io([writeZeroes(start, clusterSize)]);
    await site.resize(start + partialBytes, '--shrink');
  },
  'zero-plain': async (site, options, { start, partialBytes }) => {
    await site.create(start + partialBytes, options);
    await site.io([write(0, start), writeZeroes(start, partialBytes)]);
  },
  'data-partly-stored': async (site, options, { start, partialBytes }) => {
    await site.create(start + partialBytes, { ...options, preallocation: 'metadata' });
    await site.io([write(start, 512)]);
  },
  shared: async (site, options, { start, partialBytes }) => {
    await site.create(start + partialBytes, options);
    await site.io([write(start, partialBytes)]);
    await site.snapshot('-c', 'one');
  },
  'zero-shared': async (site, options, { start, partialBytes }) => {
    await site.create(start + partialBytes, { ...options, preallocation: 'metadata' });
    await site.io([writeZeroes(start, partialBytes)]);
    await site.snapshot('-c', 'one');
  },
  'zero-overlay': async (site, options, { start, partialBytes }) => {
    await site.createOther('base.qcow2', start + partialBytes, {}, [write(0, start + partialBytes, 9)]);
    await site.createOverlay('base.qcow2', start + partialBytes, options);
    await site.io([write(start, partialBytes), writeZeroes(start, partialBytes)]);
  },
  'data-overlay': async (site, options, { start, partialBytes }) => {
    await site.createOther('base.qcow2', start + partialBytes, {}, [write(0, start + partialBytes, 9)]);
    await site.createOverlay('base.qcow2', start + partialBytes, options);
    await site.io([write(start, 512)]);
  },
  'zero-data-file': async (site, options, { start, partialBytes }) => {
    await site.create(start + partialBytes, { ...options, data_file: 'data.raw' });
    await site.io([write(0, start + partialBytes), writeZeroes(start, partialBytes)]);
  },
};

/** Cluster sizes above and below the host's blocks; with extended L2 the capacity ends in the last cluster's third subcluster. */
const LAST_OPTIONS: readonly (readonly [name: string, options: CreateOptions, clusterSize: number, partialBytes: number])[] = [
  ['2m', { cluster_size: 2 * MiB }, 2 * MiB, 512],
  ['64k', { cluster_size: 64 * KiB }, 64 * KiB, 4608],
  ['2k', { cluster_size: 2 * KiB }, 2 * KiB, 512],
  ['extended', { cluster_size: 256 * KiB, extended_l2: 'on' }, 256 * KiB, 17 * KiB],
];

const lasts = LAST_OPTIONS.flatMap(([size, options, clusterSize, partialBytes]) =>
  Object.entries(LAST).map(([name, build]) =>
    state(`last-${name}-${size}`, ['last', 'slow'], (site) => build(site, options, { start: 2 * clusterSize, partialBytes, clusterSize })),
  ),
);

const compressedFreed: ImageState[] = [
  state('holes-stored-by-compression', ['compressed', 'unpunched'], async (site) => {
    await compressedImage(site, 3 * MiB);
    // One request: nothing that it frees is used again.
    await site.io([write(0, 3 * MiB, 7)]);
  }),
  state('holes-below-compressed', ['compressed', 'snapshot', 'unpunched'], async (site) => {
    const clusterSize = 64 * KiB;
    await site.create(48 * clusterSize, {});
    const pattern = site.dataFileOf('pattern.bin', clusterSize, 0.8);
    await site.io([write(0, 24 * clusterSize)]);
    await site.snapshot('-c', 'one');
    const from = (guestOffset: number, byteLength: number): string => writeCompressedFrom(pattern, guestOffset, byteLength);
    await site.io([...every(clusterSize, clusterSize, 24 * clusterSize, 48 * clusterSize, from), write(0, 24 * clusterSize, 2)]);
    await site.snapshot('-d', 'one');
  }),
];

const stale: ImageState[] = [
  state('killed-with-all-in-place', ['crash', 'dirty'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 64 * KiB, lazy_refcounts: 'on' });
    await site.io([write(0, 8 * MiB), 'flush', POWER_CUT], { crashes: true });
  }),
  state('killed-with-all-in-place-4k', ['crash', 'dirty'], async (site) => {
    await site.create(2 * MiB, { cluster_size: 4 * KiB, lazy_refcounts: 'on', refcount_bits: 64 });
    await site.io([write(0, 2 * MiB), 'flush', POWER_CUT], { crashes: true });
  }),
  state('killed-with-compressed', ['crash', 'dirty', 'compressed'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 64 * KiB, lazy_refcounts: 'on' });
    await site.io(every(64 * KiB, 64 * KiB, 0, MiB, writeCompressed));
    await site.io([write(MiB, MiB), write(0, 64 * KiB), write(320 * KiB, 64 * KiB), 'flush', POWER_CUT], { crashes: true });
  }),
  state('killed-while-compressing', ['crash', 'dirty', 'compressed'], async (site) => {
    await site.create(3 * MiB, { cluster_size: 64 * KiB, lazy_refcounts: 'on' });
    const pattern = site.dataFileOf('pattern.bin', 64 * KiB, 0.4);
    const from = (guestOffset: number, byteLength: number): string => writeCompressedFrom(pattern, guestOffset, byteLength);
    await site.io([write(2 * MiB, MiB), ...every(64 * KiB, 64 * KiB, 0, MiB, from), 'flush', POWER_CUT], { crashes: true });
  }),
];

const preallocated: ImageState[] = [
  state('preallocated-then-snapshot', ['preallocation'], async (site) => {
    await site.create(4 * MiB, { preallocation: 'falloc' });
    await site.io([write(0, MiB)]);
    await site.snapshot('-c', 'one');
    await site.io([write(512 * KiB, MiB, 2)]);
  }),
  state('preallocated-then-discarded', ['preallocation', 'unpunched'], async (site) => {
    await site.create(4 * MiB, { preallocation: 'falloc', cluster_size: 16 * KiB });
    await site.io(every(MiB, 96 * KiB, 0, 4 * MiB, discard), { discard: 'unmap' });
  }),
  state('preallocated-then-resized', ['preallocation'], async (site) => {
    await site.create(4 * MiB, { preallocation: 'falloc', cluster_size: 16 * KiB });
    await site.resize(6 * MiB);
    await site.io([write(5 * MiB, 64 * KiB)]);
  }),
];

/** An image whose clusters are all compressed to some two thirds. */
async function compressedImage(site: Site, capacity: number): Promise<void> {
  await site.create(capacity, {});
  const pattern = site.dataFileOf('pattern.bin', 64 * KiB, 0.62);
  await site.io(every(64 * KiB, 64 * KiB, 0, capacity, (guestOffset, byteLength) => writeCompressedFrom(pattern, guestOffset, byteLength)));
}

export const CORNER_STATES: readonly ImageState[] = [...lasts, ...compressedFreed, ...stale, ...preallocated];

/** States that differ in what was done to the image: snapshots, bitmaps, resizes, leaks, power cuts. */
import { KiB, MiB } from '#base';
import { discard, every, POWER_CUT, write, writeCompressed, writeZeroes } from './commands.ts';
import { type ImageState, type Site, state } from './site.ts';

const snapshots: ImageState[] = [
  state('snapshot-one', ['snapshot', 'disk'], async (site) => {
    await site.create(16 * MiB);
    await site.io(every(MiB, 640 * KiB, 0, 16 * MiB));
    await site.snapshot('-c', 'one');
  }),
  state('snapshot-of-empty', ['snapshot'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.snapshot('-c', 'one');
  }),
  state('snapshot-several', ['snapshot', 'disk'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 32 * KiB });
    await writeAndSnapshot(site, 4, 16 * MiB, 32 * KiB);
    await site.io(every(MiB, 96 * KiB, 64 * KiB, 16 * MiB));
  }),
  state('snapshot-several-512', ['snapshot'], async (site) => {
    await site.create(512 * KiB + 1536, { cluster_size: 512 });
    await writeAndSnapshot(site, 3, 512 * KiB, 512);
  }),
  state('snapshot-many', ['snapshot'], async (site) => {
    await site.create(4 * MiB, { cluster_size: 4 * KiB, refcount_bits: 8 });
    await writeAndSnapshot(site, 12, 4 * MiB, 4 * KiB);
  }),
  state('snapshot-v2', ['snapshot', 'v2'], async (site) => {
    await site.create(8 * MiB, { compat: '0.10', cluster_size: 16 * KiB });
    await writeAndSnapshot(site, 2, 8 * MiB, 16 * KiB);
  }),
  state('snapshot-deleted', ['snapshot', 'disk'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 32 * KiB });
    await writeAndSnapshot(site, 3, 16 * MiB, 32 * KiB);
    await site.snapshot('-d', 'snapshot-0');
    await site.snapshot('-d', 'snapshot-1');
  }),
  state('snapshot-full-rewritten-deleted', ['snapshot', 'disk'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(0, 8 * MiB)]);
    await site.snapshot('-c', 'one');
    await site.io(every(48 * KiB, 16 * KiB, 0, 8 * MiB, (at, length) => write(at, length, 2)));
    await site.snapshot('-d', 'one');
  }),
  state('snapshot-full-rewritten-all-deleted', ['snapshot'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(0, 8 * MiB)]);
    await site.snapshot('-c', 'one');
    await site.io([write(0, 8 * MiB, 2)]);
    await site.snapshot('-d', 'one');
  }),
  state('snapshot-applied', ['snapshot'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await writeAndSnapshot(site, 2, 8 * MiB, 16 * KiB);
    await site.snapshot('-a', 'snapshot-0');
    await site.io(every(256 * KiB, 48 * KiB, 0, 8 * MiB));
  }),
  state('snapshot-refcounts-exhausted', ['snapshot', 'refcount'], async (site) => {
    await site.create(4 * MiB, { cluster_size: 16 * KiB, refcount_bits: 2 });
    await site.io(every(64 * KiB, 48 * KiB, 0, 4 * MiB));
    await site.snapshot('-c', 'one');
    await site.snapshot('-c', 'two');
  }),
  state('snapshot-compressed-discards', ['snapshot', 'compressed', 'discard', 'disk'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.io(every(32 * KiB, 16 * KiB, 0, 8 * MiB, writeCompressed));
    await site.io(every(160 * KiB, 64 * KiB, 0, 8 * MiB));
    await site.snapshot('-c', 'one');
    await site.io([...every(MiB, 512 * KiB, 0, 8 * MiB, discard), ...every(2 * MiB, MiB, 512 * KiB, 8 * MiB, writeZeroes)], {
      discard: 'unmap',
    });
    await site.snapshot('-c', 'two');
    await site.io(every(320 * KiB, 16 * KiB, 0, 8 * MiB));
  }),
];

/** `count` rounds of writes at moving places, each followed by a snapshot named snapshot-0, snapshot-1, ... */
async function writeAndSnapshot(site: Site, count: number, capacity: number, clusterSize: number): Promise<void> {
  for (let round = 0; round < count; round++) {
    await site.io(
      every((round + 5) * clusterSize, 2 * clusterSize, round * clusterSize, capacity, (at, length) => write(at, length, round + 1)),
    );
    await site.snapshot('-c', `snapshot-${round}`);
  }
}

const bitmaps: ImageState[] = [
  state('bitmap-one', ['bitmap', 'disk'], async (site) => {
    await site.create(16 * MiB);
    await site.io(every(2 * MiB, 512 * KiB, 0, 16 * MiB));
    await site.bitmap('one', '--add');
  }),
  state('bitmap-with-data', ['bitmap', 'disk'], async (site) => {
    await site.create(6 * MiB, { cluster_size: 4 * KiB });
    await site.bitmap('one', '--add', '-g', '512');
    await site.io(every(2 * MiB, 512 * KiB, 0, 6 * MiB));
  }),
  state('bitmap-several', ['bitmap'], async (site) => {
    await site.create(7 * MiB, { cluster_size: 4 * KiB });
    await site.bitmap('fine', '--add', '-g', '512');
    await site.bitmap('coarse', '--add', '-g', '1M');
    await site.bitmap('off', '--add', '--disable', '-g', '64k');
    await site.io([write(MiB, MiB), write(5 * MiB, MiB)]);
  }),
  state('bitmap-disabled-with-data', ['bitmap'], async (site) => {
    await site.create(2 * MiB, { cluster_size: 512, refcount_bits: 32 });
    await site.bitmap('one', '--add', '-g', '512');
    await site.io(every(MiB, 64 * KiB, 0, 2 * MiB));
    await site.bitmap('one', '--disable');
  }),
  state('bitmap-inconsistent', ['bitmap', 'crash'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.bitmap('lost', '--add');
    await site.io([write(0, MiB), POWER_CUT], { crashes: true });
    await site.bitmap('kept', '--add');
  }),
  state('bitmap-removed', ['bitmap'], async (site) => {
    await site.create(4 * MiB, { cluster_size: 4 * KiB });
    await site.bitmap('one', '--add', '-g', '512');
    await site.bitmap('two', '--add', '-g', '4k');
    await site.io(every(MiB, 256 * KiB, 0, 4 * MiB));
    await site.bitmap('one', '--remove');
  }),
  state('bitmap-extended-large-clusters', ['bitmap', 'extended'], async (site) => {
    await site.create(32 * MiB + 512, { cluster_size: 256 * KiB, extended_l2: 'on' });
    await site.bitmap('one', '--add');
    await site.io(every(MiB, 24 * KiB, 0, 32 * MiB));
  }),
  state('bitmap-and-snapshot', ['bitmap', 'snapshot'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 8 * KiB });
    await site.bitmap('one', '--add', '-g', '4k');
    await site.io(every(MiB, 256 * KiB, 0, 8 * MiB));
    await site.snapshot('-c', 'one');
    await site.io(every(2 * MiB, 128 * KiB, 0, 8 * MiB));
  }),
];

const resized: ImageState[] = [
  state('resized-up', ['resize'], async (site) => {
    await site.create(4 * MiB, { cluster_size: 4 * KiB });
    await site.io([write(MiB, 2 * MiB)]);
    await site.resize(7 * MiB + 512);
  }),
  state('resized-up-after-snapshot', ['resize', 'snapshot'], async (site) => {
    await site.create(4 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(MiB, 2 * MiB)]);
    await site.snapshot('-c', 'one');
    await site.resize(12 * MiB);
    await site.io([write(10 * MiB, MiB)]);
  }),
  state('resized-down', ['resize', 'disk'], async (site) => {
    await site.create(10 * MiB, { cluster_size: 4 * KiB });
    await site.io(every(64 * KiB, 40 * KiB, 0, 10 * MiB));
    await site.resize(5 * MiB + 512, '--shrink');
  }),
  state('resized-down-unaligned', ['resize'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 64 * KiB });
    await site.io([write(12 * MiB, 4 * MiB), write(0, MiB)]);
    await site.resize(3 * MiB + 1024, '--shrink');
  }),
  state('resized-down-and-up', ['resize'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB, extended_l2: 'on' });
    await site.io(every(96 * KiB, 40 * KiB, 0, 8 * MiB));
    await site.resize(2 * MiB, '--shrink');
    await site.resize(6 * MiB + 512);
  }),
  state('resized-to-512', ['resize'], async (site) => {
    await site.create(4 * MiB);
    await site.io([write(0, MiB)]);
    await site.resize(512, '--shrink');
  }),
];

const damaged: ImageState[] = [
  state('leaked-run', ['leak', 'disk'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(0, 4 * MiB)]);
    site.leak(16, 100, 1);
  }),
  state('leaked-scattered', ['leak'], async (site) => {
    await site.create(2 * MiB, { cluster_size: 4 * KiB });
    await site.io([write(0, 2 * MiB)]);
    site.leak(3, 60, 7);
  }),
  state('crashed-unflushed', ['crash', 'disk'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(0, MiB)]);
    await site.io([write(2 * MiB, 2 * MiB), POWER_CUT], { crashes: true });
  }),
  state('crashed-after-flush', ['crash'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(0, MiB), 'flush', write(2 * MiB, MiB), write(7 * MiB, 512), POWER_CUT], { crashes: true });
  }),
  state('crashed-lazy-refcounts', ['crash', 'lazy', 'disk'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB, lazy_refcounts: 'on' });
    await site.io([...every(256 * KiB, 96 * KiB, 0, 8 * MiB), 'flush', POWER_CUT], { crashes: true });
  }),
  state('crashed-lazy-refcounts-4k', ['crash', 'lazy'], async (site) => {
    await site.create(5 * MiB, { cluster_size: 4 * KiB, lazy_refcounts: 'on', refcount_bits: 64 });
    await site.io(every(128 * KiB, 64 * KiB, 0, 5 * MiB));
    await site.io([...every(256 * KiB, 96 * KiB, 64 * KiB, 5 * MiB), 'flush', write(0, 5 * MiB), POWER_CUT], { crashes: true });
  }),
  state('crashed-repaired', ['crash'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB, lazy_refcounts: 'on' });
    await site.io([...every(256 * KiB, 96 * KiB, 0, 8 * MiB), 'flush', POWER_CUT], { crashes: true });
    await site.repair();
  }),
  { ...state('marked-corrupt', ['corrupt'], markCorrupt), unwritable: true },
];

/** Sets incompatible feature bit 1: QEMU refuses to open the image for writing. */
async function markCorrupt(site: Site): Promise<void> {
  await site.create(8 * MiB, { cluster_size: 16 * KiB });
  await site.io([write(0, MiB)]);
  site.patch(79, Uint8Array.of(2));
}

export const HISTORY_STATES: readonly ImageState[] = [...snapshots, ...bitmaps, ...resized, ...damaged];

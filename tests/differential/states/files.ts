/** States that differ in the files around the image: overlays, external data files, copies, raw. */
import { KiB, MiB } from '#base';
import { discard, every, write, writeZeroes, writeZeroesUnmap } from './commands.ts';
import { type ImageState, rawState, type Site, state } from './site.ts';

const overlays: ImageState[] = [
  state('overlay-fresh', ['overlay'], async (site) => {
    await makeBase(site, 8 * MiB);
    await site.createOverlay('base.qcow2', 8 * MiB);
  }),
  state('overlay-longer', ['overlay', 'disk'], async (site) => {
    await makeBase(site, 4 * MiB + 512);
    await site.createOverlay('base.qcow2', 12 * MiB, { cluster_size: 16 * KiB });
    await site.io(every(640 * KiB, 20 * KiB, 6 * KiB, 12 * MiB));
  }),
  state('overlay-shorter', ['overlay'], async (site) => {
    await makeBase(site, 16 * MiB);
    await site.createOverlay('base.qcow2', 6 * MiB + 512, { cluster_size: 32 * KiB });
    await site.io(every(640 * KiB, 20 * KiB, 6 * KiB, 6 * MiB));
  }),
  state('overlay-extended', ['overlay', 'extended'], async (site) => {
    await makeBase(site, 8 * MiB);
    await site.createOverlay('base.qcow2', 9 * MiB, { cluster_size: 64 * KiB, extended_l2: 'on' });
    await site.io(every(320 * KiB, 3 * KiB, 5 * KiB, 9 * MiB));
  }),
  state('overlay-zeroes-discards', ['overlay', 'zero', 'discard'], async (site) => {
    await makeBase(site, 8 * MiB);
    await site.createOverlay('base.qcow2', 8 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(MiB, 3 * MiB), discard(2 * MiB, MiB), writeZeroes(5 * MiB, MiB), writeZeroesUnmap(MiB, 512 * KiB)], {
      discard: 'unmap',
    });
  }),
  state('overlay-v2-zeroes', ['overlay', 'zero', 'v2'], async (site) => {
    await makeBase(site, 8 * MiB);
    await site.createOverlay('base.qcow2', 8 * MiB, { cluster_size: 16 * KiB, compat: '0.10' });
    await site.io([write(MiB, 3 * MiB), discard(2 * MiB, MiB), writeZeroes(5 * MiB, MiB)], { discard: 'unmap' });
  }),
  state('overlay-metadata-prealloc', ['overlay', 'prealloc', 'extended'], async (site) => {
    await makeBase(site, 8 * MiB);
    await site.createOverlay('base.qcow2', 8 * MiB, { cluster_size: 64 * KiB, extended_l2: 'on', preallocation: 'metadata' });
  }),
  state('overlay-snapshot', ['overlay', 'snapshot'], async (site) => {
    await makeBase(site, 8 * MiB);
    await site.createOverlay('base.qcow2', 8 * MiB, { cluster_size: 16 * KiB });
    await site.io(every(MiB, 300 * KiB, 0, 8 * MiB));
    await site.snapshot('-c', 'one');
    await site.io([write(0, 2 * MiB)]);
  }),
];

function makeBase(site: Site, capacity: number): Promise<void> {
  return site.createOther('base.qcow2', capacity, {}, every(MiB, 448 * KiB, 64 * KiB, capacity));
}

const dataFiles: ImageState[] = [
  state('data-file-fresh', ['data-file'], (site) => site.create(8 * MiB + 512, { data_file: 'data.raw' })),
  state('data-file-scattered', ['data-file', 'disk'], async (site) => {
    await site.create(8 * MiB, { data_file: 'data.raw', cluster_size: 16 * KiB });
    await site.io([...every(256 * KiB, 20 * KiB, 0, 8 * MiB), writeZeroes(MiB, MiB)]);
  }),
  state('data-file-raw', ['data-file'], async (site) => {
    await site.create(8 * MiB + 512, { data_file: 'data.raw', data_file_raw: 'on', cluster_size: 16 * KiB });
    await site.io([...every(MiB, 300 * KiB, 0, 8 * MiB)]);
  }),
  state('data-file-4k-discards', ['data-file', 'discard'], async (site) => {
    await site.create(4 * MiB, { data_file: 'data.raw', cluster_size: 4 * KiB });
    await site.io([write(0, 3 * MiB), ...every(256 * KiB, 64 * KiB, 0, 3 * MiB, discard)], { discard: 'unmap' });
  }),
  state('data-file-metadata', ['data-file', 'prealloc'], (site) =>
    site.create(5 * MiB, { data_file: 'data.raw', preallocation: 'metadata', cluster_size: 4 * KiB }),
  ),
  state('data-file-bitmap', ['data-file', 'bitmap'], async (site) => {
    await site.create(5 * MiB, { data_file: 'data.raw', cluster_size: 4 * KiB });
    await site.bitmap('one', '--add', '-g', '4k');
    await site.io([write(0, MiB)]);
  }),
];

const copies: ImageState[] = [
  state('copied-sparse', ['copy', 'disk'], async (site) => {
    await zeroFilled(site);
    await site.copyOver('always');
  }),
  state('copied-dense', ['copy', 'unpunched', 'disk'], async (site) => {
    await zeroFilled(site);
    await site.copyOver('never');
  }),
  state('copied-sparse-falloc', ['copy', 'prealloc'], async (site) => {
    await site.create(16 * MiB, { preallocation: 'falloc' });
    await site.copyOver('always');
  }),
  state('copied-dense-metadata', ['copy', 'prealloc'], async (site) => {
    await site.create(8 * MiB, { preallocation: 'metadata', cluster_size: 16 * KiB });
    await site.copyOver('never');
  }),
  state('converted', ['copy', 'convert', 'disk'], async (site) => {
    await site.createOther('source.qcow2', 16 * MiB, { cluster_size: 4 * KiB }, every(700 * KiB, 300 * KiB, 4 * KiB, 16 * MiB));
    await site.convertFrom('source.qcow2', ['-o', 'cluster_size=65536']);
  }),
  state('converted-metadata', ['copy', 'convert', 'prealloc'], async (site) => {
    await site.createOther('source.qcow2', 16 * MiB, { cluster_size: 4 * KiB }, every(700 * KiB, 300 * KiB, 4 * KiB, 16 * MiB));
    await site.convertFrom('source.qcow2', ['-o', 'cluster_size=16384,preallocation=metadata']);
  }),
  state('trailing-data', ['trailing', 'disk'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.io(every(MiB, 300 * KiB, 0, 8 * MiB));
    site.appendBytes(300 * KiB + 700, 'data');
  }),
  state('trailing-hole', ['trailing'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(0, MiB)]);
    site.appendBytes(20 * MiB + 1000, 'hole');
  }),
  state('trailing-few-bytes', ['trailing'], async (site) => {
    await site.create(4 * MiB, { cluster_size: 4 * KiB });
    site.appendBytes(100, 'data');
  }),
];

/** Data, and data that is zero: what `cp --sparse` tells apart. */
async function zeroFilled(site: Site): Promise<void> {
  await site.create(8 * MiB, { cluster_size: 16 * KiB });
  await site.io([...every(MiB, 400 * KiB, 0, 8 * MiB), ...every(MiB, 100 * KiB, 500 * KiB, 8 * MiB, (at, length) => write(at, length, 0))]);
  await site.io(every(512 * KiB, 64 * KiB, 64 * KiB, 8 * MiB, discard), { discard: 'unmap' });
}

const raw: ImageState[] = [
  rawState('raw-sparse', ['disk'], async (site) => {
    await site.create(8 * MiB);
    await site.io(every(MiB, 100 * KiB, 3 * KiB, 8 * MiB));
  }),
  rawState('raw-odd', [], async (site) => {
    await site.create(3 * MiB + 512);
    await site.io([write(MiB, 512)]);
  }),
  rawState('raw-falloc', ['prealloc', 'disk'], (site) => site.create(8 * MiB, { preallocation: 'falloc' })),
  rawState('raw-full', ['prealloc'], (site) => site.create(8 * MiB, { preallocation: 'full' })),
  rawState('raw-empty', [], (site) => site.create(0)),
];

export const FILE_STATES: readonly ImageState[] = [...overlays, ...dataFiles, ...copies, ...raw];

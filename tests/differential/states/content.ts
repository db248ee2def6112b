/** States that differ in what the guest's clusters are: subclusters, zeroes, compressed, discarded, encrypted. */
import { KiB, MiB } from '#base';
import { discard, every, write, writeCompressed, writeCompressedFrom, writeZeroes, writeZeroesUnmap } from './commands.ts';
import { type ImageState, state } from './site.ts';

const extended: ImageState[] = [
  state('extended-16k-fresh', ['extended'], (site) => site.create(8 * MiB, { cluster_size: 16 * KiB, extended_l2: 'on' })),
  state('extended-16k-partial', ['extended', 'disk'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB, extended_l2: 'on' });
    await site.io(every(24 * KiB, 512, 0, 8 * MiB));
  }),
  state('extended-64k-partial', ['extended', 'disk'], async (site) => {
    await site.create(16 * MiB + 512, { cluster_size: 64 * KiB, extended_l2: 'on' });
    await site.io([...every(160 * KiB, 6 * KiB, 30 * KiB, 16 * MiB), ...every(MiB, 8 * KiB, 96 * KiB, 16 * MiB, writeZeroes)]);
  }),
  state('extended-128k-zero-subclusters', ['extended', 'zero'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 128 * KiB, extended_l2: 'on' });
    await site.io([
      ...every(256 * KiB, 40 * KiB, 4 * KiB, 16 * MiB),
      ...every(512 * KiB, 20 * KiB, 8 * KiB, 16 * MiB, writeZeroesUnmap),
      ...every(MiB, 128 * KiB, 0, 16 * MiB, writeZeroes),
    ]);
  }),
  state('extended-2m-partial', ['extended'], async (site) => {
    await site.create(32 * MiB, { cluster_size: 2 * MiB, extended_l2: 'on' });
    await site.io(every(3 * MiB, 64 * KiB, 128 * KiB, 32 * MiB));
  }),
  state('extended-snapshot-partial', ['extended', 'snapshot'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 32 * KiB, extended_l2: 'on' });
    await site.io(every(48 * KiB, 3 * KiB, 0, 8 * MiB));
    await site.snapshot('-c', 'one');
    await site.io(every(256 * KiB, 5 * KiB, KiB, 8 * MiB));
  }),
  state('extended-snapshot-odd-capacity', ['extended', 'snapshot'], async (site) => {
    await site.create(132_096, { cluster_size: 64 * KiB, extended_l2: 'on' });
    await site.io(['write -q -P 1 0 132096']);
    await site.snapshot('-c', 'one');
  }),
  state('extended-snapshot-odd-capacity-partial', ['extended', 'snapshot'], async (site) => {
    await site.create(3 * MiB + 20 * KiB + 512, { cluster_size: 64 * KiB, extended_l2: 'on' });
    await site.io(['write -q -P 1 1M 300k', `write -q -P 2 ${3 * MiB} 5k`]);
    await site.snapshot('-c', 'one');
  }),
  state('extended-compressed', ['extended', 'compressed'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 64 * KiB, extended_l2: 'on' });
    await site.io([...every(192 * KiB, 64 * KiB, 0, 8 * MiB, writeCompressed), ...every(MiB, 2 * KiB, 66 * KiB, 8 * MiB)]);
  }),
];

const zeroes: ImageState[] = [
  state('zero-plain', ['zero'], async (site) => {
    await site.create(16 * MiB);
    await site.io([writeZeroes(0, 8 * MiB), ...every(MiB, 64 * KiB, 128 * KiB, 16 * MiB)]);
  }),
  state('zero-preallocated', ['zero', 'disk'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 32 * KiB });
    await site.io([write(0, 8 * MiB), writeZeroes(MiB, 4 * MiB), ...every(2 * MiB, 256 * KiB, 6 * MiB, 16 * MiB, writeZeroes)]);
  }),
  state('zero-unmapped', ['zero', 'disk'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 32 * KiB });
    await site.io([write(0, 12 * MiB), ...every(MiB, 384 * KiB, 32 * KiB, 12 * MiB, writeZeroesUnmap)], { discard: 'unmap' });
  }),
  state('zero-unmapped-ignored', ['zero', 'unpunched'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 32 * KiB });
    await site.io([write(0, 12 * MiB), ...every(MiB, 384 * KiB, 32 * KiB, 12 * MiB, writeZeroesUnmap)]);
  }),
  state('zero-v2', ['zero', 'v2', 'unpunched'], async (site) => {
    await site.create(8 * MiB, { compat: '0.10', cluster_size: 16 * KiB });
    await site.io([write(0, 6 * MiB), ...every(MiB, 256 * KiB, 16 * KiB, 6 * MiB, writeZeroes)]);
  }),
];

const discards: ImageState[] = [
  state('discard-punched', ['discard', 'disk'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 16 * KiB });
    await site.io([write(0, 12 * MiB), ...every(256 * KiB, 112 * KiB, 48 * KiB, 12 * MiB, discard)], { discard: 'unmap' });
  }),
  state('discard-punched-single', ['discard', 'disk'], async (site) => {
    await site.create(5 * MiB, { cluster_size: 4 * KiB });
    await site.io([write(0, 5 * MiB), ...every(12 * KiB, 4 * KiB, 0, 5 * MiB, discard)], { discard: 'unmap' });
  }),
  state('discard-unpunched', ['discard', 'unpunched', 'disk'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 16 * KiB });
    const commands = [write(0, 12 * MiB), ...every(256 * KiB, 112 * KiB, 48 * KiB, 12 * MiB, discard)];
    await site.io(commands, { discard: 'unmap', driverOptions: ['pass-discard-request=off'] });
  }),
  state('discard-unpunched-and-metadata', ['discard', 'unpunched', 'prealloc', 'disk'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 16 * KiB, preallocation: 'metadata' });
    const commands = [write(0, 4 * MiB), ...every(256 * KiB, 80 * KiB, 48 * KiB, 4 * MiB, discard)];
    await site.io(commands, { discard: 'unmap', driverOptions: ['pass-discard-request=off'] });
  }),
  state('discard-1k-clusters', ['discard', 'unpunched', 'disk'], async (site) => {
    await site.create(2 * MiB, { cluster_size: KiB });
    await site.io([write(0, 2 * MiB), ...every(5 * KiB, 3 * KiB, KiB, 2 * MiB, discard)], { discard: 'unmap' });
  }),
  state('discard-everything', ['discard'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 64 * KiB });
    await site.io([write(0, 8 * MiB), discard(0, 8 * MiB)], { discard: 'unmap' });
  }),
  state('discard-ignored', ['discard'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 64 * KiB });
    await site.io([write(0, 6 * MiB), discard(MiB, 3 * MiB)], { discard: 'ignore' });
  }),
  state('discard-then-written-again', ['discard'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    const first = [write(0, 6 * MiB), ...every(192 * KiB, 80 * KiB, 0, 6 * MiB, discard)];
    await site.io([...first, ...every(384 * KiB, 128 * KiB, 5 * MiB, 8 * MiB)], { discard: 'unmap' });
  }),
];

const compressed: ImageState[] = [
  compresses('compressed-zlib', 64 * KiB, 0.3, {}, ['disk']),
  compresses('compressed-zstd', 64 * KiB, 0.3, { compression_type: 'zstd' }, []),
  compresses('compressed-4k', 4 * KiB, 0.5, {}, []),
  compresses('compressed-2m', 2 * MiB, 0.6, {}, []),
  compresses('compressed-v2', 16 * KiB, 0.4, { compat: '0.10' }, []),
  compresses('compressed-narrow-refcounts', 16 * KiB, 0.05, { refcount_bits: 2 }, []),
  compressesByConvert('compressed-convert-zlib', 'zlib'),
  compressesByConvert('compressed-convert-zstd', 'zstd'),
  state('compressed-overwritten', ['compressed', 'unpunched', 'disk'], async (site) => {
    await site.create(16 * MiB, { cluster_size: 64 * KiB });
    const source = site.dataFileOf('half.bin', 64 * KiB, 0.45);
    await site.io(every(64 * KiB, 64 * KiB, 0, 12 * MiB, (at, length) => writeCompressedFrom(source, at, length)));
    await site.io(every(256 * KiB, 64 * KiB, 64 * KiB, 12 * MiB));
  }),
  state('compressed-discarded', ['compressed', 'discard'], async (site) => {
    await site.create(8 * MiB, { cluster_size: 16 * KiB });
    const source = site.dataFileOf('half.bin', 16 * KiB, 0.7);
    await site.io(every(16 * KiB, 16 * KiB, 0, 6 * MiB, (at, length) => writeCompressedFrom(source, at, length)));
    await site.io(every(128 * KiB, 48 * KiB, 16 * KiB, 6 * MiB, discard), { discard: 'unmap' });
  }),
];

function compresses(
  name: string,
  clusterSize: number,
  incompressibleRatio: number,
  options: Readonly<Record<string, string | number>>,
  tags: readonly string[],
): ImageState {
  return state(name, ['compressed', ...tags], async (site) => {
    const capacity = clusterSize === 4 * KiB ? 4 * MiB : Math.max(8 * MiB, 12 * clusterSize);
    await site.create(capacity, { cluster_size: clusterSize, ...options });
    const source = site.dataFileOf('source.bin', clusterSize, incompressibleRatio);
    const packed = every(4 * clusterSize, clusterSize, 0, capacity, (at, length) => writeCompressedFrom(source, at, length));
    await site.io([...packed, ...every(8 * clusterSize, clusterSize, 2 * clusterSize, capacity)]);
  });
}

function compressesByConvert(name: string, type: 'zlib' | 'zstd'): ImageState {
  return state(name, ['compressed', 'convert'], async (site) => {
    await site.createOther('source.qcow2', 16 * MiB, {}, [
      ...every(MiB, 320 * KiB, 0, 16 * MiB),
      `write -q -s ${site.dataFileOf('noise.bin', MiB, 1)} ${3 * MiB} ${MiB}`,
    ]);
    await site.convertFrom('source.qcow2', ['-c', '-o', `compression_type=${type}`]);
  });
}

const encrypted: ImageState[] = [
  state('luks-fresh', ['luks'], (site) => site.create(8 * MiB, { 'encrypt.format': 'luks' })),
  state('luks-4k-scattered', ['luks'], async (site) => {
    await site.create(4 * MiB, { 'encrypt.format': 'luks', cluster_size: 4 * KiB });
    await site.io(every(28 * KiB, 8 * KiB, 4 * KiB, 4 * MiB));
  }),
  state('luks-snapshot-discard', ['luks', 'snapshot', 'disk'], async (site) => {
    await site.create(8 * MiB, { 'encrypt.format': 'luks', cluster_size: 16 * KiB });
    await site.io(every(80 * KiB, 48 * KiB, 0, 8 * MiB));
    await site.snapshot('-c', 'one');
    await site.io([write(MiB, 2 * MiB), ...every(256 * KiB, 64 * KiB, 0, 8 * MiB, discard)], { discard: 'unmap' });
  }),
];

export const CONTENT_STATES: readonly ImageState[] = [...extended, ...zeroes, ...discards, ...compressed, ...encrypted];

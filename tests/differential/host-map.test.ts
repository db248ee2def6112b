/**
 * What filesystems charge for their own map of a file, in orders of writes made to split it: real QEMU on real filesystems with
 * blocks of 1, 2 and 4 KiB never reaches more than the commitment, and the commitment is not much more than it can reach.
 *
 * By default every filesystem and image meets some of the orders; PLIMSOLL_ALL_ORDERS=1 runs all pairs.
 */
import { copyFileSync, constants, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KiB, MiB } from '#base';
import { type ImageReport, sumOfComponents } from '#wire';
import { sampled } from '../support/depth.ts';
import { canMount, type MountableKind, withFilesystem } from '../support/loop-mount.ts';
import { type Opening, qemuImg, qemuIo } from '../support/qemu.ts';
import { inTurns } from './in-turns.ts';
import { type Examine, loadProduct } from './product.ts';
import { measureFile } from './reached.ts';
import { type Sessions, WRITE_ORDERS } from '../support/write-orders.ts';

const isRoot = canMount('what filesystems charge for their map of a file, in orders made to split it');
const BLOCKS = 4096;

interface TestFilesystem {
  readonly name: string;
  readonly kind: MountableKind;
  readonly block: number;
  readonly mkfs: readonly string[];
  readonly mount?: readonly string[];
  /** How much of the capacity the map may take in the commitment, beside a few blocks. */
  readonly most: number;
}

const ext = (name: string, block: number, most: number, mkfs: readonly string[] = [], mount: readonly string[] = []): TestFilesystem => ({
  ...{ name: `${name}, ${block / KiB} KiB`, kind: 'ext4' as const, block, mkfs: ['-b', String(block), ...mkfs], mount, most },
});
const xfs = (name: string, block: number, most: number, mkfs: readonly string[] = [], mount: readonly string[] = []): TestFilesystem => ({
  ...{ name: `${name}, ${block / KiB} KiB`, kind: 'xfs' as const, block, mkfs: ['-b', `size=${block}`, ...mkfs], mount, most },
});

const FILESYSTEMS: readonly TestFilesystem[] = [
  ext('ext4', 4 * KiB, 0.02),
  ext('ext4', 2 * KiB, 0.04),
  ext('ext4', KiB, 0.07),
  ext('ext4 without checksums', 4 * KiB, 0.02, ['-O', '^metadata_csum']),
  ext('ext4 without extents', 4 * KiB, 0.002, ['-O', '^extents,^64bit']),
  ext('ext4 without delayed allocation', 4 * KiB, 0.02, [], ['nodelalloc']),
  // A node takes a whole cluster.
  ext('ext4 with clusters of 64 KiB', 4 * KiB, 0.35, ['-O', 'bigalloc', '-C', '65536']),
  ext('ext3', KiB, 0.005, ['-t', 'ext3']),
  ext('ext3', 4 * KiB, 0.002, ['-t', 'ext3']),
  ext('ext2', 2 * KiB, 0.003, ['-t', 'ext2']),
  xfs('XFS', 4 * KiB, 0.01),
  xfs('XFS without reflinks', 2 * KiB, 0.02, ['-m', 'reflink=0,rmapbt=0']),
  xfs('XFS', KiB, 0.04),
  xfs('XFS with stripes', 4 * KiB, 0.01, ['-d', 'su=64k,sw=4']),
  xfs('XFS with allocsize', 4 * KiB, 0.01, ['-m', 'rmapbt=1'], ['allocsize=1m']),
  { name: 'btrfs', kind: 'btrfs', block: 4 * KiB, mkfs: [], most: 0 },
  { name: 'tmpfs', kind: 'tmpfs', block: 4 * KiB, mkfs: [], most: 0 },
  { name: 'tmpfs with huge pages', kind: 'tmpfs', block: 4 * KiB, mkfs: ['-o', 'huge=always'], most: 0 },
];

interface Prepared {
  readonly name: string;
  readonly format: 'raw' | 'qcow2';
  make(directory: string, path: string, capacity: number, filesystem: TestFilesystem): Promise<void>;
}

const created = (name: string, format: 'raw' | 'qcow2', options: string): Prepared => ({
  name,
  format,
  make: async (directory, path, capacity) => {
    await qemuImg(directory, 'create', '-q', '-f', format, ...(options === '' ? [] : ['-o', options]), path, String(capacity));
  },
});

const IMAGES: readonly Prepared[] = [
  created('raw', 'raw', ''),
  {
    name: 'sparse file',
    format: 'raw',
    make: async (_directory, path, capacity) => {
      writeFileSync(path, '');
      truncateSync(path, capacity);
    },
  },
  created('raw, preallocated', 'raw', 'preallocation=falloc'),
  {
    name: 'raw, every block shared',
    format: 'raw',
    make: async (_directory, path, capacity, { kind, mkfs }) => {
      writeFileSync(`${path}.original`, new Uint8Array(capacity).fill(7), { flush: true });
      const isShared = kind === 'btrfs' || (kind === 'xfs' && !mkfs.join().includes('reflink=0'));
      copyFileSync(`${path}.original`, path, isShared ? constants.COPYFILE_FICLONE_FORCE : 0);
      rmSync(`${path}.original`);
    },
  },
  created('qcow2', 'qcow2', ''),
  created('qcow2, clusters of 4 KiB', 'qcow2', 'cluster_size=4k'),
  created('qcow2, clusters of 512 bytes', 'qcow2', 'cluster_size=512'),
  created('qcow2, preallocated', 'qcow2', 'preallocation=falloc'),
];

interface Run {
  readonly image: Prepared;
  readonly order: string;
}

/** All pairs, or a share of them that differs from filesystem to filesystem; what the issue names is always among them. */
function runsOn(index: number): Run[] {
  const orders = Object.keys(WRITE_ORDERS);
  const pairs = IMAGES.flatMap((image, row) => orders.map((order, column) => ({ image, order, turn: row * 5 + column })));
  if (process.env['PLIMSOLL_ALL_ORDERS'] === '1') return pairs;
  const isAlways = ({ image, order }: Run): boolean => image.name === 'raw' && order === 'even, then odd descending';
  return pairs.filter((pair) => isAlways(pair) || (pair.turn + index * 7) % (orders.length * 2) === 0);
}

describe.skipIf(!isRoot).each(
  sampled(
    FILESYSTEMS.map((filesystem, index) => ({ filesystem, index })),
    4,
  ),
)('on $filesystem.name', ({ filesystem, index }) => {
  it('no order of writes makes a file exceed its commitment', async () => {
    await using mounted = await withFilesystem(filesystem.kind, 1024 * MiB, filesystem.mkfs, filesystem.mount);
    const examine = await loadProduct();
    const found = await inTurns(2, runsOn(index), (run) => missesOf(run, mounted.path, filesystem, examine));
    expect(found.flat()).toEqual([]);
  });
});

/** What is wrong with the figures of one image in one order, before and between its sessions. */
async function missesOf({ image, order }: Run, directory: string, filesystem: TestFilesystem, examine: Examine): Promise<string[]> {
  const path = join(directory, `${image.name} ${order}`.replaceAll(/[^a-z0-9]+/gi, '-'));
  const capacity = BLOCKS * filesystem.block;
  const name = `${image.name}, ${order}`;
  await image.make(directory, path, capacity, filesystem);
  const reports: ImageReport[] = [await examine(path, image.format)];
  const reached: number[] = [statSync(path).blocks * 512];
  for (const session of (WRITE_ORDERS[order] as (blocks: number) => Sessions)(BLOCKS)) {
    await writeBlocks({ path, format: image.format }, session, filesystem);
    reached.push((await measureFile(path, false)).allocation);
    reports.push(await examine(path, image.format));
  }
  rmSync(path);
  const misses = reports.flatMap((report, at) => {
    // Later, existing blocks count beside new ones.
    const slack = at === 0 ? 1 : 1.6;
    const most = Math.max(...reached.slice(at));
    const commitment = report.commitment ?? 0;
    const ownMap = sumOfComponents(report.components, 'host-map-growth');
    const within = commitment + (report.mapExcess ?? Number.NaN);
    if (!(most <= within)) return [`${name}: ${within} with mapExcess before session ${at + 1}, reached ${most}`];
    if (commitment < most) return [`${name}: ${commitment} before session ${at + 1}, reached ${most} (${commitment - most})`];
    const limit = slack * filesystem.most * 1.05 * capacity + 8 * Math.max(filesystem.block, ownUnit(filesystem));
    return ownMap > limit ? [`${name}: ${ownMap} for the map before session ${at + 1}, expected at most ${limit}`] : [];
  });
  if (process.env['PLIMSOLL_SHOW'] === '1') {
    const map = reports[0]?.components.filter(({ code }) => code.startsWith('host-')).map(({ code, bytes }) => `${code}=${bytes}`);
    console.log(
      `${filesystem.name} | ${name} | ${reports.map((r) => r.commitment).join(' ')} | reached ${reached.join(' ')} | ${map?.join('; ')}`,
    );
  }
  return misses;
}

function ownUnit({ mkfs }: TestFilesystem): number {
  return mkfs.includes('bigalloc') ? 64 * KiB : 0;
}

/** O_DIRECT where the filesystem has it: each request reaches the filesystem by itself, in this order. */
async function writeBlocks(opening: Opening, blocks: readonly number[], { kind, block }: TestFilesystem): Promise<void> {
  const commands = blocks.map((at) => `write -q ${at * block} ${block}`);
  await qemuIo(opening, commands, { cache: kind === 'tmpfs' ? 'unsafe' : 'none' });
}

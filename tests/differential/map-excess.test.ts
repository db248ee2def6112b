/**
 * What a filesystem's map of a file can take in any order of writes, zero writes and discards: real QEMU in orders made to split
 * the map never reaches more than the commitment and `mapExcess` together, and comes near it where it is free to choose.
 */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KiB, MiB } from '#base';
import type { ImageReport } from '#wire';
import { canMount, withFilesystem } from '../support/loop-mount.ts';
import { type Opening, qemuImg, qemuIo } from '../support/qemu.ts';
import { loadProduct } from './product.ts';
import { measureFile } from './reached.ts';
import { chainedOrder, cuttingOrder, splittingOrder } from '../support/write-orders.ts';

const isRoot = canMount('what a map of a file takes in orders made to split it');
/** QEMU 7.2 takes no smaller direct requests on ext4. */
const BLOCK = 4 * KiB;
const BLOCKS = 4096;
const CAPACITY = BLOCKS * BLOCK;
/** Extents in a node. */
const ENTRIES = 340;

/** Commands of one session of qemu-io. */
type Session = readonly string[];

const write = (block: number): string => `write -q ${block * BLOCK} ${BLOCK}`;
const zero = (block: number): string => `write -q -z ${block * BLOCK} ${BLOCK}`;
const discard = (block: number): string => `discard -q ${block * BLOCK} ${BLOCK}`;
const ALL = Array.from({ length: BLOCKS }, (_, block) => block);
const CHAINED = chainedOrder(BLOCKS, ENTRIES, 2).flat();
const EVEN = ALL.filter((block) => block % 2 === 0);
const CUTTING = cuttingOrder(BLOCKS, ENTRIES).flat();
/** One block of each cluster gives it its place; from then on the guest's order is the file's. */
const PLACED = [...ALL.filter((block) => block % 16 === 0), ...CUTTING.filter((block) => block % 16 !== 0)];

interface Attack {
  readonly name: string;
  readonly format: 'raw' | 'qcow2';
  readonly options: string;
  readonly sessions: readonly Session[];
  /** Share of commitment and mapExcess that is reached at the least; left out: QEMU places or joins what the guest writes. */
  readonly near?: number;
}

const ATTACKS: readonly Attack[] = [
  { name: 'a sparse disk', format: 'raw', options: 'preallocation=off', sessions: [CHAINED.map(write)], near: 0.4 },
  { name: 'a preallocated disk', format: 'raw', options: 'preallocation=falloc', sessions: [CUTTING.map(write)], near: 0.3 },
  {
    name: 'a disk that is written whole, by zero writes',
    format: 'raw',
    options: 'preallocation=full',
    sessions: [[`write -q -z 0 ${CAPACITY}`, ...CUTTING.map(write)], EVEN.map(zero)],
    near: 0.4,
  },
  {
    name: 'a disk whose blocks are discarded and written again',
    format: 'raw',
    options: 'preallocation=off',
    sessions: [CHAINED.map(write), [...EVEN.map(discard), ...CHAINED.filter((block) => block % 2 === 0).map(write)]],
    near: 0.4,
  },
  { name: 'clusters of 64 KiB', format: 'qcow2', options: 'cluster_size=64k', sessions: [PLACED.map(write)] },
  { name: 'clusters of 4 KiB', format: 'qcow2', options: 'cluster_size=4k', sessions: [CHAINED.map(write), EVEN.map(zero)] },
  {
    name: 'preallocated clusters',
    format: 'qcow2',
    options: 'cluster_size=64k,preallocation=falloc',
    sessions: [CUTTING.map(write)],
  },
];

describe.skipIf(!isRoot)('on ext4, by an order that splits nodes on several levels', () => {
  it.each(ATTACKS)('$name stays within commitment and mapExcess', async ({ format, options, sessions, near }) => {
    await using mounted = await withFilesystem('ext4', 256 * MiB, ['-b', String(BLOCK), '-m', '0']);
    const image = { path: join(mounted.path, 'image'), format };
    const { report, reached } = await attacked(image, options, sessions);
    const most = (report.commitment ?? 0) + (report.mapExcess ?? 0);
    expect(reached).toBeLessThanOrEqual(most);
    if (near !== undefined) expect(reached / most).toBeGreaterThan(near);
    expect(report.findings).toContainEqual(expect.objectContaining({ code: 'EXT4_MAP_ORDER' }));
  });
});

describe.skipIf(!isRoot)('on ext4, by an order that splits a leaf with each block', () => {
  it('a sparse disk exceeds the commitment, and stays within mapExcess', async () => {
    await using mounted = await withFilesystem('ext4', 128 * MiB, ['-b', '4096']);
    const image = { path: join(mounted.path, 'image'), format: 'raw' } as const;
    const order = splittingOrder(BLOCKS, ENTRIES).flat();
    const { report, reached } = await attacked(image, 'preallocation=off', [order.map(write)]);
    expect(reached).toBeGreaterThan(1.5 * (report.commitment ?? 0));
    expect(reached).toBeLessThanOrEqual((report.commitment ?? 0) + (report.mapExcess ?? 0));
  });
});

describe.skipIf(!isRoot)('on XFS', () => {
  it('a fully written disk exceeds its commitment by zero writes, and stays within mapExcess', async () => {
    await using mounted = await withFilesystem('xfs', 300 * MiB);
    const image = { path: join(mounted.path, 'image'), format: 'raw' } as const;
    const { report, reached } = await attacked(image, 'preallocation=full', [EVEN.map(zero)]);
    expect(report.commitment).toBe(CAPACITY);
    expect(reached).toBeGreaterThan(CAPACITY);
    expect(reached).toBeLessThanOrEqual(CAPACITY + (report.mapExcess ?? 0));
    expect(report.mapExcess).toBeLessThan(0.05 * CAPACITY);
  });
});

describe.skipIf(!isRoot).each(['tmpfs', 'btrfs'] as const)('on %s', (kind) => {
  it('a file takes nothing for its map, in any order of writes', async () => {
    await using mounted = await withFilesystem(kind, 128 * MiB);
    if (kind === 'btrfs') execFileSync('chattr', ['+C', mounted.path]);
    const image = { path: join(mounted.path, 'image'), format: 'raw' } as const;
    const order = splittingOrder(1024, ENTRIES).flat();
    const { report, reached } = await attacked(image, 'preallocation=off', [order.map(write)]);
    expect([report.mapExcess, reached <= (report.commitment ?? 0)]).toEqual([0, true]);
  });
});

/** Makes an image, examines it, writes it; reached is the most that it had after any session. */
async function attacked(
  image: Opening,
  options: string,
  sessions: readonly Session[],
): Promise<{ readonly report: ImageReport; readonly reached: number }> {
  await qemuImg('/', 'create', '-q', '-f', image.format, '-o', options, image.path, String(CAPACITY));
  const report = await (await loadProduct())(image.path, image.format);
  let reached = statSync(image.path).blocks * 512;
  for (const session of sessions) {
    await qemuIo(image, session, { cache: isMemory(image.path) ? 'unsafe' : 'none', discard: 'unmap' });
    reached = Math.max(reached, (await measureFile(image.path, false)).allocation);
  }
  if (process.env['PLIMSOLL_SHOW'] === '1') console.log(image.format, options, report.commitment, report.mapExcess, reached);
  return { report, reached };
}

function isMemory(path: string): boolean {
  return path.includes('-tmpfs-');
}

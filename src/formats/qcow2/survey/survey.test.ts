/** The census against `qemu-img check`, which counts the same clusters in its own way. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { memoryDevice } from '#block';
import { qemuImg, qemuIo, runTool } from '../../../../tests/support/qemu.ts';
import { readHeader } from '../header.ts';
import { type Census, readCensus } from './survey.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-census-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const path = join(directory, 'image.qcow2');

async function censusOf(file: string): Promise<Census> {
  const device = memoryDevice(readFileSync(file));
  return readCensus(device, await readHeader(device));
}

interface Check {
  readonly 'image-end-offset': number;
  readonly 'total-clusters': number;
  readonly 'allocated-clusters'?: number;
  readonly 'compressed-clusters'?: number;
  readonly leaks?: number;
  readonly corruptions?: number;
}

async function check(file: string): Promise<Check> {
  // Leaks and corruptions make qemu-img exit with 2 or 3.
  return JSON.parse(await runTool('sh', ['-c', 'qemu-img check --output=json "$1" 2>/dev/null; test $? -le 3', 'sh', file])) as Check;
}

interface Made {
  readonly options: string;
  readonly size: string;
  readonly commands: readonly string[];
}

const WRITES = ['write -q 0 64k', 'write -q 1M 200k', 'write -q 640k 4k'];

/** Made by qemu-img and qemu-io in the file `path`. */
async function make({ options, size, commands }: Made): Promise<void> {
  await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-o', options, path, size);
  await qemuIo({ path, format: 'qcow2' }, commands);
}

describe('readCensus()', () => {
  it.each<Made>([
    { options: 'cluster_size=512', size: '2M', commands: WRITES },
    { options: 'cluster_size=4k,refcount_bits=1', size: '2M', commands: WRITES },
    { options: 'cluster_size=4k,refcount_bits=2', size: '2M', commands: WRITES },
    { options: 'cluster_size=16k,refcount_bits=8', size: '2M', commands: WRITES },
    { options: 'cluster_size=64k,refcount_bits=64', size: '2M', commands: WRITES },
    { options: 'cluster_size=2M', size: '4M', commands: WRITES },
    { options: 'compat=0.10', size: '2M', commands: WRITES },
    { options: 'extended_l2=on,cluster_size=16k', size: '2M', commands: WRITES },
    { options: 'preallocation=metadata', size: '3M', commands: ['write -q 0 64k'] },
    { options: 'cluster_size=64k', size: '2M', commands: ['write -q 0 1M', 'discard -q 64k 64k', 'discard -q 512k 128k'] },
    { options: 'cluster_size=4k', size: '2M', commands: ['write -q -c 0 4k', 'write -q -c 4k 4k', 'write -q -c 1M 4k', 'write -q 8k 4k'] },
    { options: 'compression_type=zstd', size: '2M', commands: ['write -q -c 0 64k', 'write -q 64k 64k'] },
  ])('agrees on $options, $size', async (made) => {
    await make(made);
    const census = await censusOf(path);
    const judged = await check(path);
    expect(census.guestClusters).toBe(judged['total-clusters']);
    expect(census.used.end() * census.header.clusterSize).toBe(judged['image-end-offset']);
    expect(census.inPlaceCount + census.compressed.count).toBe(judged['allocated-clusters'] ?? 0);
    expect(census.compressed.count).toBe(judged['compressed-clusters'] ?? 0);
    expect(census.needing).toBe(census.guestClusters - census.inPlaceCount);
    expect([census.leakedCount, census.unaccountedCount, census.beyondEnd]).toEqual([0, 0, 0]);
  });

  it('counts zero clusters that hold a place as in place, plain ones as needing', async () => {
    await make({ options: 'cluster_size=64k', size: '1M', commands: ['write -q 0 256k', 'write -q -z 64k 64k', 'write -q -z 512k 64k'] });
    expect(await censusOf(path)).toMatchObject({ inPlaceCount: 4, needing: 12, guestClusters: 16, longestRun: 12 });
  });

  it('after a snapshot needs everything anew, and keeps what the snapshot holds', async () => {
    await make({ options: 'cluster_size=64k', size: '1M', commands: ['write -q 0 256k'] });
    await qemuImg(directory, 'snapshot', '-c', 'first', path);
    const after = await censusOf(path);
    expect(after).toMatchObject({ inPlaceCount: 0, needing: 16, tablesNeeding: 1, leakedCount: 0, unaccountedCount: 0 });
    expect(after.snapshotTable.snapshots).toMatchObject([{ name: 'first', idLength: 1, nameLength: 5, l1Size: 1 }]);
    await qemuIo({ path, format: 'qcow2' }, ['write -q 0 64k']);
    await qemuImg(directory, 'snapshot', '-c', 'second', path);
    await qemuIo({ path, format: 'qcow2' }, ['write -q 64k 64k']);
    const later = await censusOf(path);
    expect(later).toMatchObject({ inPlaceCount: 1, needing: 15, tablesNeeding: 0, leakedCount: 0, unaccountedCount: 0 });
    expect(later.snapshotTable.snapshots.map((one) => one.name)).toEqual(['first', 'second']);
    expect(later.used.end() * 65536).toBe((await check(path))['image-end-offset']);
  });

  it('reads persistent bitmaps', async () => {
    await make({ options: 'cluster_size=64k', size: '64M', commands: [] });
    await qemuImg(directory, 'bitmap', '--add', '-g', '64k', path, 'täglich');
    await qemuImg(directory, 'bitmap', '--add', '--disable', '-g', '1M', path, 'alt');
    await qemuIo({ path, format: 'qcow2' }, ['write -q 1M 64k']);
    const census = await censusOf(path);
    expect(census.bitmaps).toMatchObject([
      { name: 'täglich', tableSize: 1, enabled: true, inUse: false },
      { name: 'alt', tableSize: 1, enabled: false, inUse: false, dataClusters: [], allOnesCount: 0, granularityBits: 20 },
    ]);
    expect(census.bitmaps[0]?.dataClusters).toHaveLength(1);
    expect([census.leakedCount, census.unaccountedCount]).toEqual([0, 0]);
  });

  it('counts the same leaks as qemu-img after a crash', async () => {
    await make({ options: 'cluster_size=4k', size: '4M', commands: ['write -q 0 64k'] });
    await qemuIo({ path, format: 'qcow2' }, ['write -q 1M 1M', 'flush', 'write -q 3M 512k', 'sigraise 9'], { crashes: true });
    const census = await censusOf(path);
    expect(census.leakedCount).toBe((await check(path)).leaks ?? 0);
  });

  it('knows that lazy refcounts are stale after a crash, and counts references instead', async () => {
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on,cluster_size=4k', path, '4M');
    await qemuIo({ path, format: 'qcow2' }, ['write -q 0 1M', 'flush', 'sigraise 9'], { crashes: true });
    const census = await censusOf(path);
    expect(census.header.dirty).toBe(true);
    expect(census.inPlaceCount).toBe(256);
    for (const { start, end } of census.inPlace.runs())
      for (let cluster = start; cluster < end; cluster += 1) expect(census.used.has(cluster)).toBe(true);
  });

  it('leaves stale bitmaps alone, as QEMU does: their clusters are leaks', async () => {
    await make({ options: 'cluster_size=64k', size: '64M', commands: [] });
    await qemuImg(directory, 'bitmap', '--add', path, 'b');
    await runTool('sh', ['-c', `printf '\\0\\0\\0\\0\\0\\0\\0\\0' | dd of="$1" bs=1 seek=88 conv=notrunc status=none`, 'sh', path]);
    const census = await censusOf(path);
    expect(census.bitmaps).toEqual([]);
    expect(census.leakedCount).toBe((await check(path)).leaks);
  });
});

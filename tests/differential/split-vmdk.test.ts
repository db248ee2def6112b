/** Flat and split VMDK against QEMU itself: stores of them, filled to the last byte, on tmpfs. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { scan } from '#pool';
import { examineImage } from '#sandbox';
import type { StoreReport } from '#wire';
import { runTool } from '../support/qemu.ts';
import { Prng } from './prng.ts';

const root = mkdtempSync('/dev/shm/plimsoll-split-vmdk-');
afterAll(() => rmSync(root, { recursive: true, force: true }));

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

async function theStore(directory: string): Promise<StoreReport> {
  for await (const event of scan([directory])) if (event.type === 'report') return event.report.stores[0] as StoreReport;
  throw new Error('the scan ended without a report');
}

const storedIn = (directory: string): number =>
  readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).blocks * 512, 0);

async function make(subformat: string, capacity: number): Promise<string> {
  const directory = mkdtempSync(join(root, 'store-'));
  await runTool('qemu-img', ['create', '-q', '-f', 'vmdk', '-o', `subformat=${subformat}`, join(directory, 'disk.vmdk'), String(capacity)]);
  return directory;
}

const write = (directory: string, commands: readonly string[]): Promise<string> =>
  runTool('qemu-io', ['-f', 'vmdk', join(directory, 'disk.vmdk')], { input: `${commands.join('\n')}\n` });

describe.each([
  ['monolithicFlat', 5 * MiB + 512, 1, 'raw'],
  ['twoGbMaxExtentFlat', 2 * GiB + 3 * MiB, 2, 'raw'],
  ['twoGbMaxExtentSparse', 2 * GiB + 3 * MiB, 2, 'vmdk'],
] as const)('a VMDK of type %s', (subformat, capacity, count, format) => {
  it('has the capacity of the whole disk, and its extent files as links', async () => {
    const directory = await make(subformat, capacity);
    const report = await examineImage(join(directory, 'disk.vmdk'));
    expect(report).toMatchObject({ format: 'vmdk', capacity, commitment: 4096, details: { subformat, extentFiles: count } });
    expect(report.error).toBeUndefined();
    expect(report.chain).toHaveLength(count);
    for (const link of report.chain) expect(link).toMatchObject({ role: 'data', status: 'opened', format });
    expect(report.findings.map(({ code }) => code)).toEqual(['VMDK_EXTENT_FILES']);
  });

  it('is read when QEMU has stored a shorter content ID, which leaves the end of the older text after a NUL', async () => {
    const directory = await make(subformat, capacity);
    const path = join(directory, 'disk.vmdk');
    const before = readFileSync(path);
    const shorter = before.toString('latin1').replace(/CID=[0-9a-f]{8}/, 'CID=a1b2c3');
    writeFileSync(path, Buffer.from(`${shorter}\0`, 'latin1'), { flag: 'r+' });
    expect(statSync(path).size).toBe(before.length);
    await runTool('qemu-img', ['info', '-f', 'vmdk', path]);
    const report = await examineImage(path);
    expect([report.error, report.capacity]).toEqual([undefined, capacity]);
    // Anything else after a NUL could be another disk for another reader.
    writeFileSync(path, Buffer.from(`${shorter}\0RW 1 FLAT "x" 0\n`, 'latin1'));
    expect((await examineImage(path)).error).toMatchObject({ code: 'VMDK_DESCRIPTOR_BYTES' });
  });

  it('counts once in a store, which real writes fill to its commitment and no further', { timeout: 600_000 }, async () => {
    const directory = await make(subformat, capacity);
    await write(directory, ['write -q -P 1 1M 100k', `write -q -P 2 ${capacity - 512} 512`]);
    const before = await theStore(directory);
    expect(before.images).toHaveLength(count + 1);
    expect(before.images.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(before.findings.map(({ code }) => code)).not.toContain('IMAGES_UNREADABLE');
    // Whole disks of gigabytes would be too slow: only their ends and boundaries.
    const most = before.images.reduce((sum, { commitment }) => sum + (commitment ?? 0), 0);
    expect(before.commitment).toBe(most);
    const isSmall = capacity < GiB;
    const pieces = Array.from({ length: Math.ceil(Math.min(capacity, 8 * MiB) / 65_536) }, (_, index) => index * 65_536);
    const places = isSmall ? pieces : pieces.map((at) => capacity - 8 * MiB + at);
    const writes = new Prng(capacity).shuffled(places).map((at) => `write -q -P 7 ${at} ${Math.min(65_536, capacity - at)}`);
    await write(directory, writes);
    const stored = storedIn(directory);
    const after = await theStore(directory);
    expect(after.allocation).toBe(stored);
    expect(stored).toBeLessThanOrEqual(most);
    expect(after.commitment).toBe(most);
    if (isSmall) expect(most - stored).toBeLessThanOrEqual(4096);
  });
});

it('fills a short flat extent to the offset and length of its line, and a sparse extent to its commitment', {
  timeout: 600_000,
}, async () => {
  const flat = await make('monolithicFlat', 4 * MiB);
  truncateSync(join(flat, 'disk-flat.vmdk'), MiB);
  const [link] = (await examineImage(join(flat, 'disk.vmdk'))).chain;
  expect(link).toMatchObject({ length: MiB, reach: 4 * MiB, commitment: 4 * MiB });
  expect((await theStore(flat)).commitment).toBe(4 * MiB + 4096);
  await write(flat, ['write -q -P 7 0 4M']);
  expect(storedIn(flat)).toBe(4 * MiB + 4096);

  const sparse = await make('twoGbMaxExtentSparse', 5 * MiB + 512);
  const { commitment } = await theStore(sparse);
  await write(sparse, ['write -q -P 7 3M 64k', `write -q -P 7 0 ${5 * MiB + 512}`]);
  expect(storedIn(sparse)).toBeLessThanOrEqual(commitment ?? 0);
  expect((commitment ?? 0) - storedIn(sparse)).toBeLessThanOrEqual(2 * 4096);
});

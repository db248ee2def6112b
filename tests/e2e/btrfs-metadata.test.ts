/** btrfs without copy-on-write: every 4 KiB of data can need metadata of its own, and a yes leaves room for it. QEMU is the judge. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ScanReport } from '#wire';
import { plimsoll } from '../support/command.ts';
import { sampled } from '../support/depth.ts';
import { canMount, withFilesystem } from '../support/loop-mount.ts';

const MiB = 2 ** 20;
const CAPACITY = 200 * MiB;
const PIECE = 4096;
const LITTLE = 8 * MiB;
/** Of the headroom at a time: a chunk that goes to data can take more from it than its bytes. */
const TAKEN = 0.93;

async function headroomOf(directory: string): Promise<number | null | undefined> {
  const { stdout } = await plimsoll(['scan', '--json', directory]);
  return (JSON.parse(stdout) as ScanReport).stores[0]?.headroom;
}

/** Takes space beside the store until little headroom remains, and leaves it a yes. */
async function fillBeside(path: string, store: string): Promise<void> {
  for (let round = 0; round < 6; round += 1) {
    const headroom = (await headroomOf(store)) ?? 0;
    if (headroom < LITTLE) return;
    const file = join(path, `beside-${round}`);
    spawnSync('fallocate', ['-l', String(Math.floor((headroom * TAKEN) / PIECE) * PIECE), file]);
    execFileSync('sync', ['-f', path]);
    if (((await headroomOf(store)) ?? 0) >= 0) continue;
    rmSync(file);
    execFileSync('sync', ['-f', path]);
    return;
  }
}

/** Every piece once, in an order that keeps neighbours apart. */
function scatteredWrites(): string {
  const count = CAPACITY / PIECE;
  const places = Array.from({ length: count }, (_, at) => ((at * 7919) % count) * PIECE);
  return [...places.map((place) => `write -q ${place} ${PIECE}`), 'flush', ''].join('\n');
}

describe.skipIf(!canMount('btrfs with little space for metadata'))('btrfs whose metadata has little room', () => {
  it.each(
    sampled<[string, number, string[]]>(
      [
        ['in chunks of its own', 1200 * MiB, ['-m', 'single', '-d', 'single']],
        ['in mixed block groups', 600 * MiB, ['--mixed']],
      ],
      2,
    ),
  )('%s: a yes holds for 4 KiB writes in any order', async (_where, size, words) => {
    await using filesystem = await withFilesystem('btrfs', size, words);
    const store = join(filesystem.path, 'store');
    mkdirSync(store);
    execFileSync('chattr', ['+C', store]);
    const image = join(store, 'disk.raw');
    execFileSync('qemu-img', ['create', '-q', '-f', 'raw', image, String(CAPACITY)]);
    await fillBeside(filesystem.path, store);
    const { code, stdout } = await plimsoll(['scan', '--json', store]);
    const found = (JSON.parse(stdout) as ScanReport).stores[0]?.findings.map((finding) => finding.code);
    expect([code, found]).toEqual([0, expect.arrayContaining(['BTRFS_METADATA_LIMIT'])]);
    const written = spawnSync('qemu-io', ['-f', 'raw', image], { input: scatteredWrites(), encoding: 'utf8', maxBuffer: 64 * MiB });
    expect(`${written.stdout}${written.stderr}`.replaceAll('qemu-io> ', '').trim()).toBe('');
    expect(written.status).toBe(0);
  });
});

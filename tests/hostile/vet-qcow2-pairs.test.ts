/**
 * Each entry of an image of QEMU's own making leads, one at a time, to a cluster of each other structure: alone, with the
 * refcount raised so that it counts both references, and with COPIED. What a verdict lets pass `qemu-img check` must call sound.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { judgeBytes } from './attach/hold.ts';
import { addRefcount } from './attach/mutate.ts';
import { layoutOf, type Place } from './attach/places.ts';

const directory = mkdtempSync('/dev/shm/plimsoll-pairs-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const COPIED = 1n << 63n;

/** Compressed data, guest data, two snapshots, a bitmap with data: every structure but an encryption header. */
function imageOfAllStructures(version: '0.10' | '1.1'): Buffer {
  const path = join(directory, 'all.qcow2');
  const raw = join(directory, 'all.raw');
  const text = Buffer.alloc(2 ** 20);
  text.fill('a line of a log. ', 0, 20_000);
  writeFileSync(raw, text);
  const qemuImg = (...words: readonly string[]): unknown => execFileSync('qemu-img', words, { stdio: 'ignore' });
  const write = (...commands: readonly string[]): unknown =>
    execFileSync('qemu-io', ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), path], { stdio: 'ignore' });
  qemuImg('convert', '-c', '-O', 'qcow2', '-o', `compat=${version},cluster_size=4096`, raw, path);
  write('write -P 1 400k 40k', 'write -P 2 600k 8k');
  qemuImg('snapshot', '-c', 'one', path);
  write('write -P 3 404k 8k');
  qemuImg('snapshot', '-c', 'two', path);
  write('write -P 4 408k 12k', 'write -P 5 900k 4k');
  if (version === '1.1') {
    qemuImg('bitmap', '--add', '-g', '512', path, 'dirty');
    write('write -P 6 500k 8k', 'write -P 7 900k 4k');
  }
  return readFileSync(path);
}

function checkCode(bytes: Buffer): number | null {
  const path = join(directory, 'checked.qcow2');
  writeFileSync(path, bytes);
  return spawnSync('qemu-img', ['check', '-f', 'qcow2', path], { stdio: 'ignore' }).status;
}

/** Two of each kind, the first and the last. */
function some<T extends { readonly kind: string }>(all: readonly T[]): T[] {
  return [...new Set(all.map(({ kind }) => kind))].flatMap((kind) => {
    const these = all.filter((one) => one.kind === kind);
    return [...new Set([these[0], these.at(-1)])].filter((one) => one !== undefined);
  });
}

it.each(['0.10', '1.1'] as const)(
  'a verdict lets no pair of structures share a cluster, compat %s',
  async (version) => {
    const image = imageOfAllStructures(version);
    expect((await judgeBytes(image)).verdict).toBe('safe');
    const layout = layoutOf(image);
    const entries = some(layout.places.filter((place: Place) => place.width === 8 && place.kind.endsWith(' entry')));
    const targets = some(layout.clusters);
    const kinds = new Set(targets.map(({ kind }) => kind));
    expect(kinds.size).toBeGreaterThanOrEqual(version === '1.1' ? 12 : 9);
    let refused = 0;
    for (const { kind, at } of entries) {
      for (const { kind: held, cluster } of targets) {
        for (const [more, flag] of [
          [0, 0n],
          [1, 0n],
          [1, COPIED],
        ] as const) {
          const bytes = Buffer.from(image);
          bytes.writeBigUInt64BE(BigInt(cluster * layout.clusterSize) | flag, at);
          addRefcount(bytes, layout, cluster, more);
          if (bytes.equals(image)) continue;
          const { verdict } = await judgeBytes(bytes);
          if (verdict !== 'safe') refused += 1;
          else
            expect([0, 3], `${kind} at ${at} -> ${held} in cluster ${cluster}, refcount +${more}, flag ${flag}`).toContain(
              checkCode(bytes),
            );
        }
      }
    }
    expect(refused).toBeGreaterThan(300);
  },
  240_000,
);

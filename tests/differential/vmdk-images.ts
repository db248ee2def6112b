/** VMDK images for the comparison with QEMU, made by QEMU's own tools. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { qemuImg, runTool } from '../support/qemu.ts';
import { Prng } from './prng.ts';

export const GRAIN = 65536;

export interface VmdkSite {
  readonly directory: string;
  readonly image: string;
}

/** One way to make an image at `site.image`. */
export interface VmdkState {
  readonly name: string;
  readonly build: (site: VmdkSite) => Promise<void>;
}

/** Runs qemu-io on a VMDK, one command a line; the commands must be quiet (`-q`). */
export async function vmdkIo(path: string, commands: readonly string[], cache = 'unsafe'): Promise<void> {
  const output = await runTool('qemu-io', ['-t', cache, '-f', 'vmdk', path], { input: `${commands.join('\n')}\n` });
  const failures = output.replaceAll('qemu-io> ', '').trim();
  if (failures !== '') throw new Error(`qemu-io ${path}: ${failures.slice(0, 500)}`);
}

async function create({ directory, image }: VmdkSite, options: string, capacity: number): Promise<void> {
  await qemuImg(directory, 'create', '-q', '-f', 'vmdk', ...(options === '' ? [] : ['-o', options]), image, String(capacity));
}

async function convert({ directory, image }: VmdkSite, options: string, raw: Uint8Array): Promise<void> {
  const source = join(directory, 'source.raw');
  writeFileSync(source, raw);
  await qemuImg(directory, 'convert', '-f', 'raw', '-O', 'vmdk', '-o', options, source, image);
}

/** A disk with islands of bytes that compress well, badly and not at all, and holes between them. */
export function islands(seed: number, capacity: number): Uint8Array {
  const prng = new Prng(seed);
  const raw = new Uint8Array(capacity);
  for (let at = 0; at < capacity; ) {
    const end = Math.min(capacity, at + 512 * (1 + prng.below(300)));
    const kind = prng.below(4);
    if (kind === 1) raw.fill(prng.below(256), at, end);
    else if (kind === 2) raw.set(prng.bytes(end - at), at);
    else if (kind === 3) for (let index = at; index < end; index += 1) raw[index] = prng.below(4);
    at = end;
  }
  return raw;
}

/** Writes at random places, in one to three sessions. */
async function history(path: string, seed: number, capacity: number, hasZeros: boolean): Promise<void> {
  const prng = new Prng(seed);
  for (let session = prng.below(3); session >= 0; session -= 1) {
    const commands = Array.from({ length: 2 + prng.below(12) }, () => {
      const sector = prng.below(capacity / 512);
      const sectors = Math.min(1 + prng.below(400), capacity / 512 - sector);
      if (!hasZeros || prng.chance(0.6)) return `write -q -P ${1 + prng.below(255)} ${sector * 512} ${sectors * 512}`;
      return `write -q -z ${sector * 512} ${sectors * 512}`;
    });
    await vmdkIo(path, commands);
  }
}

const MiB = 2 ** 20;
/** Around a grain, around a grain table (32 MiB), and in between. */
const CAPACITIES = [512, GRAIN, GRAIN + 512, 3 * MiB + 5 * 512, 32 * MiB, 32 * MiB + 512, 70 * MiB + 511 * 512];

export const SPARSE_STATES: readonly VmdkState[] = [
  ...CAPACITIES.flatMap((capacity) => [
    { name: `sparse, new, ${capacity}`, build: (site: VmdkSite) => create(site, '', capacity) },
    {
      name: `sparse, written, ${capacity}`,
      build: async (site: VmdkSite): Promise<void> => {
        await create(site, 'subformat=monolithicSparse', capacity);
        await history(site.image, capacity % 1009, capacity, false);
      },
    },
  ]),
  ...Array.from({ length: 6 }, (_, seed) => ({
    name: `sparse, zeroed grains, ${seed}`,
    build: async (site: VmdkSite): Promise<void> => {
      await create(site, 'zeroed_grain=on', 40 * MiB + seed * 512);
      await history(site.image, seed, 40 * MiB, true);
    },
  })),
  { name: 'sparse, converted', build: (site) => convert(site, 'subformat=monolithicSparse', islands(1, 5 * MiB + 1536)) },
  {
    name: 'sparse, end inside of a grain',
    build: async (site): Promise<void> => {
      await create(site, '', 8 * MiB);
      await vmdkIo(site.image, ['write -q 1M 3M']);
      writeFileSync(site.image, Buffer.concat([readFileSync(site.image), Buffer.alloc(1000)]));
    },
  },
  {
    name: 'sparse, full',
    build: async (site): Promise<void> => {
      await create(site, '', 2 * MiB + 512);
      await vmdkIo(site.image, [`write -q 0 ${2 * MiB + 512}`]);
    },
  },
];

export const STREAM_STATES: readonly VmdkState[] = [
  { name: 'stream, new', build: (site) => create(site, 'subformat=streamOptimized', 3 * MiB + 512) },
  ...Array.from({ length: 5 }, (_, seed) => ({
    name: `stream, converted, ${seed}`,
    build: (site: VmdkSite) => convert(site, 'subformat=streamOptimized', islands(seed + 10, 2 * MiB + seed * 512)),
  })),
  {
    name: 'stream, written in sessions',
    build: async (site): Promise<void> => {
      await create(site, 'subformat=streamOptimized', 40 * MiB);
      await vmdkIo(site.image, [`write -q -P 1 ${3 * GRAIN} ${2 * GRAIN}`, `write -q -P 2 38M ${GRAIN}`]);
      await vmdkIo(site.image, [`write -q -P 3 0 ${GRAIN}`]);
    },
  },
  { name: 'stream, full', build: (site) => convert(site, 'subformat=streamOptimized', new Uint8Array(MiB).fill(5)) },
];

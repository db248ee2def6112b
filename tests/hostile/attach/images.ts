/** qcow2 images by `qemu-img` in every option that it takes, with data, snapshots and bitmaps, as bytes in memory. */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Prng } from '../../differential/prng.ts';

export interface MadeImage {
  readonly options: string;
  readonly bytes: Buffer;
}

const PREALLOCATIONS = ['off', 'off', 'off', 'metadata', 'falloc', 'full'] as const;

/** One image; the files in `directory` that it took are removed. */
export function makeImage(prng: Prng, directory: string): MadeImage {
  const path = join(directory, 'made.qcow2');
  const { words, clusterSize, capacity, isVersion3, canCompress } = chooseOptions(prng);
  qemuImg('create', '-q', '-f', 'qcow2', '-o', words.join(','), path, String(capacity));
  const done = [words.join(',')];
  if (canCompress && prng.chance(0.3)) done.push(compressInto(prng, directory, path, words, capacity));
  for (let step = prng.below(4); step > 0; step -= 1) {
    write(prng, path, capacity, clusterSize);
    const kind = prng.below(4);
    if (kind === 0) done.push(snapshot(prng, path));
    if (kind === 1 && isVersion3) done.push(bitmap(prng, path));
  }
  const bytes = readFileSync(path);
  rmSync(path);
  return { options: done.join(' '), bytes };
}

interface Options {
  readonly words: string[];
  readonly clusterSize: number;
  readonly capacity: number;
  readonly isVersion3: boolean;
  readonly canCompress: boolean;
}

function chooseOptions(prng: Prng): Options {
  const isVersion3 = prng.chance(0.85);
  const isExtended = isVersion3 && prng.chance(0.2);
  const clusterSize = 2 ** (isExtended ? 14 + prng.below(4) : prng.pick([9, 9, 10, 12, 12, 14, 16, 16, 21]));
  const sectors = prng.pick([1, 7, 64, 128, 700, 2048, 8192]) + prng.below(3);
  const capacity = Math.min(sectors * 512, 16 * clusterSize * 64);
  const words = [`compat=${isVersion3 ? '1.1' : '0.10'}`, `cluster_size=${clusterSize}`];
  if (isVersion3) words.push(`refcount_bits=${2 ** prng.below(7)}`, `lazy_refcounts=${prng.pick(['on', 'off'])}`);
  if (isVersion3) words.push(`compression_type=${prng.pick(['zlib', 'zlib', 'zstd'])}`);
  if (isExtended) words.push('extended_l2=on');
  words.push(`preallocation=${prng.pick(PREALLOCATIONS)}`);
  const canCompress = !words.includes('lazy_refcounts=on');
  return { words, clusterSize, capacity, isVersion3, canCompress };
}

/** The image anew, with every cluster of data compressed. */
function compressInto(prng: Prng, directory: string, path: string, words: readonly string[], capacity: number): string {
  const source = join(directory, 'made.raw');
  const text = Buffer.alloc(capacity);
  for (let at = 0; at < capacity; at += 4096)
    if (prng.chance(0.6)) text.fill(`${prng.below(1000)} lines of a log. `, at, Math.min(capacity, at + 4096));
  writeFileSync(source, text);
  const options = words.filter((word) => !word.startsWith('preallocation')).join(',');
  try {
    qemuImg('convert', '-q', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, source, path);
    return 'compressed';
  } finally {
    rmSync(source);
  }
}

function write(prng: Prng, path: string, capacity: number, clusterSize: number): void {
  const commands: string[] = [];
  for (let count = 1 + prng.below(4); count > 0; count -= 1) {
    const offset = prng.below(Math.ceil(capacity / 512)) * 512;
    const length = Math.min(capacity - offset, (1 + prng.below(Math.ceil((3 * clusterSize) / 512))) * 512);
    const rounded = length - (length % 512);
    if (rounded <= 0) continue;
    commands.push(
      '-c',
      prng.pick([`write -P ${1 + prng.below(255)} ${offset} ${rounded}`, `write -z ${offset} ${rounded}`, `discard ${offset} ${rounded}`]),
    );
  }
  if (commands.length > 0) execFileSync('qemu-io', ['-f', 'qcow2', '-d', 'unmap', ...commands, path], { stdio: 'ignore' });
}

/** Fails where refcounts are too narrow: then there is none. */
function snapshot(prng: Prng, path: string): string {
  return tried(['snapshot', '-c', `s${prng.below(100)}`, path]) ? 'snapshot' : '';
}

function bitmap(prng: Prng, path: string): string {
  const words = ['bitmap', '--add', '-g', String(2 ** (9 + prng.below(8))), path, `b${prng.below(100)}`];
  return tried(words) ? 'bitmap' : '';
}

function tried(words: readonly string[]): boolean {
  try {
    execFileSync('qemu-img', words, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function qemuImg(...words: readonly string[]): void {
  execFileSync('qemu-img', words, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/**
 * The guest's bytes of qcow2 and raw images and of chains of both, against QEMU: bytes as `qemu-img convert` gives them,
 * extents as `qemu-img map` tells them.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ReadableDevice, readUpTo } from '#block';
import { hasQcow2Magic, openQcow2, openRaw, readQcow2Header } from '#formats';
import { newHostCache, openImageFile, type OpenFile } from '#host';
import { qemuImg, qemuIo, runTool } from '../support/qemu.ts';
import { convertByQemu, extentsOf, firstDifference, mapByQemu } from './guest-view.ts';
import { Prng } from './prng.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

const root = mkdtempSync(join(tmpdir(), 'plimsoll-qcow2-reader-'));
const opened: OpenFile[] = [];
afterAll(async () => {
  for (const file of opened) await file.close();
  rmSync(root, { recursive: true, force: true });
});

const cache = newHostCache();

/** The image at `path` with its chain and data file, as someone would open it who trusts the names in it. */
async function openChain(path: string, format: 'qcow2' | 'raw', snapshot?: string): Promise<ReadableDevice> {
  const file = await openImageFile(Buffer.from(path), { cache });
  opened.push(file);
  if (format === 'raw') return openRaw(file.device, (await file.facts()).map);
  const header = await readQcow2Header(file.device);
  const beside = (name: string): string => resolve(join(path, '..'), name);
  const backing = header.backingFile === undefined ? undefined : await openBacking(beside(header.backingFile));
  const dataFile = header.dataFileName === undefined ? undefined : await openChain(beside(header.dataFileName), 'raw');
  return openQcow2(file.device, header, { backing, dataFile, snapshot });
}

async function openBacking(path: string): Promise<ReadableDevice> {
  const file = await openImageFile(Buffer.from(path), { cache });
  const isQcow2 = hasQcow2Magic(await readUpTo(file.device, 0, 512));
  await file.close();
  return openChain(path, isQcow2 ? 'qcow2' : 'raw');
}

let directories = 0;
function newDirectory(): string {
  directories += 1;
  const directory = join(root, String(directories));
  mkdirSync(directory);
  return directory;
}

/** Both judgements: every byte, every extent; and the extents of a part. */
async function expectAgreement(path: string, format: 'qcow2' | 'raw' = 'qcow2'): Promise<ReadableDevice> {
  // Data that is written and not yet stored has no offset that a map could report.
  await runTool('sync', ['-f', path]);
  const image = await openChain(path, format);
  const expected = await mapByQemu(path, format);
  expect(await extentsOf(image)).toEqual(expected);
  const [start, end] = [Math.floor(image.byteLength / 3), Math.floor((image.byteLength * 2) / 3)];
  const part = expected
    .filter((extent) => extent.end > start && extent.start < end)
    .map((extent) => {
      const from = Math.max(start, extent.start);
      const fileOffset = extent.fileOffset === undefined ? undefined : extent.fileOffset + from - extent.start;
      return { ...extent, start: from, end: Math.min(end, extent.end), fileOffset };
    });
  expect(await extentsOf(image, start, end)).toEqual(part);
  expect(await firstDifference(image, await convertByQemu(path, format), 333_333, 1)).toBeUndefined();
  return image;
}

interface Geometry {
  readonly options: string;
  readonly clusterSize: number;
  readonly capacity: number;
  /** Version 2 has no zero clusters; discards then unmap. */
  readonly version: 2 | 3;
  readonly extendedL2: boolean;
}

function geometry(clusterBits: number, capacity: number, version: 2 | 3 = 3, extendedL2 = false, more = ''): Geometry {
  const options = `cluster_size=${2 ** clusterBits},compat=${version === 2 ? '0.10' : '1.1'}${extendedL2 ? ',extended_l2=on' : ''}${more}`;
  return { options, clusterSize: 2 ** clusterBits, capacity, version, extendedL2 };
}

/** Writes, zeros and discards at random places, sector-aligned. */
function randomWrites({ clusterSize, capacity }: Geometry, seed: number, count: number): string[] {
  const random = new Prng(seed);
  const sectors = capacity / 512;
  return Array.from({ length: count }, () => {
    const at = random.below(sectors) * 512;
    const most = random.pick([clusterSize / 4, clusterSize, 3 * clusterSize, 40 * clusterSize]);
    const length = Math.min(capacity - at, 512 * (1 + random.below(Math.min(8192, Math.max(1, most / 512)))));
    const cluster = Math.floor(at / clusterSize) * clusterSize;
    const kind = random.below(10);
    if (kind < 6) return `write -q -P ${1 + random.below(255)} ${at} ${length}`;
    if (kind === 6) return `write -q -z ${at} ${length}`;
    if (kind === 7) return `write -q -z -u ${cluster} ${Math.min(clusterSize, capacity - cluster)}`;
    return `discard -q ${cluster} ${Math.min(2 * clusterSize, capacity - cluster)}`;
  });
}

/** Compressed writes, each to a cluster of its own: QEMU compresses only where nothing is. */
function compressedWrites({ clusterSize, capacity }: Geometry, seed: number, count: number): string[] {
  const random = new Prng(seed);
  const clusters = new Set(Array.from({ length: count }, () => random.below(Math.floor(capacity / clusterSize))));
  return [...clusters].map((cluster) => `write -q -c -P ${1 + random.below(255)} ${cluster * clusterSize} ${clusterSize}`);
}

async function makeWritten(path: string, chosen: Geometry, seed: number, count = 40, backing: readonly string[] = []): Promise<string> {
  const capacity = String(chosen.capacity);
  await qemuImg(join(path, '..'), 'create', '-q', '-f', 'qcow2', '-o', chosen.options, ...backing, path, capacity);
  const canCompress = !/data_file|preallocation/.test(chosen.options);
  const commands = [...(canCompress ? compressedWrites(chosen, seed, count / 2) : []), ...randomWrites(chosen, seed, count)];
  await qemuIo({ path, format: 'qcow2' }, commands, { discard: 'unmap' });
  return path;
}

/** Text that a compressor shortens to different lengths, with zeros and with noise in between. */
function mixedContent(byteLength: number, seed: number): Uint8Array {
  const random = new Prng(seed);
  const content = new Uint8Array(byteLength);
  for (let at = 0; at < byteLength; at += 16 * KiB) {
    const end = Math.min(byteLength, at + 16 * KiB);
    const kind = random.below(4);
    if (kind === 0) continue;
    const words = random.bytes(kind === 1 ? 16 * KiB : 16 + random.below(900));
    for (let place = at; place < end; place += words.byteLength) content.set(words.subarray(0, end - place), place);
  }
  return content;
}

const ODD = 3 * 512;

const GEOMETRIES: readonly [string, Geometry][] = [
  ['clusters of 512 bytes', geometry(9, MiB + ODD)],
  ['clusters of 1 KiB, version 2', geometry(10, 2 * MiB + ODD, 2)],
  ['clusters of 4 KiB', geometry(12, 8 * MiB + ODD)],
  ['clusters of 64 KiB', geometry(16, 24 * MiB + ODD)],
  ['clusters of 64 KiB, version 2', geometry(16, 24 * MiB, 2)],
  ['clusters of 256 KiB', geometry(18, 40 * MiB + ODD)],
  ['clusters of 2 MiB', geometry(21, 64 * MiB - ODD)],
  ['clusters of 2 MiB, version 2', geometry(21, 33 * MiB + ODD, 2)],
  ['extended L2, clusters of 16 KiB', geometry(14, 4 * MiB + ODD, 3, true)],
  ['extended L2, clusters of 64 KiB', geometry(16, 16 * MiB + ODD, 3, true)],
  ['extended L2, clusters of 2 MiB', geometry(21, 33 * MiB + ODD, 3, true)],
  ['compressed by zstd', geometry(16, 16 * MiB + ODD, 3, false, ',compression_type=zstd')],
  ['preallocated', geometry(16, 16 * MiB + ODD, 3, false, ',preallocation=metadata')],
  ['external data file', geometry(16, 16 * MiB + ODD, 3, false, ',data_file=data.bin')],
  ['external data file, raw', geometry(16, 16 * MiB + ODD, 3, false, ',data_file=data.bin,data_file_raw=on')],
  ['external data file, extended L2', geometry(16, 16 * MiB + ODD, 3, true, ',data_file=data.bin')],
];

describe('qcow2, against QEMU', () => {
  it.each(GEOMETRIES)('written at random: %s', async (_, chosen) => {
    for (const seed of [1, 2]) await expectAgreement(await makeWritten(join(newDirectory(), 'image.qcow2'), chosen, seed));
  });

  it('an image of no bytes, and one of one sector', async () => {
    for (const capacity of [0, 512]) {
      const path = join(newDirectory(), 'image.qcow2');
      await qemuImg(root, 'create', '-q', '-f', 'qcow2', path, String(capacity));
      await expectAgreement(path);
    }
  });

  it.each([
    ['zlib', 9, 1],
    ['zlib', 12, 4],
    ['zlib', 16, 8],
    ['zlib', 21, 24],
    ['zstd', 9, 1],
    ['zstd', 12, 4],
    ['zstd', 16, 8],
    ['zstd', 21, 24],
  ])('compressed by qemu-img: %s, cluster_bits %i', async (compression, bits, mebibytes) => {
    const directory = newDirectory();
    const [raw, path] = [join(directory, 'source.raw'), join(directory, 'image.qcow2')];
    writeFileSync(raw, mixedContent(mebibytes * MiB + 1000, bits));
    const options = `cluster_size=${2 ** bits},compression_type=${compression}`;
    await qemuImg(directory, 'convert', '-f', 'raw', '-O', 'qcow2', '-c', '-o', options, raw, path);
    const image = await expectAgreement(path);
    expect((await extentsOf(image)).some(({ compressed }) => compressed)).toBe(true);
  });

  it('compressed with extended L2', async () => {
    const directory = newDirectory();
    const [raw, path] = [join(directory, 'source.raw'), join(directory, 'image.qcow2')];
    writeFileSync(raw, mixedContent(6 * MiB, 5));
    await qemuImg(directory, 'convert', '-f', 'raw', '-O', 'qcow2', '-c', '-o', 'extended_l2=on', raw, path);
    await qemuIo({ path, format: 'qcow2' }, ['write -q -P 9 100k 3k', 'write -q -P 8 1M 200k', 'write -q -z 2M 17k']);
    await expectAgreement(path);
  });

  it.each([
    ['shorter than its base', 5 * MiB + ODD],
    ['longer than its base', 24 * MiB + ODD],
  ])('an overlay %s', async (_, capacity) => {
    for (const extendedL2 of [false, true]) {
      const directory = newDirectory();
      const base = await makeWritten(join(directory, 'base.qcow2'), geometry(12, 9 * MiB + ODD), 3);
      const top = geometry(16, capacity, 3, extendedL2);
      await expectAgreement(await makeWritten(join(directory, 'top.qcow2'), top, 4, 12, ['-b', base, '-F', 'qcow2']));
    }
  });

  it('a chain of four: qcow2 on version 2 on extended L2 on raw, each of another length', async () => {
    const directory = newDirectory();
    const raw = join(directory, 'base.raw');
    writeFileSync(raw, mixedContent(6 * MiB + 100, 7));
    truncateSync(raw, 11 * MiB + 1000);
    const third = geometry(16, 14 * MiB, 3, true);
    await makeWritten(join(directory, 'third.qcow2'), third, 5, 9, ['-b', raw, '-F', 'raw']);
    await makeWritten(join(directory, 'second.qcow2'), geometry(12, 8 * MiB + ODD, 2), 6, 9, ['-b', 'third.qcow2', '-F', 'qcow2']);
    const top = await makeWritten(join(directory, 'top.qcow2'), geometry(16, 16 * MiB), 7, 9, ['-b', 'second.qcow2', '-F', 'qcow2']);
    const image = await expectAgreement(top);
    expect(new Set((await extentsOf(image)).map(({ depth }) => depth))).toEqual(new Set([0, 1, 2, 3]));
  });

  it.each([
    ['standard', false],
    ['extended L2', true],
  ])('snapshots with writes between, one of another capacity: %s', async (_, extendedL2) => {
    const directory = newDirectory();
    const path = join(directory, 'image.qcow2');
    await makeWritten(path, geometry(16, 6 * MiB, 3, extendedL2), 11, 20);
    await qemuImg(directory, 'snapshot', '-c', 'first', path);
    await qemuIo({ path, format: 'qcow2' }, randomWrites(geometry(16, 6 * MiB, 3, extendedL2), 12, 20), { discard: 'unmap' });
    // Its name is the id of the first: ids go before names.
    await qemuImg(directory, 'snapshot', '-c', '1', path);
    await qemuImg(directory, 'resize', '-q', path, '9M');
    await qemuIo({ path, format: 'qcow2' }, randomWrites(geometry(16, 9 * MiB, 3, extendedL2), 13, 20), { discard: 'unmap' });
    await qemuImg(directory, 'snapshot', '-c', 'third', path);
    await qemuIo({ path, format: 'qcow2' }, randomWrites(geometry(16, 9 * MiB, 3, extendedL2), 14, 20), { discard: 'unmap' });
    await expectAgreement(path);
    for (const [snapshot, capacity] of [
      ['first', 6],
      ['1', 6],
      ['2', 6],
      ['third', 9],
    ] as const) {
      const image = await openChain(path, 'qcow2', snapshot);
      expect(image.byteLength).toBe(capacity * MiB);
      // `convert -l` gives every snapshot the active capacity: cut, its bytes are the same.
      const raw = await convertByQemu(path, 'qcow2', snapshot);
      truncateSync(raw, capacity * MiB);
      expect(await firstDifference(image, raw, MiB, 2)).toBeUndefined();
      // Applying the snapshot restores its own capacity, and a map.
      const copy = join(directory, `as-${snapshot}.qcow2`);
      cpSync(path, copy);
      await qemuImg(directory, 'snapshot', '-a', snapshot, copy);
      expect(await extentsOf(image)).toEqual(await mapByQemu(copy, 'qcow2'));
    }
    await expect(openChain(path, 'qcow2', 'fourth')).rejects.toMatchObject({ kind: 'not-found', code: 'QCOW2_SNAPSHOT_UNKNOWN' });
  });

  it('a truncated file: data past its end is zeros', async () => {
    const path = await makeWritten(join(newDirectory(), 'image.qcow2'), geometry(16, 4 * MiB), 21, 10, []);
    await qemuIo({ path, format: 'qcow2' }, ['write -q -P 5 0 1M', 'write -q -P 6 1M 1M', 'write -q -P 7 2M 1M']);
    const { size } = statSync(path);
    truncateSync(path, size - 700_000);
    await expectAgreement(path);
  });
});

describe('raw, against QEMU', () => {
  it.each([0, 1, 511, 512, 1000, 4096, 300_000])('a file of %i bytes with a hole before them', async (byteLength) => {
    const path = join(newDirectory(), 'image.raw');
    writeFileSync(path, '');
    if (byteLength > 0) {
      truncateSync(path, MiB);
      writeFileSync(path, mixedContent(byteLength, 3).fill(7), { flag: 'a' });
    }
    await expectAgreement(path, 'raw');
  });

  it('is one extent of data if the holes are unknown', async () => {
    const path = join(newDirectory(), 'image.raw');
    writeFileSync(path, new Uint8Array(1000));
    const file = await openImageFile(Buffer.from(path), { cache });
    opened.push(file);
    const data = { start: 0, end: 1000, status: 'data', depth: 0, compressed: false, fileOffset: 0 };
    const tail = { start: 1000, end: 1024, status: 'zero', depth: 0, compressed: false, fileOffset: undefined };
    expect(await extentsOf(openRaw(file.device))).toEqual([data, tail]);
  });
});

import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type Extent, memoryDevice, type ReadableDevice, readableDevice, readUpTo, withTrace } from '#block';
import { aQcow2, COMPRESSED, COPIED, type Qcow2Builder } from '../../../../tests/support/qcow2-builder.ts';
import { openQcow2, type Qcow2Options, readQcow2Header } from '../index.ts';

const CLUSTER = 4096;

interface Opened {
  readonly image: ReadableDevice;
  /** What has been read of the file, `[offset, length]`, since it was opened. */
  readonly reads: [number, number][];
}

async function open(image: Qcow2Builder, options: Qcow2Options = {}): Promise<Opened> {
  const memory = memoryDevice(image.bytes());
  const reads: [number, number][] = [];
  const device = withTrace(memory, ({ offset, length }) => reads.push([offset, length]));
  const header = await readQcow2Header(memory);
  return { image: await openQcow2(device, header, options), reads };
}

/** An image whose guest clusters are its data clusters in order, each filled with its number, counted from 1. */
function inOrder(count: number, capacity = count * CLUSTER): Qcow2Builder {
  const image = aQcow2({ clusterBits: 12, capacity });
  const data = image.allocate(count);
  for (let index = 0; index < count; index += 1) image.withBytes(data + index * CLUSTER, new Uint8Array(CLUSTER).fill(index + 1));
  return image.withL2(
    0,
    Array.from({ length: count }, (_, index) => COPIED + BigInt(data + index * CLUSTER)),
  );
}

async function extentsOf(image: ReadableDevice, signal?: AbortSignal): Promise<Extent[]> {
  const extents: Extent[] = [];
  for await (const extent of image.extents(0, image.byteLength, { signal })) extents.push(extent);
  return extents;
}

describe('read()', () => {
  it('reads neighbouring clusters at once, and a table once', async () => {
    const { image, reads } = await open(inOrder(8));
    const data = 4 * CLUSTER;
    expect((await readUpTo(image, 100, 5 * CLUSTER))[5 * CLUSTER - 1]).toBe(6);
    await readUpTo(image, 7 * CLUSTER, CLUSTER);
    expect(reads.slice(2)).toEqual([
      [data + 100, 5 * CLUSTER],
      [data + 7 * CLUSTER, CLUSTER],
    ]);
  });

  it('reads compressed clusters that lie together at once, and a cluster in pieces once', async () => {
    const image = aQcow2({ clusterBits: 12, capacity: 4 * CLUSTER });
    const at = image.allocate();
    const streams = [1, 2, 3, 4].map((byte) => deflateRawSync(new Uint8Array(CLUSTER).fill(byte)));
    let end = at;
    const l2 = streams.map((stream) => {
      image.withBytes(end, stream);
      end += stream.byteLength;
      return COMPRESSED + BigInt(end - stream.byteLength);
    });
    const { image: opened, reads } = await open(image.withL2(0, l2));
    const whole = await readUpTo(opened, 0, 4 * CLUSTER);
    expect([0, 1, 2, 3].map((index) => whole[index * CLUSTER])).toEqual([1, 2, 3, 4]);
    expect(reads).toHaveLength(3);
    for (let place = 0; place < CLUSTER; place += 512)
      expect(await readUpTo(opened, CLUSTER + place, 512)).toEqual(new Uint8Array(512).fill(2));
    expect(reads).toHaveLength(4);
  });

  it('keeps at most 16 tables', async () => {
    const image = aQcow2({ clusterBits: 9, capacity: 20 * 64 * 512 });
    for (let index = 0; index < 20; index += 1) image.withL2(index, [1]);
    const { image: opened, reads } = await open(image);
    const touch = async (index: number): Promise<number> => {
      const before = reads.length;
      await readUpTo(opened, index * 64 * 512, 1);
      return reads.length - before;
    };
    for (let index = 0; index < 16; index += 1) await touch(index);
    expect(await touch(0)).toBe(0);
    expect(await touch(16)).toBe(1);
    expect(await touch(0)).toBe(0);
    expect(await touch(1)).toBe(1);
  });

  it('asks for a table once, however many ask at a time, and again after a failure', async () => {
    const memory = memoryDevice(inOrder(8).bytes());
    let calls = 0;
    let fails = true;
    const device = readableDevice({
      byteLength: memory.byteLength,
      read: (target, offset) => {
        calls += 1;
        return fails ? Promise.reject(new Error('not now')) : memory.read(target, offset);
      },
    });
    const image = await openQcow2(device, await readQcow2Header(memory));
    const everywhere = (): Promise<unknown>[] => Array.from({ length: 8 }, (_, index) => readUpTo(image, index * CLUSTER, 1));
    const failed = await Promise.allSettled(everywhere());
    expect(failed.map(({ status }) => status)).toEqual(Array(8).fill('rejected'));
    expect(calls).toBe(1);
    fails = false;
    await Promise.all(everywhere());
    expect(calls).toBe(1 + 2 + 8);
  });

  it('fills the memory of the caller and no more of it than was read', async () => {
    const { image } = await open(inOrder(2).withL2(0, [0, 1]));
    const lent = new Uint8Array(10).fill(9);
    expect(await image.read(lent.subarray(0, 4), CLUSTER - 2)).toBe(4);
    expect(lent).toEqual(Uint8Array.from([0, 0, 0, 0, 9, 9, 9, 9, 9, 9]));
  });

  it('ends with the capacity', async () => {
    const { image } = await open(inOrder(2, CLUSTER + 100));
    expect(image.byteLength).toBe(CLUSTER + 100);
    expect(await readUpTo(image, CLUSTER, CLUSTER)).toEqual(new Uint8Array(100).fill(2));
    expect(await readUpTo(image, CLUSTER + 100, 1)).toEqual(new Uint8Array());
    expect(await readUpTo(image, 2 ** 40, 1)).toEqual(new Uint8Array());
  });

  it('gives the backing file where it says nothing, zeros behind it', async () => {
    const backing = memoryDevice(new Uint8Array(CLUSTER + 10).fill(7));
    const { image } = await open(inOrder(1, 3 * CLUSTER), { backing });
    const bytes = await readUpTo(image, 0, 3 * CLUSTER);
    expect([0, CLUSTER, CLUSTER + 9, CLUSTER + 10, 3 * CLUSTER - 1].map((at) => bytes[at])).toEqual([1, 7, 7, 0, 0]);
  });

  it('refuses data of a backing file that was not opened', async () => {
    const { image } = await open(inOrder(1, 2 * CLUSTER).withBackingFile('base.img'));
    expect(await readUpTo(image, 0, CLUSTER)).toEqual(new Uint8Array(CLUSTER).fill(1));
    await expect(readUpTo(image, CLUSTER - 1, 2)).rejects.toMatchObject({ kind: 'refused', code: 'QCOW2_BACKING_MISSING' });
  });
});

describe('extents()', () => {
  it('joins what continues, across tables', async () => {
    const image = aQcow2({ clusterBits: 9, capacity: 4 * 64 * 512 });
    const data = image.allocate(128);
    const entries = (first: number): bigint[] => Array.from({ length: 64 }, (_, index) => BigInt(data + (first + index) * 512));
    image.withL2(0, entries(0)).withL2(1, entries(64));
    const rest = { depth: 0, compressed: false };
    expect(await extentsOf((await open(image)).image)).toEqual([
      { start: 0, end: 128 * 512, status: 'data', fileOffset: data, ...rest },
      { start: 128 * 512, end: 256 * 512, status: 'unallocated', fileOffset: undefined, ...rest },
    ]);
  });

  it('asks a backing image once for all that is not allocated, however many tables say so', async () => {
    const { image: below } = await open(inOrder(3));
    const asked: [number, number][] = [];
    const backing: ReadableDevice = {
      ...below,
      byteLength: below.byteLength,
      read: (target, offset) => below.read(target, offset),
      extents: (offset, length) => {
        asked.push([offset, offset + length]);
        return below.extents(offset, length);
      },
      [Symbol.asyncDispose]: () => below[Symbol.asyncDispose](),
    };
    const top = aQcow2({ clusterBits: 9, capacity: 4 * CLUSTER }).withL2(0, [0, 0, 1]);
    const { image } = await open(top, { backing });
    const found = (await extentsOf(image)).map(({ start, end, status, depth }) => [start, end, status, depth]);
    expect(found).toEqual([
      [0, 1024, 'data', 1],
      [1024, 1536, 'zero', 0],
      [1536, 3 * CLUSTER, 'data', 1],
      [3 * CLUSTER, 4 * CLUSTER, 'unallocated', 0],
    ]);
    expect(asked).toEqual([
      [0, 1024],
      [1536, 3 * CLUSTER],
    ]);
  });

  it('takes a backing device that knows no extents for data', async () => {
    const { image } = await open(inOrder(1, 3 * CLUSTER), { backing: memoryDevice(new Uint8Array(2 * CLUSTER)) });
    expect((await extentsOf(image)).map(({ start, end, status, depth }) => [start, end, status, depth])).toEqual([
      [0, CLUSTER, 'data', 0],
      [CLUSTER, 2 * CLUSTER, 'data', 1],
      [2 * CLUSTER, 3 * CLUSTER, 'unallocated', 0],
    ]);
  });

  it('passes over a petabyte of nothing', async () => {
    const { image, reads } = await open(aQcow2({ clusterBits: 21, capacity: 2 ** 50 }));
    expect(await extentsOf(image)).toHaveLength(1);
    expect(reads).toHaveLength(1);
  });

  it('stops when it is told to', async () => {
    await expect(extentsOf((await open(inOrder(1))).image, AbortSignal.abort())).rejects.toThrow('aborted');
  });
});

import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryDevice, readUpTo, type StoredRange, withTrace } from '#block';
import { fileDevice, holesAsZeros, isHole } from './file-device.ts';

const content = Buffer.from(Array.from({ length: 10_000 }, (_, index) => index % 251));
let directory: string;
let fd: number;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-device-'));
  writeFileSync(join(directory, 'file'), content);
  fd = openSync(join(directory, 'file'), 'r+');
});
afterAll(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

const stored = (fileOffset: number, byteLength: number): StoredRange => ({
  fileOffset,
  byteLength,
  physicalOffset: undefined,
  shared: false,
  unwritten: false,
  encoded: false,
});

describe('fileDevice()', () => {
  it.each([
    ['the start', 0, 100, 100],
    ['the middle', 5000, 4000, 4000],
    ['over the end', 9990, 100, 10],
    ['behind the end', 20_000, 100, 0],
    ['nothing', 10, 0, 0],
  ])('reads %s', async (_, offset, length, expected) => {
    const bytes = await readUpTo(fileDevice(fd, content.byteLength, 'file'), offset, length);
    expect(Buffer.from(bytes)).toEqual(content.subarray(offset, offset + expected));
    expect(bytes.byteLength).toBe(expected);
  });

  it('reads concurrently, each its own bytes', async () => {
    const device = fileDevice(fd, content.byteLength, 'file');
    const offsets = Array.from({ length: 100 }, (_, index) => index * 97);
    const all = await Promise.all(offsets.map((offset) => readUpTo(device, offset, 50)));
    expect(all.map((bytes) => Buffer.from(bytes))).toEqual(offsets.map((offset) => content.subarray(offset, offset + 50)));
  });

  it('ends earlier when the file has shrunk', async () => {
    const path = join(directory, 'shrinks');
    writeFileSync(path, content);
    const own = openSync(path, 'r+');
    const device = fileDevice(own, content.byteLength, path);
    ftruncateSync(own, 6000);
    expect((await readUpTo(device, 5000, 4000)).byteLength).toBe(1000);
    closeSync(own);
  });

  it('reports a failing read with the errno and the file', async () => {
    await expect(readUpTo(fileDevice(1_000_000, 10, 'gone.img'), 0, 10)).rejects.toMatchObject({
      kind: 'io',
      code: 'IO_EBADF',
      where: { image: 'gone.img' },
    });
  });
});

describe('isHole()', () => {
  const map = [stored(4096, 4096), stored(16_384, 8192)];
  it.each([
    [0, 4096, true],
    [0, 4097, false],
    [4096, 1, false],
    [8191, 1, false],
    [8192, 8192, true],
    [8191, 2, false],
    [16_383, 2, false],
    [24_576, 1_000_000, true],
    [20_000, 10, false],
  ])('says of %d + %d: %s', (offset, length, expected) => {
    expect(isHole(map, offset, length)).toBe(expected);
  });
});

describe('holesAsZeros()', () => {
  it('answers holes itself and passes on the rest', async () => {
    const reads: number[] = [];
    const below = memoryDevice(content);
    const device = holesAsZeros(
      withTrace(below, ({ offset }) => reads.push(offset)),
      [stored(4096, 4096)],
    );
    expect(Buffer.from(await readUpTo(device, 0, 4096))).toEqual(Buffer.alloc(4096));
    expect((await readUpTo(device, 9000, 5000)).byteLength).toBe(1000);
    expect(reads).toEqual([]);
    expect(Buffer.from(await readUpTo(device, 4000, 200))).toEqual(content.subarray(4000, 4200));
    expect((await readUpTo(device, 20_000, 10)).byteLength).toBe(0);
    expect(reads).toEqual([4000, 20_000]);
  });
});

import { describe, expect, it } from 'vitest';
import { memoryDevice, readUpTo, type StorageMap } from '#block';
import { openRaw } from './index.ts';

const content = Uint8Array.from({ length: 1000 }, (_, index) => 1 + (index % 250));

function stored(...ranges: readonly (readonly [fileOffset: number, byteLength: number, unwritten?: boolean])[]): StorageMap {
  return ranges.map(([fileOffset, byteLength, unwritten = false]) => ({
    fileOffset,
    byteLength,
    physicalOffset: undefined,
    shared: false,
    unwritten,
    encoded: false,
  }));
}

async function statuses(map: StorageMap | undefined, start = 0, end = 1024): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const extent of openRaw(memoryDevice(content), map).extents(start, end - start))
    found.push([extent.start, extent.end, extent.status, extent.fileOffset]);
  return found;
}

describe('openRaw()', () => {
  it('ends at a multiple of 512 bytes, with zeros behind the file', async () => {
    const image = openRaw(memoryDevice(content));
    expect(image.byteLength).toBe(1024);
    expect(await readUpTo(image, 0, 5000)).toEqual(Uint8Array.from({ length: 1024 }, (_, index) => content[index] ?? 0));
    expect(await readUpTo(image, 990, 20)).toEqual(Uint8Array.from([...content.subarray(990), ...Array(10).fill(0)]));
    expect(await readUpTo(image, 1010, 100)).toEqual(new Uint8Array(14));
    expect(await readUpTo(image, 1024, 1)).toEqual(new Uint8Array());
    expect(await readUpTo(image, 5000, 1)).toEqual(new Uint8Array());
  });

  it('has an extent of data, and one of zeros behind the file', async () => {
    expect(await statuses(undefined)).toEqual([
      [0, 1000, 'data', 0],
      [1000, 1024, 'zero', undefined],
    ]);
    expect(await statuses(undefined, 10, 20)).toEqual([[10, 20, 'data', 10]]);
    expect(await statuses(undefined, 1000, 2000)).toEqual([[1000, 1024, 'zero', undefined]]);
  });

  it('has an extent of zeros where nothing is stored or written', async () => {
    const map = stored([100, 100], [200, 50], [300, 100, true], [400, 1000]);
    expect(await statuses(map)).toEqual([
      [0, 100, 'zero', undefined],
      [100, 250, 'data', 100],
      [250, 400, 'zero', undefined],
      [400, 1000, 'data', 400],
      [1000, 1024, 'zero', undefined],
    ]);
    expect(await statuses(map, 210, 320)).toEqual([
      [210, 250, 'data', 210],
      [250, 320, 'zero', undefined],
    ]);
  });

  it('stops when it is told to', async () => {
    const iterate = async (): Promise<void> => {
      for await (const _ of openRaw(memoryDevice(content)).extents(0, 1024, { signal: AbortSignal.abort() }));
    };
    await expect(iterate()).rejects.toThrow('aborted');
  });
});

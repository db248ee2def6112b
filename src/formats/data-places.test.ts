import { describe, expect, it } from 'vitest';
import { type Extent, type ReadableDevice, readableDevice } from '#block';
import { guestDataAmong } from './data-places.ts';

/** A disk of `extents`, whose walks are counted. */
function imageOf(extents: readonly Omit<Extent, 'depth' | 'status'>[]): { image: ReadableDevice; walks: () => number } {
  let walks = 0;
  const image = readableDevice({
    byteLength: 100,
    read: () => Promise.reject(new Error('nothing is read')),
    async *extents() {
      walks += 1;
      for (const extent of extents) yield { ...extent, depth: 0, status: 'data' };
    },
  });
  return { image, walks: () => walks };
}

describe('guestDataAmong()', () => {
  const EXTENTS = [
    { start: 0, end: 10, fileOffset: 500, compressed: false },
    { start: 10, end: 20, fileOffset: undefined, compressed: false },
    { start: 20, end: 30, fileOffset: 100, compressed: false },
  ];

  it('finds the places in extents of any order, borders exactly', async () => {
    const { image } = imageOf(EXTENTS);
    const found = await guestDataAmong(image, [510, 99, 109, 500, 110, 100, 509]);
    expect([...found].sort((a, b) => a - b)).toEqual([100, 109, 500, 509]);
  });

  it('walks once, however many places there are, and not at all for none', async () => {
    const { image, walks } = imageOf(EXTENTS);
    await guestDataAmong(
      image,
      Array.from({ length: 50 }, (_, index) => index * 20),
    );
    expect(walks()).toBe(1);
    await guestDataAmong(image, []);
    expect(walks()).toBe(1);
  });
});

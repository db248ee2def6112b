import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { memoryDevice, readUpTo } from '#block';
import { hashContent } from './hashed-content.ts';

const BYTES = Buffer.from(Array.from({ length: 200_001 }, (_, index) => (index * 31) % 251));

describe('hashContent()', () => {
  it('gives the SHA-256 of all bytes, and the same bytes', async () => {
    const { sha256, device } = await hashContent(memoryDevice(BYTES), undefined);
    expect(sha256).toBe(createHash('sha256').update(BYTES).digest('hex'));
    for (const [offset, length] of [
      [0, 1],
      [65_535, 2],
      [100, 150_000],
      [200_000, 5],
      [200_001, 1],
    ] as const)
      expect(Buffer.from(await readUpTo(device, offset, length))).toEqual(BYTES.subarray(offset, offset + length));
  });

  it.each([0, 65_536, 200_000])('refuses to read on where byte %d is another by then', async (at) => {
    const bytes = Buffer.from(BYTES);
    const { device } = await hashContent(memoryDevice(bytes), undefined);
    bytes[at] = (bytes[at] as number) + 1;
    await expect(readUpTo(device, at, 1)).rejects.toMatchObject({ kind: 'conflict', code: 'CONTENT_CHANGED' });
  });

  it('gives a byte that was changed and changed back, since it is what was hashed', async () => {
    const bytes = Buffer.from(BYTES);
    const { device } = await hashContent(memoryDevice(bytes), undefined);
    bytes[7] = 0xff;
    bytes[7] = BYTES[7] as number;
    expect((await readUpTo(device, 7, 1))[0]).toBe(BYTES[7]);
  });
});

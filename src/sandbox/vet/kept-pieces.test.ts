import { readableConformance, readUpTo } from '#block';
import { describe, expect, it } from 'vitest';
import { HEAD_BYTES, KeptPieces, MAX_ANNOUNCED_BYTES, placesToKeep } from './kept-pieces.ts';

const MiB = 2 ** 20;

/** Every byte tells where it stood. */
function content(start: number, byteLength: number): Uint8Array {
  return Uint8Array.from({ length: byteLength }, (_, index) => (start + index) % 251);
}

/** A stream of `byteLength` bytes in pieces of `step`. */
function stream(byteLength: number, step: number, places: readonly { start: number; end: number }[]): KeptPieces {
  const kept = new KeptPieces();
  for (let at = 0; at < byteLength; ) {
    const end = Math.min(byteLength, at < HEAD_BYTES ? Math.min(HEAD_BYTES, at + step) : at + step);
    kept.push(content(at, end - at));
    if (end === HEAD_BYTES) kept.announce(placesToKeep(places));
    at = end;
  }
  return kept;
}

describe('placesToKeep()', () => {
  it('joins what touches, and leaves out what the head holds', () => {
    const runs = [
      { start: 9 * MiB, end: 10 * MiB },
      { start: 0, end: 5 * MiB },
      { start: 5 * MiB, end: 6 * MiB },
      { start: 100, end: 200 },
      { start: 8 * MiB, end: 7 * MiB },
    ];
    expect(placesToKeep(runs)).toEqual([
      { start: HEAD_BYTES, end: 6 * MiB },
      { start: 9 * MiB, end: 10 * MiB },
    ]);
  });

  it('keeps no more than its bound, whatever is announced', () => {
    const places = placesToKeep([
      { start: 5 * MiB, end: 6 * MiB },
      { start: 2 ** 40, end: 2 ** 50 },
      { start: 2 ** 51, end: 2 ** 52 },
    ]);
    expect(places).toEqual([
      { start: 5 * MiB, end: 6 * MiB },
      { start: 2 ** 40, end: 2 ** 40 + MAX_ANNOUNCED_BYTES - MiB },
    ]);
    expect(
      placesToKeep(Array.from({ length: 100_000 }, (_, index) => ({ start: 5 * MiB + index * 10, end: 5 * MiB + index * 10 + 1 }))),
    ).toHaveLength(65_536);
    expect(
      placesToKeep([
        { start: Number.NaN, end: Number.NaN },
        { start: 5 * MiB, end: Number.POSITIVE_INFINITY },
      ]),
    ).toEqual([]);
  });
});

describe('KeptPieces', () => {
  const places = [
    { start: 5 * MiB + 7, end: 7 * MiB + 1 },
    { start: 8 * MiB, end: 8 * MiB + 512 },
  ];

  it.each([1000, 65_536, 3 * MiB])('gives back both ends and what was announced, in pieces of %i', async (step) => {
    const device = stream(10 * MiB, step, places).device();
    expect(device.byteLength).toBe(10 * MiB);
    for (const [offset, length] of [
      [0, 100],
      [HEAD_BYTES - 10, 10],
      [5 * MiB + 7, 2 * MiB - 6],
      [6 * MiB - 1, 2],
      [8 * MiB, 512],
      [9 * MiB, MiB],
      [10 * MiB - 5, 100],
    ] as const) {
      const expected = content(offset, Math.min(length, 10 * MiB - offset));
      expect(Buffer.compare(await readUpTo(device, offset, length), expected)).toBe(0);
    }
  });

  it.each([
    [HEAD_BYTES - 1, 2],
    [5 * MiB, 10],
    [7 * MiB, 2],
    [8 * MiB + 511, 2],
    [7.5 * MiB, 1],
    [4.5 * MiB, MiB],
  ])('has nothing of what went by: at %i, %i bytes', async (offset, length) => {
    await expect(readUpTo(stream(10 * MiB, 65_536, places).device(), offset, length)).rejects.toMatchObject({
      kind: 'over-budget',
      code: 'STREAM_NOT_KEPT',
    });
  });

  it('knows all of a short stream', async () => {
    const device = stream(1000, 7, []).device();
    expect(Buffer.compare(await readUpTo(device, 0, 5000), content(0, 1000))).toBe(0);
    expect(await readUpTo(device, 1000, 10)).toHaveLength(0);
  });
});

describe('a stream of which everything is kept, as a device', () => {
  // The head, an announced range behind it, and the tail.
  const byteLength = HEAD_BYTES + MiB + 300_000;
  const places = [{ start: HEAD_BYTES - 1000, end: HEAD_BYTES + 400_000 }];
  const open = () => ({ device: stream(byteLength, 70_001, places).device(), content: content(0, byteLength) });
  it.each(readableConformance(open))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

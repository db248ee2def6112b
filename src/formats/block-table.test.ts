import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryDevice } from '#block';
import { findOverlap, readEntries } from './block-table.ts';

const UNUSED = 0xffffffff;

describe('readEntries()', () => {
  it('reads either byte order, across pieces', async () => {
    const content = new Uint8Array(2 ** 21 + 12);
    const view = new DataView(content.buffer);
    view.setUint32(4, 0x01020304);
    view.setUint32(4 + 4 * 2 ** 18, 0xfffefdfc);
    const entries = await readEntries(memoryDevice(content), 4, 2 ** 19 + 1, 'big');
    expect([entries[0], entries[2 ** 18], entries.length]).toEqual([0x01020304, 0xfffefdfc, 2 ** 19 + 1]);
    expect((await readEntries(memoryDevice(content), 4, 1, 'little'))[0]).toBe(0x04030201);
  });

  it('refuses a table that the file cuts', async () => {
    await expect(readEntries(memoryDevice(new Uint8Array(10)), 4, 2, 'big')).rejects.toMatchObject({ code: 'IMAGE_TRUNCATED' });
  });
});

describe('findOverlap()', () => {
  it.each([
    ['none used', [UNUSED, UNUSED], 1, undefined],
    ['ascending', [0, UNUSED, 4, 8], 4, undefined],
    ['in any order', [8, 0, UNUSED, 4], 4, undefined],
    ['twice', [8, 4, 0, 4], 4, 3],
    ['half over another', [8, UNUSED, 2, 0], 4, 2],
    ['ascending, too near', [0, 3], 4, 1],
  ])('%s', (_, entries, stride, expected) => {
    expect(findOverlap(Uint32Array.from(entries), stride, UNUSED)).toBe(expected);
  });

  it('finds one exactly if there is one', () => {
    const entry = fc.oneof(fc.nat(40), fc.constant(UNUSED));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 12 }), fc.integer({ min: 1, max: 4 }), (list, stride) => {
        const used = list.filter((one) => one !== UNUSED).sort((a, b) => a - b);
        const overlaps = used.some((one, index) => index > 0 && one < (used[index - 1] as number) + stride);
        expect(findOverlap(Uint32Array.from(list), stride, UNUSED) !== undefined).toBe(overlaps);
      }),
    );
  });
});

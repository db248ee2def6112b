import { describe, expect, it } from 'vitest';
import { KiB, MiB } from '#base';
import { readUpTo, withReadBudget } from '#block';
import { aVhdx, LOG, type LogUpdate, type VhdxBuilder } from '../../../tests/support/vhdx-builder.ts';
import { openVhdx } from './image.ts';

const BLOCKS = aVhdx().blocks;

function image(): VhdxBuilder {
  return aVhdx({ capacity: 2 * MiB })
    .withBlock(0, BLOCKS)
    .withBlock(1, BLOCKS + MiB);
}

function sector(value: number): Uint8Array {
  return Uint8Array.from({ length: 4096 }, (_, index) => (index * 7 + value) % 251);
}

/** One sequence of entries from `first` on. */
function logged(builder: VhdxBuilder, first: number, sequenceNumber: number, entries: readonly (readonly LogUpdate[])[]): VhdxBuilder {
  let at = first;
  for (const [index, updates] of entries.entries()) {
    at = builder.addLogEntry(at, { sequenceNumber: sequenceNumber + index, tail: first, updates });
  }
  return builder;
}

/** The guest's bytes with the updates made one after the other. */
function expected(entries: readonly (readonly LogUpdate[])[]): Uint8Array {
  const bytes = new Uint8Array(2 * MiB);
  for (const update of entries.flat()) {
    if ('data' in update) bytes.set(update.data, update.at - BLOCKS);
    else bytes.fill(0, update.at - BLOCKS, update.at - BLOCKS + update.zeros);
  }
  return bytes;
}

async function bytesOf(builder: VhdxBuilder): Promise<Buffer> {
  return Buffer.from(await readUpTo(await openVhdx(builder.device()), 0, 2 * MiB));
}

const ENTRIES: readonly (readonly LogUpdate[])[] = [
  [
    { at: BLOCKS, data: sector(1) },
    { at: BLOCKS + MiB, data: sector(2) },
  ],
  [
    { at: BLOCKS, zeros: 8192 },
    { at: BLOCKS + 4096, data: sector(3) },
  ],
  [
    { at: BLOCKS + MiB, data: sector(4) },
    { at: BLOCKS + MiB + 4096, data: sector(5) },
    { at: BLOCKS + MiB + 4096, zeros: 4096 },
  ],
];

describe('the log', () => {
  // Where the sequence begins: any of its entries, header or data, may lie around the end of the log.
  it.each([0, 4 * KiB, MiB - 4 * KiB, MiB - 8 * KiB, MiB - 12 * KiB, MiB - 16 * KiB, MiB - 20 * KiB, MiB - 24 * KiB])(
    'is replayed from its tail to its head, later updates over earlier ones: from %i on',
    async (first) => {
      expect((await bytesOf(logged(image(), first, 100, ENTRIES))).equals(expected(ENTRIES))).toBe(true);
    },
  );

  it('is replayed with more descriptors than one sector holds', async () => {
    const many = [Array.from({ length: 200 }, (_, index) => ({ at: BLOCKS + index * 8192, data: sector(index) }))];
    expect((await bytesOf(logged(image(), 8192, 3, many))).equals(expected(many))).toBe(true);
  });

  it.each([
    ['behind', 0, 512 * KiB],
    ['before', 512 * KiB, 0],
  ])('of two sequences the one with the higher numbers counts, %s the other', async (_where, older, newer) => {
    const builder = logged(logged(image(), older, 7, ENTRIES), newer, 60, ENTRIES.slice(2));
    expect((await bytesOf(builder)).equals(expected(ENTRIES.slice(2)))).toBe(true);
  });

  it('counts a sequence only as far as its tail says', async () => {
    const builder = logged(image(), 0, 100, ENTRIES.slice(0, 2));
    // The third entry follows, and says that the log begins with it: the first two are done with.
    const at = 12 * KiB + 8 * KiB;
    builder.withLogEntry(at, { sequenceNumber: 102, tail: at, updates: ENTRIES[2] ?? [] });
    expect((await bytesOf(builder)).equals(expected(ENTRIES.slice(2)))).toBe(true);
  });

  it('falls back to an older sequence when the head names a tail that is gone', async () => {
    const builder = logged(image(), 0, 7, ENTRIES.slice(0, 1)).withLogEntry(256 * KiB, { sequenceNumber: 90, tail: 128 * KiB });
    expect((await bytesOf(builder)).equals(expected(ENTRIES.slice(0, 1)))).toBe(true);
  });

  it('makes the file as long as it says, with zeros at its end', async () => {
    const builder = aVhdx({ capacity: 2 * MiB });
    const entry = new Uint8Array(4096);
    new DataView(entry.buffer).setBigUint64(8, BigInt(BLOCKS + 6), true);
    builder.withLogEntry(0, { sequenceNumber: 1, updates: [{ at: builder.bat, data: entry }], lastFileOffset: BLOCKS + MiB - 5 });
    const opened = await openVhdx(builder.device());
    expect(opened.facts.log).toEqual({
      entryCount: 1,
      fileLength: BLOCKS + MiB,
      written: [{ start: builder.bat, end: builder.bat + 4096 }],
    });
    expect([...opened.blocks.presentRuns()]).toEqual([{ start: BLOCKS, end: BLOCKS + MiB }]);
    expect(Buffer.from(await readUpTo(opened, MiB - 1, 2 * MiB)).equals(Buffer.alloc(MiB + 1))).toBe(true);
  });

  it('is not read where LogGuid says there is none', async () => {
    const builder = image().withBytes(LOG, sector(1));
    await expect(openVhdx(withReadBudget(builder.device(), 640 * KiB))).resolves.toMatchObject({ facts: { log: undefined } });
  });

  it('is read, never written: the device has no way to', async () => {
    const device = logged(image(), 0, 1, ENTRIES).device();
    const before = Buffer.from(await readUpTo(device, 0, device.byteLength));
    await openVhdx(device);
    expect(before.equals(await readUpTo(device, 0, device.byteLength))).toBe(true);
  });
});

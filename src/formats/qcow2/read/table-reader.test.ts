import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryDevice, readableDevice, withTrace } from '#block';
import { nonZeroEntries, readTable, readTables } from './table-reader.ts';

const CLUSTER = 512;
/** Each cluster is filled with its own number. */
const content = Uint8Array.from({ length: 200 * CLUSTER }, (_, at) => Math.floor(at / CLUSTER));

describe('readTables()', () => {
  it('gives every table in its order, whatever order that is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 199 }), { maxLength: 60 }), async (clusters) => {
        const seen: number[] = [];
        for await (const tables of readTables(memoryDevice(content), CLUSTER, clusters)) {
          for (const table of tables) {
            expect(table).toEqual(new Uint8Array(CLUSTER).fill(table[0] as number));
            seen.push(table[0] as number);
          }
        }
        expect(seen).toEqual(clusters);
      }),
    );
  });

  it('stays right when reads end in another order than they began', async () => {
    let turn = 0;
    const inner = memoryDevice(content);
    const device = readableDevice({
      byteLength: content.byteLength,
      read: async (target, offset) => {
        turn += 1;
        await new Promise((resolve) => setTimeout(resolve, (turn * 7) % 5));
        return inner.read(target, offset);
      },
    });
    const clusters = Array.from({ length: 60 }, (_, index) => (index * 37) % 200);
    const seen: number[] = [];
    for await (const tables of readTables(device, CLUSTER, clusters)) {
      await new Promise(setImmediate);
      seen.push(...tables.map((table) => table[CLUSTER - 1] as number));
    }
    expect(seen).toEqual(clusters);
  });

  it('fetches neighbours together', async () => {
    const reads: number[] = [];
    const device = withTrace(memoryDevice(content), ({ length }) => reads.push(length));
    for await (const _ of readTables(device, CLUSTER, [5, 6, 7, 9, 3, 4])) continue;
    expect(reads).toEqual([3 * CLUSTER, CLUSTER, 2 * CLUSTER]);
  });

  it('is corrupt where the file ends inside a table, and leaves no rejection unhandled', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    const all = async (): Promise<void> => {
      for await (const _ of readTables(memoryDevice(content), CLUSTER, [0, 500, 2, 600, 4, 700])) await new Promise(setImmediate);
    };
    await expect(all()).rejects.toMatchObject({ kind: 'corrupt', code: 'QCOW2_TABLE_TRUNCATED', where: { at: 500 * CLUSTER } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
  });
});

describe('readTable()', () => {
  it('gives bytes that 32-bit views can be laid over', async () => {
    const bytes = await readTable(memoryDevice(content), 513, 16, 'table');
    expect(bytes.byteOffset % 4).toBe(0);
    expect(bytes).toEqual(content.slice(513, 529));
  });

  it('refuses less than was asked for', async () => {
    await expect(readTable(memoryDevice(content), content.byteLength - 4, 8, 'L1 table')).rejects.toMatchObject({
      where: { doing: 'read qcow2 L1 table', found: '4 bytes' },
    });
  });
});

describe('nonZeroEntries()', () => {
  it('finds entries with any bit set, save the one pattern that equals zero as a double', () => {
    const isNegativeZero = (entry: Uint8Array): boolean => entry[7] === 0x80 && entry.subarray(0, 7).every((byte) => byte === 0);
    fc.assert(
      fc.property(fc.nat({ max: 40 }), fc.array(fc.tuple(fc.nat({ max: 319 }), fc.integer({ min: 1, max: 255 }))), (count, bytes) => {
        const table = new Uint8Array(count * 8);
        for (const [at, value] of bytes) if (at < table.byteLength) table[at] = value;
        const expected = Array.from({ length: count }, (_, index) => index).filter((index) => {
          const entry = table.subarray(index * 8, index * 8 + 8);
          return entry.some((byte) => byte !== 0) && !isNegativeZero(entry);
        });
        expect([...nonZeroEntries(table)]).toEqual(expected);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryDevice, readUpTo, withPrefix, withReadBudget, withTrace } from '../index.ts';

const content = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);

describe('memoryDevice()', () => {
  it('is shorter only where it ends', async () => {
    const device = memoryDevice(content);
    expect(await readUpTo(device, 990, 5)).toEqual(content.subarray(990, 995));
    expect(await readUpTo(device, 990, 50)).toEqual(content.subarray(990));
    expect(await readUpTo(device, 2000, 5)).toHaveLength(0);
  });
});

describe('withReadBudget()', () => {
  it('lets exactly the budget through, then refuses for good', async () => {
    const device = withReadBudget(memoryDevice(content), 100);
    expect(await readUpTo(device, 0, 60)).toHaveLength(60);
    expect(await readUpTo(device, 0, 40)).toHaveLength(40);
    const exceeded = { kind: 'over-budget', code: 'READ_BUDGET', where: { at: 7 } };
    await expect(readUpTo(device, 7, 1)).rejects.toMatchObject(exceeded);
    await expect(device.read(new Uint8Array(1), 7)).rejects.toMatchObject(exceeded);
  });

  it('counts the requested length, not what the device has', async () => {
    const device = withReadBudget(memoryDevice(content), 5000);
    await expect(device.read(new Uint8Array(5001), 0)).rejects.toMatchObject({ kind: 'over-budget' });
  });

  it('counts tables behind the end and at one place alike', async () => {
    const device = withReadBudget(memoryDevice(content), 1000);
    const reads = Array.from({ length: 11 }, async () => readUpTo(device, 0, 100));
    expect((await Promise.allSettled(reads)).filter(({ status }) => status === 'rejected')).toHaveLength(1);
  });
});

describe('withPrefix()', () => {
  it('gives the same bytes as the device, wherever they are read', async () => {
    const nat = fc.nat({ max: 1100 });
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 1200 }), fc.array(fc.tuple(nat, nat), { maxLength: 8 }), async (prefixBytes, reads) => {
        const device = withPrefix(memoryDevice(content), new Uint8Array(prefixBytes));
        for (const [offset, length] of reads)
          expect(await readUpTo(device, offset, length)).toEqual(content.subarray(offset, offset + length));
      }),
    );
  });

  it('reads the beginning once', async () => {
    const reads: [number, number][] = [];
    const device = withPrefix(
      withTrace(memoryDevice(content), ({ offset, length }) => reads.push([offset, length])),
      new Uint8Array(512),
    );
    await Promise.all([readUpTo(device, 0, 4), readUpTo(device, 500, 12), readUpTo(device, 0, 512)]);
    await readUpTo(device, 511, 2);
    expect(reads).toEqual([
      [0, 512],
      [511, 2],
    ]);
  });
});

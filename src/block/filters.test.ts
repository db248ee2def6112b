import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BlockDevice, memoryDevice, withPrefix, withReadBudget } from './index.ts';

const content = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);

/** A device that notes what is read of it. */
function noting(reads: [number, number][]): BlockDevice {
  const device = memoryDevice(content);
  return {
    byteLength: device.byteLength,
    read: (offset, length) => {
      reads.push([offset, length]);
      return device.read(offset, length);
    },
  };
}

describe('memoryDevice()', () => {
  it('is shorter only where it ends', async () => {
    const device = memoryDevice(content);
    expect(await device.read(990, 5)).toEqual(content.subarray(990, 995));
    expect(await device.read(990, 50)).toEqual(content.subarray(990));
    expect(await device.read(2000, 5)).toHaveLength(0);
  });
});

describe('withReadBudget()', () => {
  it('lets exactly the budget through, then refuses for good', async () => {
    const device = withReadBudget(memoryDevice(content), 100);
    expect(await device.read(0, 60)).toHaveLength(60);
    expect(await device.read(0, 40)).toHaveLength(40);
    expect(() => device.read(7, 1)).toThrow(
      expect.objectContaining({ kind: 'over-budget', code: 'READ_BUDGET', where: expect.objectContaining({ at: 7 }) }),
    );
    expect(() => device.read(0, 0)).toThrow(expect.objectContaining({ code: 'READ_BUDGET' }));
  });

  it('counts what is asked for, not what the device has', () => {
    expect(() => withReadBudget(memoryDevice(content), 5000).read(0, 5001)).toThrow(expect.objectContaining({ kind: 'over-budget' }));
  });

  it('counts tables behind the end and at one place alike', async () => {
    const device = withReadBudget(memoryDevice(content), 1000);
    const reads = Array.from({ length: 11 }, async () => device.read(0, 100));
    expect((await Promise.allSettled(reads)).filter(({ status }) => status === 'rejected')).toHaveLength(1);
  });
});

describe('withPrefix()', () => {
  it('gives the same bytes as the device, wherever they are read', async () => {
    const nat = fc.nat({ max: 1100 });
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 1200 }), fc.array(fc.tuple(nat, nat), { maxLength: 8 }), async (prefixBytes, reads) => {
        const device = withPrefix(memoryDevice(content), new Uint8Array(prefixBytes));
        for (const [offset, length] of reads) expect(await device.read(offset, length)).toEqual(content.subarray(offset, offset + length));
      }),
    );
  });

  it('reads the beginning once', async () => {
    const reads: [number, number][] = [];
    const device = withPrefix(noting(reads), new Uint8Array(512));
    await Promise.all([device.read(0, 4), device.read(500, 12), device.read(0, 512)]);
    await device.read(511, 2);
    expect(reads).toEqual([
      [0, 512],
      [511, 2],
    ]);
  });
});

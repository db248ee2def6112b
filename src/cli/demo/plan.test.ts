import { describe, expect, it } from 'vitest';
import { growthFor, planFor } from './plan.ts';

const GiB = 2 ** 30;
const MiB = 2 ** 20;
const EXT4 = 0xef53;
const TMPFS = 0x01021994;

describe('growthFor()', () => {
  it.each([
    [400 * GiB, EXT4, 512 * MiB],
    [400 * GiB, TMPFS, 64 * MiB],
    [GiB + 1, EXT4, 32 * MiB],
    [MiB, EXT4, 0],
  ])('with %d bytes available on %d limits the growing image to %d', (availableBytes, filesystemType, most) => {
    expect(growthFor({ availableBytes, filesystemType })).toBe(most);
  });
});

describe('planFor()', () => {
  it.each([
    [400 * GiB, 40 * GiB],
    [100 * GiB, GiB],
    [2 * GiB, 64 * MiB],
    [100 * MiB, null],
  ])('with %d bytes available gives preallocated images of %s', (availableBytes, capacity) => {
    const plan = planFor({ availableBytes, filesystemType: EXT4 });
    expect(plan.preallocatedCapacity).toBe(capacity);
    expect(plan.note === null).toBe(capacity === 40 * GiB);
  });

  it('never takes more than a quarter of the available space', () => {
    for (let availableBytes = MiB; availableBytes < 2 ** 50; availableBytes *= 1.7) {
      const { preallocatedCapacity } = planFor({ availableBytes, filesystemType: EXT4 });
      expect((preallocatedCapacity ?? 0) * 2).toBeLessThanOrEqual(availableBytes / 4);
    }
  });

  it('stays small where files are stored in memory, and gives the reason', () => {
    const plan = planFor({ availableBytes: 400 * GiB, filesystemType: TMPFS });
    expect(plan.preallocatedCapacity).toBe(64 * MiB);
    expect(plan.note).toBe('The preallocated images have 64 MiB instead of 40 GiB: this filesystem keeps its files in memory.');
  });
});

import { describe, expect, it } from 'vitest';
import { type FileFacts, memoryDevice } from '#block';
import { openVdi } from '#formats';
import { component } from '#wire';
import { factsOf, storedMap } from '../../tests/support/facts.ts';
import { aVdi, type VdiBuilder } from '../../tests/support/vdi-builder.ts';
import type { Figures } from './figures.ts';
import { vdiFigures } from './vdi-figures.ts';

const MiB = 1024 * 1024;

async function figures(image: VdiBuilder, choice: Partial<FileFacts> = {}): Promise<Figures> {
  const bytes = image.bytes();
  return vdiFigures(await openVdi(memoryDevice(bytes)), factsOf(bytes.byteLength, choice));
}

const sum = ({ components }: Figures): number => components.reduce((total, { bytes }) => total + bytes, 0);

describe('vdiFigures()', () => {
  it('adds every block whole, the last one too', async () => {
    const found = await figures(aVdi({ capacity: 4 * MiB - 1024 }).withBlock(1, 1));
    expect(found).toMatchObject({ commitment: 4 * MiB + 4096, expected: 4 * MiB + 4096, maxLength: 4 * MiB + 4096, residual: 3 * MiB });
    expect(found.components).toContainEqual(component('guest-data', 3 * MiB));
    expect(sum(found)).toBe(found.commitment);
  });

  it('counts discarded blocks as missing', async () => {
    const found = await figures(
      aVdi({ capacity: 2 * MiB })
        .withBlock(0, 1)
        .withEntry(1, 0xfffffffe),
    );
    expect(found.commitment).toBe(2 * MiB + 4096);
  });

  it('places new blocks where the header says', async () => {
    const found = await figures(
      aVdi({ capacity: 2 * MiB })
        .withBlock(0, 1)
        .withHeader('blocksAllocated', 100),
    );
    expect(found).toMatchObject({ maxLength: 101 * MiB + 4096, commitment: 2 * MiB + 2 * 4096 });
  });

  it('of a static image is its blocks, stored or not', async () => {
    const image = aVdi({ capacity: 2 * MiB, imageType: 2 })
      .withBlock(0, 0)
      .withBlock(1, 0);
    const found = await figures(image, { map: storedMap([[0, 4096]]) });
    expect(found).toMatchObject({ allocation: 4096, commitment: 2 * MiB + 4096, maxLength: 2 * MiB + 4096 });
  });

  it('has no number for what is not asked', async () => {
    expect(await figures(aVdi())).toMatchObject({ nextSnapshot: null, unbounded: [], findings: [] });
  });
});

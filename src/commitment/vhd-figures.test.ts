import { describe, expect, it } from 'vitest';
import { type FileFacts, memoryDevice } from '#block';
import { openVhd } from '#formats';
import { component } from '#wire';
import { factsOf, storedMap } from '../../tests/support/facts.ts';
import { aVhd, type VhdBuilder } from '../../tests/support/vhd-builder.ts';
import type { Figures } from './figures.ts';
import { vhdFigures } from './vhd-figures.ts';

const BLOCK = 64 * 1024;
const builder = (capacity: number): VhdBuilder => aVhd({ capacity, blockSize: BLOCK });

async function figures(image: VhdBuilder, choice: Partial<FileFacts> = {}): Promise<Figures> {
  const bytes = image.bytes();
  return vhdFigures(await openVhd(memoryDevice(bytes)), factsOf(bytes.byteLength, choice));
}

const sum = ({ components }: Figures): number => components.reduce((total, { bytes }) => total + bytes, 0);

describe('vhdFigures()', () => {
  it('adds every block with its bitmap, and the footer', async () => {
    const found = await figures(builder(4 * BLOCK).withBlock(1, 1));
    const end = 2048 + 4 * (BLOCK + 512) + 512;
    const commitment = Math.ceil(end / 4096) * 4096;
    expect(found).toMatchObject({ capacity: 4 * BLOCK, commitment, expected: commitment, maxLength: commitment, nextSnapshot: null });
    expect(found.components).toContainEqual(component('guest-data', 3 * BLOCK));
    expect(found.components).toContainEqual(component('sector-bitmaps', 3 * 512));
    expect(found.components).toContainEqual(component('footer', 512));
    expect(sum(found)).toBe(commitment);
  });

  it('does not count what lies behind the capacity in the last block', async () => {
    const whole = await figures(builder(4 * BLOCK));
    const odd = await figures(builder(3 * BLOCK + 512));
    expect(odd.maxLength).toBe(whole.maxLength);
    expect((whole.commitment ?? 0) - (odd.commitment ?? 0)).toBe(BLOCK - 2 * 4096);
    expect(odd.expected).toBeLessThanOrEqual(odd.commitment ?? 0);
    expect(sum(odd)).toBe(odd.commitment);
  });

  it('counts it where there is storage already', async () => {
    const odd = builder(3 * BLOCK + 512);
    const reserved = storedMap([[0, 5 * BLOCK]]);
    expect(await figures(odd, { map: reserved })).toMatchObject({ commitment: 5 * BLOCK, residual: 0 });
  });

  it('of a full image is what is stored, and the holes in its blocks', async () => {
    const image = builder(2 * BLOCK)
      .withBlock(0, 1)
      .withBlock(1, 2);
    expect(await figures(image)).toMatchObject({ residual: 0 });
    const sparse = await figures(image, { map: storedMap([[0, 8192]]) });
    expect(sparse).toMatchObject({ allocation: 8192, commitment: Math.ceil((2048 + 2 * (BLOCK + 512)) / 4096) * 4096 });
  });

  it('of a fixed disk is the whole file', async () => {
    const image = aVhd({ diskType: 'fixed', capacity: 8 * BLOCK });
    const end = 8 * BLOCK + 512;
    expect(await figures(image)).toMatchObject({ capacity: 8 * BLOCK, maxLength: end, commitment: 8 * BLOCK + 4096, residual: 0 });
    const sparse = storedMap([[8 * BLOCK, 8 * BLOCK + 4096]]);
    expect(await figures(image, { map: sparse })).toMatchObject({ allocation: 4096, commitment: 8 * BLOCK + 4096 });
  });

  it('knows that a direct write into the last host block lengthens a fixed disk', async () => {
    const found = await figures(aVhd({ diskType: 'fixed', capacity: 8 * BLOCK + 512 }));
    expect(found.maxLength).toBe(8 * BLOCK + 4096);
  });

  it('without a map keeps on top what may lie where nothing is written', async () => {
    const image = builder(2 * BLOCK).withBlock(0, 1);
    const bytes = image.bytes().byteLength;
    const found = await figures(image, { map: undefined, allocation: Math.ceil(bytes / 4096) * 4096 });
    const mapped = await figures(image);
    expect(found.method).toBe('stat');
    expect(found.commitment).toBeGreaterThanOrEqual(mapped.commitment ?? 0);
    expect(sum(found)).toBe(found.commitment);
    expect((await figures(image, { map: undefined, allocation: 0 })).commitment).toBeLessThanOrEqual(found.commitment ?? 0);
  });

  it('adds nothing to a disk of no bytes', async () => {
    expect(await figures(aVhd().withFooter('currentSize', 0))).toMatchObject({ capacity: 0, residual: 0 });
  });
});

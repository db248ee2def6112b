import { describe, expect, it } from 'vitest';
import { memoryDevice, readUpTo, withReadBudget } from '#block';
import { openVdi } from '#formats';
import { VDI_VECTORS } from './vdi-vectors.ts';

/** Opens, walks and reads the whole image; no byte of the file is needed more than a few times. */
async function readAll(bytes: Uint8Array): Promise<void> {
  const device = withReadBudget(memoryDevice(bytes), 8 * bytes.byteLength + 4096);
  const image = await openVdi(device);
  let at = 0;
  for await (const extent of image.device.extents(0, image.capacity)) at = extent.end;
  expect(at).toBe(image.capacity);
  expect(await readUpTo(image.device, 0, image.capacity)).toHaveLength(image.capacity);
}

describe('a hostile VDI image', () => {
  it.each(VDI_VECTORS)('$name', async ({ name, image, code, at, atRead }) => {
    const bytes = image.bytes();
    const [kind] = name.split('--');
    if (code === undefined) {
      await expect(readAll(bytes)).resolves.toBeUndefined();
      return;
    }
    if (atRead === true) await expect(openVdi(memoryDevice(bytes))).resolves.toBeDefined();
    else await expect(openVdi(memoryDevice(bytes))).rejects.toMatchObject({ kind, code });
    const where = at === undefined ? {} : { where: { at } };
    await expect(readAll(bytes)).rejects.toMatchObject({ kind, code, ...where, message: expect.stringMatching(/^Cannot /) });
  });

  it('has vectors with distinct names', () => {
    const names = VDI_VECTORS.map((vector) => vector.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(corrupt|unsupported|over-budget|report)--[a-z0-9-]+$/);
  });
});

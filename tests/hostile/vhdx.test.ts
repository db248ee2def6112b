import { describe, expect, it } from 'vitest';
import { MiB, PlimsollError } from '#base';
import { withReadBudget } from '#block';
import { openVhdx, readVhdx } from '#formats';
import { aVhdx } from '../support/vhdx-builder.ts';
import { VHDX_VECTORS } from './vhdx-vectors.ts';

const READ_BUDGET = 16 * MiB;

describe('a hostile VHDX image', () => {
  it.each(VHDX_VECTORS)('$name', async ({ name, image, code, at }) => {
    const [kind] = name.split('--');
    const outcome = await openVhdx(withReadBudget(image.device(), READ_BUDGET)).catch((error: unknown) => error);
    if (code === undefined) {
      expect(outcome).not.toBeInstanceOf(Error);
      expect(kind).toBe('read');
      return;
    }
    expect(outcome).toBeInstanceOf(PlimsollError);
    expect(outcome).toMatchObject({ kind, code });
    expect((outcome as PlimsollError).message).toMatch(/^Cannot /);
    if (at !== undefined) expect((outcome as PlimsollError).where.at).toBe(at);
  });

  it('has vectors with distinct names', () => {
    const names = VHDX_VECTORS.map((vector) => vector.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(corrupt|unsupported|refused|over-budget|read)--[a-z0-9-]+$/);
  });

  it('reports its parent as data, and opens nothing', async () => {
    const names = [
      ['parent_linkage', '{83ed0ec1-24c8-49a6-a959-5e4bd1288480}'],
      ['relative_path', '..\\base\u{1f4be}.vhdx'],
      ['absolute_win32_path', '\\\\?\\UNC\\evil\\share'],
    ] as const;
    const { facts } = await readVhdx(aVhdx({ flags: 2 }).withParent(names).device());
    expect(facts.type).toBe('differencing');
    expect(facts.parentLocator?.entries.map(({ key, value }) => [key.text, value.text])).toEqual(names);
    expect(facts.parentLocator?.locatorType).toBe('b04aefb7-d19e-4a81-b789-25b8e9445913');
    expect(Buffer.from(facts.parentLocator?.entries[1]?.value.bytes ?? []).toString('utf16le')).toBe(names[1][1]);
  });
});

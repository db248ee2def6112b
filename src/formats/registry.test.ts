import { describe, expect, it } from 'vitest';
import { memoryDevice } from '#block';
import { IMAGE_FORMATS } from '#wire';
import { CONTAINER_FORMATS, findDriver } from './registry.ts';

const DRIVERS = CONTAINER_FORMATS.flatMap(({ name }) => findDriver(name) ?? []);

describe('the registry', () => {
  it('has each name and each signature once', () => {
    const names = CONTAINER_FORMATS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const signatures = CONTAINER_FORMATS.flatMap(({ signatures: list }) => list.map(({ at, bytes }) => `${at} ${bytes}`));
    expect(new Set(signatures).size).toBe(signatures.length);
  });

  it('has a driver for every format that reports can have, but raw', () => {
    expect(['raw', ...DRIVERS.map(({ name }) => name)].toSorted()).toEqual([...IMAGE_FORMATS].toSorted());
  });

  it.each(DRIVERS.map((driver) => [driver.name, driver] as const))('refuses bytes that are not %s by a typed error', async (_, driver) => {
    await expect(driver.open(memoryDevice(new Uint8Array(4096)))).rejects.toMatchObject({ kind: expect.stringMatching(/corrupt|refused/) });
  });

  it('knows nothing of what it does not list', () => {
    expect([findDriver('raw'), findDriver('parallels'), findDriver('__proto__'), findDriver('')]).toEqual(Array(4).fill(undefined));
  });
});

/** The figures of VMDK images against what QEMU reaches when every grain is written, on tmpfs. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { KiB } from '#base';
import type { FileFacts } from '#block';
import { openVmdk, type VmdkCensus } from '#formats';
import { openImageFile } from '#host';
import { type Figures, vmdkFigures } from '#commitment';
import { FILLS, type FillGeometry } from './fills.ts';
import { Prng } from './prng.ts';
import { copyStorage, readWritten } from './storage-copy.ts';
import { GRAIN, SPARSE_STATES, STREAM_STATES, vmdkIo, type VmdkSite } from './vmdk-images.ts';

const root = mkdtempSync('/dev/shm/plimsoll-vmdk-');
afterAll(() => rmSync(root, { recursive: true }));

function newSite(): VmdkSite {
  const directory = mkdtempSync(join(root, 'site-'));
  return { directory, image: join(directory, 'disk.vmdk') };
}

interface Asked {
  readonly census: VmdkCensus;
  readonly facts: FileFacts;
  /** With the filesystem's map, and from the allocation alone. */
  readonly figures: readonly Figures[];
}

async function ask(path: string): Promise<Asked> {
  const file = await openImageFile(path);
  try {
    const facts = await file.facts();
    const census = await (await openVmdk(file.device)).census();
    const blind = { ...facts, map: undefined, written: undefined };
    return { census, facts, figures: [vmdkFigures(census, facts), vmdkFigures(census, blind)] };
  } finally {
    await file.close();
  }
}

function reached(path: string): { length: number; allocation: number } {
  const { size, blocks } = statSync(path);
  return { length: size, allocation: blocks * 512 };
}

async function copyOf({ directory, image }: VmdkSite, name: string): Promise<string> {
  const copy = join(directory, `${name}.vmdk`);
  await copyStorage(image, copy, await readWritten(image));
  expect(reached(copy)).toEqual(reached(image));
  return copy;
}

function expectSums({ figures, facts }: Asked): void {
  for (const { components, commitment, residual, allocation } of figures) {
    expect(components.reduce((sum, component) => sum + component.bytes, 0)).toBe(commitment);
    expect([allocation, (residual ?? 0) + facts.allocation]).toEqual([facts.allocation, commitment]);
  }
}

const SPARSE_FILLS = ['single', 'descending', 'shuffled', 'everything', 'unaligned', 'overlapping', 'concurrent-mixed', 'two-sessions'];

describe('sparse images on tmpfs', () => {
  it.each(SPARSE_STATES.map((state) => [state.name, state] as const))('%s', async (_, state) => {
    const site = newSite();
    await state.build(site);
    const asked = await ask(site.image);
    expectSums(asked);
    const [byMap, byStat] = asked.figures as [Figures, Figures];
    expect(asked.facts.map).toBeDefined();
    const geometry: FillGeometry = { capacity: asked.census.header.capacity, clusterSize: GRAIN, extendedL2: false };
    // The whole matrix for small disks, the fill that `expected` is defined by for all.
    const names = geometry.capacity > 8 * KiB * KiB ? SPARSE_FILLS.slice(0, 1) : SPARSE_FILLS;
    for (const { name, sessions } of FILLS.filter((fill) => names.includes(fill.name))) {
      const copy = await copyOf(site, name);
      for (const commands of sessions(geometry)) if (commands.length > 0) await vmdkIo(copy, commands);
      const { length, allocation } = reached(copy);
      expect({ fill: name, length, allocation }).toEqual({ fill: name, length: byMap.maxLength, allocation: byMap.commitment });
      expect(byMap.expected).toBe(allocation);
      expect(byStat.commitment).toBeGreaterThanOrEqual(allocation);
      rmSync(copy);
    }
    rmSync(site.directory, { recursive: true });
  });
});

/** The grains of the disk that have no data. */
async function missingGrains(path: string): Promise<{ guestOffset: number; byteLength: number }[]> {
  const file = await openImageFile(path);
  try {
    const { device } = await openVmdk(file.device);
    const missing: { guestOffset: number; byteLength: number }[] = [];
    for await (const { start, end, status } of device.extents(0, device.byteLength)) {
      if (status === 'data') continue;
      for (let at = start; at < end; at += GRAIN) missing.push({ guestOffset: at, byteLength: Math.min(GRAIN, end - at) });
    }
    return missing;
  } finally {
    await file.close();
  }
}

describe('streams on tmpfs', () => {
  it.each(STREAM_STATES.map((state) => [state.name, state] as const))('%s', async (_, state) => {
    const site = newSite();
    await state.build(site);
    const asked = await ask(site.image);
    expectSums(asked);
    const noise = join(site.directory, 'noise');
    writeFileSync(noise, new Prng(5).bytes(GRAIN));
    const missing = (await missingGrains(site.image)).slice(0, 60);
    const writes = missing.map(({ guestOffset, byteLength }) => `write -q -s ${noise} ${guestOffset} ${byteLength}`);
    const ways = {
      'in one session': [writes],
      'a session each': writes.map((one) => [one]),
      'each the same byte': [writes.map((one) => one.replace(/-s \S+/, '-P 7'))],
    };
    for (const [name, sessions] of Object.entries(ways)) {
      const copy = await copyOf(site, name);
      for (const commands of sessions) if (commands.length > 0) await vmdkIo(copy, commands);
      const { length, allocation } = reached(copy);
      for (const figures of asked.figures) {
        expect(figures.commitment, name).toBeGreaterThanOrEqual(allocation);
        expect(figures.maxLength, name).toBeGreaterThanOrEqual(length);
      }
      // It is reached except for the last grain's end, when each comes in a session of its own.
      const isWhole = missing.length < 60 && name === 'a session each';
      if (isWhole) expect(asked.figures[0]?.commitment).toBeLessThanOrEqual(allocation + GRAIN);
      rmSync(copy);
    }
    rmSync(site.directory, { recursive: true });
  });

  it('an existing grain cannot be written again: QEMU refuses, and the commitment of a full stream is its allocation', async () => {
    const site = newSite();
    await STREAM_STATES.find(({ name }) => name === 'stream, full')?.build(site);
    const { figures, facts } = await ask(site.image);
    expect(figures.map(({ commitment, expected }) => [commitment, expected])).toEqual([
      [facts.allocation, facts.allocation],
      [facts.allocation, facts.allocation],
    ]);
    await expect(vmdkIo(site.image, [`write -q 0 ${GRAIN}`])).rejects.toThrow(/write failed|allocated cluster/);
    expect(reached(site.image)).toEqual({ length: facts.length, allocation: facts.allocation });
  });
});

import { describe, expect, it } from 'vitest';
import { KiB, MiB } from '#base';
import type { FileFacts } from '#block';
import { openVhdx } from '#formats';
import { component } from '#wire';
import { aVhdx, type VhdxBuilder } from '../../tests/support/vhdx-builder.ts';
import { type Figures } from './figures.ts';
import { vhdxFigures } from './vhdx-figures.ts';

async function figuresOf(
  builder: VhdxBuilder,
  stored: readonly (readonly [number, number])[] | undefined,
  allocation = 0,
): Promise<Figures> {
  const map = stored?.map(([fileOffset, byteLength]) => ({
    fileOffset,
    byteLength,
    physicalOffset: undefined,
    shared: false,
    unwritten: false,
    encoded: false,
  }));
  const facts: FileFacts = {
    identity: '1:1',
    length: builder.length,
    allocation: map?.reduce((sum, range) => sum + range.byteLength, 0) ?? allocation,
    filesystem: 'tmpfs',
    fsBlockSize: 4096,
    map,
    extentSizeHint: 0,
    cowExtentSize: 0,
    noCow: undefined,
    openForWriting: undefined,
  };
  return vhdxFigures(await openVhdx(builder.device()), facts);
}

/** Header section, log, BAT and metadata stored whole. */
const TABLES = [[0, 4 * MiB]] as const;

describe('vhdxFigures()', () => {
  it('adds a whole block for each that has no place, and less for the last one of the disk', async () => {
    const builder = aVhdx({ capacity: 9 * MiB + 512, blockSize: 4 * MiB });
    const figures = await figuresOf(builder.withBlock(0, builder.blocks, 4 * MiB), [...TABLES, [builder.blocks, 4096]]);
    expect(figures.components).toEqual([
      component('allocated', 4 * MiB + 4096),
      component('mapped-guest-data', 4 * MiB - 4096),
      component('blocks', 5 * MiB + 4096),
    ]);
    expect(figures).toMatchObject({ commitment: 13 * MiB + 4096, expected: 13 * MiB + 4096, maxLength: 16 * MiB, capacity: 9 * MiB + 512 });
  });

  it('counts what headers, table and log have not stored yet', async () => {
    const figures = await figuresOf(aVhdx({ capacity: 3 * MiB }), [[0, 128 * KiB]]);
    expect(figures.components).toEqual([
      component('allocated', 128 * KiB),
      component('headers-and-bat', 8 * KiB),
      component('log', 24 * KiB),
      component('blocks', 3 * MiB),
    ]);
  });

  it('uses storage behind the file for new blocks, once', async () => {
    const figures = await figuresOf(aVhdx({ capacity: 3 * MiB }), [...TABLES, [4 * MiB, 2 * MiB]]);
    expect(figures.commitment).toBe(7 * MiB);
  });

  it('stays as it is when all blocks are there', async () => {
    const builder = aVhdx({ capacity: 2 * MiB });
    builder.withBlock(0, builder.blocks).withBlock(1, builder.blocks + MiB);
    const figures = await figuresOf(builder, [[0, 6 * MiB]]);
    expect(figures).toMatchObject({ commitment: 6 * MiB, maxLength: 6 * MiB, residual: 0, findings: [] });
  });

  it('without a map takes all that has a place for what can be stored', async () => {
    const figures = await figuresOf(aVhdx({ capacity: 3 * MiB }), undefined, MiB);
    expect(figures.components).toEqual([
      component('allocated', MiB),
      component('metadata-and-mapped-data', 3 * MiB),
      component('blocks', 3 * MiB),
    ]);
    expect(figures).toMatchObject({ method: 'stat', commitment: 7 * MiB });
  });

  it('says of a fixed image that its blocks have no place', async () => {
    const { findings } = await figuresOf(aVhdx({ flags: 1 }), TABLES);
    expect(findings.map(({ code, level }) => [code, level])).toEqual([['VHDX_FIXED_WITHOUT_BLOCKS', 'warning']]);
  });

  it('counts what the replay of a log writes, and the length it makes', async () => {
    const builder = aVhdx({ capacity: 3 * MiB });
    const at = builder.metadata + 512 * KiB;
    builder.withLogEntry(0, { sequenceNumber: 1, updates: [{ at, zeros: 8192 }], lastFileOffset: 8 * MiB });
    const figures = await figuresOf(builder, [[0, 3 * MiB]]);
    expect(figures.components[1]).toEqual(component('headers-and-bat', 8192));
    expect(figures.maxLength).toBe(11 * MiB);
    expect(figures.findings.map(({ code }) => code)).toEqual(['VHDX_LOG_PENDING']);
  });
});

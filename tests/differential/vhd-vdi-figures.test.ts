/**
 * Figures of VHD and VDI against QEMU itself: copies of each image, filled to the last byte in several orders, on tmpfs,
 * where nothing is charged but what QEMU writes.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openVdi, openVhd } from '#formats';
import { openImageFile } from '#host';
import { type Figures, vdiFigures, vhdFigures } from '#commitment';
import { runTool } from '../support/qemu.ts';
import { type JudgedFormat, writeByQemu } from './judge-reader.ts';
import { Prng } from './prng.ts';

const root = mkdtempSync('/dev/shm/plimsoll-block-figures-');
afterAll(() => rmSync(root, { recursive: true, force: true }));

const MiB = 1024 * 1024;
const HOST_BLOCK = 4096;

interface State {
  readonly name: string;
  readonly format: JudgedFormat;
  readonly options: string;
  readonly capacity: number;
  readonly writes: readonly string[];
}

const SOME = ['write -q -P 1 3M 100k', 'write -q -P 2 9M 512'];
const LAST = ['write -q -P 1 11M 1k'];

const STATES: readonly State[] = [
  { name: 'VHD, new', format: 'vpc', options: 'force_size=on', capacity: 12 * MiB, writes: [] },
  { name: 'VHD, geometry, new', format: 'vpc', options: 'subformat=dynamic', capacity: 12 * MiB, writes: [] },
  { name: 'VHD, odd, new', format: 'vpc', options: 'force_size=on', capacity: 12 * MiB - 333 * 512, writes: [] },
  { name: 'VHD, one sector', format: 'vpc', options: 'force_size=on', capacity: 512, writes: [] },
  { name: 'VHD, some', format: 'vpc', options: 'force_size=on', capacity: 12 * MiB - 512, writes: SOME },
  { name: 'VHD, odd, last there', format: 'vpc', options: 'force_size=on', capacity: 12 * MiB - 100 * 512, writes: LAST },
  { name: 'VHD, all but little', format: 'vpc', options: 'force_size=on', capacity: 12 * MiB, writes: ['write -q 0 9M', ...LAST] },
  { name: 'VHD, full', format: 'vpc', options: 'force_size=on', capacity: 5 * MiB, writes: ['write -q 0 5M'] },
  { name: 'fixed VHD, new', format: 'vpc', options: 'subformat=fixed,force_size=on', capacity: 7 * MiB + 512, writes: [] },
  { name: 'fixed VHD, some', format: 'vpc', options: 'subformat=fixed', capacity: 12 * MiB, writes: SOME },
  { name: 'VDI, new', format: 'vdi', options: 'static=off', capacity: 12 * MiB, writes: [] },
  { name: 'VDI, odd, new', format: 'vdi', options: 'static=off', capacity: 12 * MiB - 333 * 512, writes: [] },
  { name: 'VDI, some', format: 'vdi', options: 'static=off', capacity: 12 * MiB - 512, writes: SOME },
  { name: 'VDI, odd, last there', format: 'vdi', options: 'static=off', capacity: 12 * MiB - 100 * 512, writes: LAST },
  { name: 'VDI, full', format: 'vdi', options: 'static=off', capacity: 5 * MiB, writes: ['write -q 0 5M'] },
  { name: 'static VDI, new', format: 'vdi', options: 'static=on', capacity: 12 * MiB - 333 * 512, writes: [] },
  { name: 'static VDI, some', format: 'vdi', options: 'static=on', capacity: 12 * MiB, writes: SOME },
];

/** Every byte once, in pieces of `piece` bytes. */
function pieces(capacity: number, piece: number): string[] {
  const commands: string[] = [];
  for (let at = 0; at < capacity; at += piece) commands.push(`write -q -P 7 ${at} ${Math.min(piece, capacity - at)}`);
  return commands;
}

async function figuresOf(path: string, format: JudgedFormat, withoutMap = false): Promise<Figures> {
  await using file = await openImageFile(path);
  const facts = { ...(await file.facts()), ...(withoutMap ? { map: undefined, written: undefined } : {}) };
  return format === 'vpc' ? vhdFigures(await openVhd(file.device), facts) : vdiFigures(await openVdi(file.device), facts);
}

describe('figures of an image that is filled', () => {
  it.each(STATES.map((state) => [state.name, state] as const))('%s', async (_, { format, options, capacity, writes }) => {
    const path = join(root, 'image');
    await runTool('qemu-img', ['create', '-q', '-f', format, '-o', options, path, String(capacity)]);
    await writeByQemu(path, format, writes);
    const figures = await figuresOf(path, format);
    const blind = await figuresOf(path, format, true);
    const { commitment, maxLength, expected, allocation } = figures;
    if (commitment === null || maxLength === null || expected === null || allocation === null) throw new Error('a figure is missing');
    expect(figures.method).toBe('map');
    expect(figures.components.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(commitment);
    expect(blind.components.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(blind.commitment);
    const size = figures.capacity ?? 0;
    const orders = [
      ['ascending', pieces(size, 2 * MiB)],
      ['descending', pieces(size, MiB).reverse()],
      ['shuffled', new Prng(capacity).shuffled(pieces(size, 65_536))],
      ['at once', [`write -q -P 7 0 ${size}`]],
    ] as const;
    const reached: { order: string; storage: number; length: number }[] = [];
    for (const [order, commands] of orders) {
      const copy = join(root, 'copy');
      await runTool('cp', ['--sparse=auto', path, copy]);
      await writeByQemu(copy, format, commands);
      const { blocks, size: length } = statSync(copy);
      reached.push({ order, storage: blocks * 512, length });
      if (order === 'ascending' && allocation === statSync(path).blocks * 512) expect(blocks * 512).toBeLessThanOrEqual(expected);
    }
    const most = Math.max(...reached.map(({ storage }) => storage));
    const longest = Math.max(...reached.map(({ length }) => length));
    const said = JSON.stringify({ figures, reached });
    expect(commitment, said).toBeGreaterThanOrEqual(most);
    expect(blind.commitment, said).toBeGreaterThanOrEqual(most);
    expect(commitment - most, said).toBeLessThanOrEqual(2 * HOST_BLOCK);
    expect(Math.abs(expected - (reached[0]?.storage ?? 0)), said).toBeLessThanOrEqual(HOST_BLOCK);
    expect(maxLength, said).toBeGreaterThanOrEqual(longest);
    expect(maxLength - longest, said).toBeLessThan(HOST_BLOCK);
  });
});

/** The figures of VHDX images beside what QEMU reaches when the guest fills the disk to its last byte. On tmpfs, which charges nothing. */
import { mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { KiB, MiB } from '#base';
import { openVhdx } from '#formats';
import { openImageFile } from '#host';
import { type Figures, vhdxFigures } from '#commitment';
import { qemuImg } from '../support/qemu.ts';
import { createVhdx, interruptVhdx, type VhdxOptions, writeVhdx } from '../support/vhdx-qemu.ts';
import { Prng } from './prng.ts';

const directory = mkdtempSync('/dev/shm/plimsoll-vhdx-figures-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface State extends VhdxOptions {
  readonly name: string;
  readonly capacity: number;
  readonly commands?: readonly string[];
  /** What else is done to the file. */
  readonly afterwards?: (path: string) => Promise<void> | void;
}

const STATES: readonly State[] = [
  { name: 'new-dynamic', capacity: 64 * MiB },
  { name: 'new-dynamic-8m', capacity: 70 * MiB + 512, blockSize: '8M' },
  { name: 'new-not-present', capacity: 250 * MiB, blockStateZero: false },
  { name: 'new-fixed', capacity: 70 * MiB, subformat: 'fixed', blockSize: '8M', blockStateZero: false },
  { name: 'new-fixed-without-blocks', capacity: 70 * MiB, subformat: 'fixed', blockSize: '8M' },
  { name: 'written', capacity: 100 * MiB, blockSize: '8M', commands: ['write -q 3M 1M', 'write -q 33M 5000k', 'write -q 99M 4k'] },
  { name: 'last-block-only', capacity: 69 * MiB + 512, blockSize: '8M', commands: ['write -q 68M 512'] },
  { name: 'log-full', capacity: 200 * MiB, commands: Array.from({ length: 140 }, (_, index) => `write -q ${index}M 64k`) },
  { name: 'full', capacity: 64 * MiB, commands: ['write -q 0 64M'] },
  { name: 'odd-length', capacity: 64 * MiB, afterwards: (path) => truncateSync(path, 8 * MiB + 5000) },
  { name: 'dirty-log', capacity: 64 * MiB, afterwards: (path) => interruptVhdx(path, 'write 5M 1M', 2 * MiB) },
];

type Fill = (capacity: number) => readonly (readonly string[])[];

const FILLS: Readonly<Record<string, Fill>> = {
  'all at once': (capacity) => [Array.from({ length: Math.ceil(capacity / (64 * MiB)) }, (_, index) => write(index, 64 * MiB, capacity))],
  'backwards, 512 KiB, reopened': (capacity) => {
    const commands = Array.from({ length: Math.ceil(capacity / (512 * KiB)) }, (_, index) => write(index, 512 * KiB, capacity)).reverse();
    return [commands.slice(0, 30), commands.slice(30, 31), commands.slice(31)];
  },
  'in disorder, then zeros': (capacity) => {
    const commands = Array.from({ length: Math.ceil(capacity / (2 * MiB)) }, (_, index) => write(index, 2 * MiB, capacity));
    return [new Prng(11).shuffled(commands), [`write -q -z 0 ${Math.min(capacity, 20 * MiB)}`]];
  },
};

function write(index: number, length: number, capacity: number): string {
  return `write -q -P 85 ${index * length} ${Math.min(length, capacity - index * length)}`;
}

async function build(state: State, path: string): Promise<void> {
  await createVhdx(path, String(state.capacity), state);
  if (state.commands !== undefined) await writeVhdx(path, state.commands);
  await state.afterwards?.(path);
}

async function figuresOf(path: string, hasMap: boolean): Promise<Figures> {
  await using file = await openImageFile(path);
  const facts = await file.facts();
  return vhdxFigures(await openVhdx(file.device), hasMap ? facts : { ...facts, map: undefined });
}

describe('VHDX figures', () => {
  it.each(STATES)('$name: never below what QEMU reaches, and close', async (state) => {
    const path = join(directory, `${state.name}.vhdx`);
    const most = { allocation: 0, length: 0 };
    let said: Figures | undefined;
    for (const [fill, sessions] of Object.entries(FILLS)) {
      await build(state, path);
      said = await figuresOf(path, true);
      const byStat = await figuresOf(path, false);
      expect(said.components.reduce((sum, component) => sum + component.bytes, 0)).toBe(said.commitment);
      expect(byStat.components.reduce((sum, component) => sum + component.bytes, 0)).toBe(byStat.commitment);
      if (state.name === 'dirty-log') await qemuImg(directory, 'check', '-q', '-r', 'all', path);
      for (const commands of sessions(state.capacity)) await writeVhdx(path, commands);
      const { size, blocks } = statSync(path);
      most.allocation = Math.max(most.allocation, blocks * 512);
      most.length = Math.max(most.length, size);
      expect(blocks * 512, fill).toBeLessThanOrEqual(said.commitment ?? 0);
      expect(blocks * 512, fill).toBeLessThanOrEqual(byStat.commitment ?? 0);
      expect((byStat.commitment ?? 0) - blocks * 512, fill).toBeLessThan(4 * MiB);
      expect(size, fill).toBeLessThanOrEqual(said.maxLength ?? 0);
      rmSync(path);
    }
    expect(said?.maxLength).toBe(most.length);
    expect((said?.commitment ?? 0) - most.allocation).toBeLessThanOrEqual(state.name === 'dirty-log' ? 8 * KiB : 0);
  });
});

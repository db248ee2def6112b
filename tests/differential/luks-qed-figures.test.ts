/**
 * Figures of LUKS volumes and QED against QEMU itself: each image filled to the last byte in several orders, on tmpfs, where
 * nothing is charged but what QEMU writes.
 */
import { readUpTo } from '#block';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openQed } from '#formats';
import { openImageFile } from '#host';
import { examineImage } from '#sandbox';
import { runTool } from '../support/qemu.ts';
import { Prng } from './prng.ts';

const root = mkdtempSync('/dev/shm/plimsoll-luks-qed-');
afterAll(() => rmSync(root, { recursive: true, force: true }));

const MiB = 1024 * 1024;
const SECRET = ['--object', 'secret,id=s,data=x'];

/** Every byte once, in pieces of `piece` bytes. */
function pieces(capacity: number, piece: number): string[] {
  const commands: string[] = [];
  for (let at = 0; at < capacity; at += piece) commands.push(`write -q -P 7 ${at} ${Math.min(piece, capacity - at)}`);
  return commands;
}

const luksOf = (path: string): string[] => ['--image-opts', `driver=luks,file.filename=${path},key-secret=s`];

describe('a LUKS volume that is filled', () => {
  it.each([
    ['of whole MiB', 4 * MiB, 'aes-256'],
    ['of an odd length', 4 * MiB - 512, 'aes-128'],
  ])('%s reaches its commitment and never more', { timeout: 600_000 }, async (_, capacity, cipher) => {
    const path = join(root, 'volume.luks');
    const options = `key-secret=s,iter-time=10,cipher-alg=${cipher}`;
    await runTool('qemu-img', ['create', '-q', ...SECRET, '-f', 'luks', '-o', options, path, String(capacity)]);
    const before = await examineImage(path);
    expect(before).toMatchObject({
      format: 'luks',
      formatSource: 'signature',
      capacity,
      details: { version: 1, cipher: 'aes-xts-plain64' },
    });
    expect(before.error).toBeUndefined();
    const commands = new Prng(capacity).shuffled(pieces(capacity, 65_536));
    await runTool('qemu-io', [...SECRET, ...luksOf(path)], { input: `${commands.join('\n')}\n` });
    const { size, blocks } = statSync(path);
    // The remaining holes are those of unused keyslots, which adding a key fills.
    const wholeFile = Math.ceil(size / 4096) * 4096;
    expect(before).toMatchObject({ commitment: wholeFile, expected: blocks * 512, maxLength: size });
    expect(await examineImage(path)).toMatchObject({ capacity, commitment: wholeFile, allocation: blocks * 512, expected: blocks * 512 });
  });
});

interface QedState {
  readonly name: string;
  readonly options: string;
  readonly capacity: number;
  /** Batches of commands, each in a process of its own. */
  readonly batches: readonly (readonly string[])[];
  readonly backing?: number;
}

const QED_STATES: readonly QedState[] = [
  { name: 'new', options: 'cluster_size=65536', capacity: 12 * MiB, batches: [] },
  { name: 'odd capacity', options: 'cluster_size=65536', capacity: 12 * MiB - 333 * 512, batches: [] },
  { name: 'smallest clusters', options: 'cluster_size=4096,table_size=2', capacity: 9 * MiB + 512, batches: [['write -q 5M 100k']] },
  { name: 'large tables', options: 'cluster_size=4096,table_size=16', capacity: 9 * MiB, batches: [['write -q 8M 512', 'write -q 0 4k']] },
  { name: 'large clusters', options: 'cluster_size=4M,table_size=2', capacity: 13 * MiB, batches: [['write -q 5M 512']] },
  { name: 'one cluster only', options: 'cluster_size=1M,table_size=4', capacity: 512, batches: [] },
  {
    name: 'zeros and reopenings',
    options: 'cluster_size=64k,table_size=2',
    capacity: 8 * MiB,
    batches: [['write -q -z 0 1M', 'write -q 3M 512'], ['write -q -z 3M 1M', 'write -q 256k 10k'], ['write -q -z 256k 64k']],
  },
  { name: 'full', options: 'cluster_size=64k', capacity: 3 * MiB, batches: [['write -q 0 3M']] },
  {
    name: 'killed while open',
    options: 'cluster_size=64k',
    capacity: 6 * MiB,
    batches: [['write -q 1M 200k', 'write -q 4M 512', 'sigraise 9']],
  },
  { name: 'over a backing file', options: 'cluster_size=64k', capacity: 6 * MiB, batches: [['write -q 1M 512']], backing: 4 * MiB },
  { name: 'over a longer backing file', options: 'cluster_size=1M', capacity: 3 * MiB - 512, batches: [], backing: 8 * MiB },
];

async function runBatch(path: string, commands: readonly string[]): Promise<void> {
  const work = runTool('qemu-io', ['-f', 'qed', path], { input: `${commands.join('\n')}\n` });
  await (commands.at(-1) === 'sigraise 9' ? work.catch(() => undefined) : work);
}

/** An image in `state`, under `name`; its backing file beside it. */
async function makeQed(name: string, { options, capacity, batches, backing }: QedState): Promise<string> {
  const path = join(root, name);
  if (backing !== undefined) {
    const base = join(root, 'base.raw');
    await runTool('qemu-img', ['create', '-q', '-f', 'raw', base, String(backing)]);
    await runTool('qemu-io', ['-f', 'raw', '-c', `write -q -P 9 0 ${backing}`, base]);
  }
  const over = backing === undefined ? [] : ['-b', 'base.raw', '-F', 'raw'];
  await runTool('qemu-img', ['create', '-q', '-f', 'qed', '-o', options, ...over, path, String(capacity)]);
  for (const commands of batches) await runBatch(path, commands);
  return path;
}

describe('a QED image that is filled', () => {
  it.each(QED_STATES.map((state) => [state.name, state] as const))('%s', { timeout: 600_000 }, async (_, state) => {
    const path = await makeQed('image.qed', state);
    const report = await examineImage(path);
    const { commitment, expected, maxLength, capacity, components, error, chain } = report;
    expect(error).toBeUndefined();
    if (commitment === null || expected === null || maxLength === null) throw new Error('a figure is missing');
    expect(capacity).toBe(state.capacity);
    expect(components.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(commitment);
    expect(chain.map(({ status, format }) => [status, format])).toEqual(state.backing === undefined ? [] : [['opened', 'raw']]);
    const shuffled = new Prng(state.capacity).shuffled(pieces(state.capacity, 32_768));
    const orders = [[pieces(state.capacity, MiB)], [shuffled.slice(0, 40), shuffled.slice(40)], [[`write -q -P 7 0 ${state.capacity}`]]];
    const reached: { storage: number; length: number }[] = [];
    for (const batches of orders) {
      // Created anew: a copy would leave out zeros that QEMU stores.
      const copy = await makeQed('copy.qed', state);
      for (const commands of batches) await runBatch(copy, commands);
      const { blocks, size } = statSync(copy);
      reached.push({ storage: blocks * 512, length: size });
    }
    const most = Math.max(...reached.map(({ storage }) => storage));
    const longest = Math.max(...reached.map(({ length }) => length));
    const found = JSON.stringify({ report, reached });
    expect(commitment, found).toBeGreaterThanOrEqual(most);
    expect(commitment - most, found).toBeLessThanOrEqual(2 * 4096);
    expect(expected - (reached[0]?.storage ?? 0), found).toBeLessThanOrEqual(4096);
    expect(maxLength, found).toBe(longest);
  });
});

it('reads the guest map and the bytes of a QED image as QEMU does', async () => {
  const state = { name: '', options: 'cluster_size=4k,table_size=2', capacity: 5 * MiB + 512 };
  const batches = [
    ['write -q -P 3 1M 10k', 'write -q -P 4 3M 512', 'write -q -z 2M 64k', 'write -q -P 5 5M 512', 'write -q -P 6 1016k 8k'],
  ];
  const path = await makeQed('map.qed', { ...state, batches });
  const raw = join(root, 'map.raw');
  await runTool('qemu-img', ['convert', '-f', 'qed', '-O', 'raw', path, raw]);
  await using file = await openImageFile(path);
  const { device } = await openQed(file.device);
  const map = JSON.parse(await runTool('qemu-img', ['map', '--output=json', '-f', 'qed', path])) as QemuMapRow[];
  const own: QemuMapRow[] = [];
  for await (const { start, end, status, fileOffset } of device.extents(0, device.byteLength)) {
    const row = { start, length: end - start, zero: status !== 'data', ...(fileOffset === undefined ? {} : { offset: fileOffset }) };
    const last = own.at(-1);
    if (last?.zero === true && row.zero) own[own.length - 1] = { ...last, length: last.length + row.length };
    else own.push(row);
  }
  const theirs = map.map(({ start, length, zero, offset }) => ({ start, length, zero, ...(offset === undefined ? {} : { offset }) }));
  expect(own).toEqual(joined(theirs));
  expect(Buffer.compare(Buffer.from(await readUpTo(device, 0, device.byteLength)), readFileSync(raw))).toBe(0);
});

interface QemuMapRow {
  readonly start: number;
  readonly length: number;
  readonly zero: boolean;
  readonly offset?: number;
}

/** QEMU lists zeros of different kinds apart. */
function joined(rows: readonly QemuMapRow[]): QemuMapRow[] {
  const list: QemuMapRow[] = [];
  for (const row of rows) {
    const last = list.at(-1);
    if (last?.zero === true && row.zero) list[list.length - 1] = { ...last, length: last.length + row.length };
    else list.push(row);
  }
  return list;
}

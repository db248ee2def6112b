/**
 * qcow images of version 1 against QEMU itself: the guest's bytes and map after random writes, and the figures with each image
 * filled to the last byte in several orders, on tmpfs, where nothing is charged but what QEMU writes.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { readUpTo } from '#block';
import { openQcow } from '#formats';
import { openImageFile } from '#host';
import { examineImage } from '#sandbox';
import { HEADER } from '../../src/formats/qcow/layout.ts';
import { runTool } from '../support/qemu.ts';
import { Prng } from './prng.ts';

const MiB = 1024 * 1024;
const root = mkdtempSync('/dev/shm/plimsoll-qcow-');
const at = (name: string): string => join(root, name);
afterAll(() => rmSync(root, { recursive: true, force: true }));
beforeEach(() => {
  for (const name of ['image.qcow', 'copy.qcow', 'base.raw', 'source.raw']) rmSync(at(name), { force: true });
});

const SECRET = ['--object', 'secret,id=s,data=x'];

interface QcowState {
  readonly name: string;
  readonly capacity: number;
  /** Of an image that QEMU opens and that `qemu-img create` never makes: log2 of a cluster's bytes, and of a table's entries. */
  readonly shape?: { readonly clusterBits: number; readonly l2Bits: number };
  readonly backing?: number;
  readonly encrypted?: true;
  /** Guest bytes that are compressed, from the start. `qemu-img convert -c` of QEMU 7.2 fails for this format, `write -c` does not. */
  readonly compressed?: number;
  /** Batches of commands of qemu-io, each in a process of its own. */
  readonly batches?: readonly (readonly string[])[];
}

const STATES: readonly QcowState[] = [
  { name: 'new', capacity: 5 * MiB },
  { name: 'with an odd capacity', capacity: 5 * MiB - 333 * 512 },
  { name: 'smaller than a cluster', capacity: 1024 },
  { name: 'with clusters of 512 bytes and small tables', capacity: MiB, shape: { clusterBits: 9, l2Bits: 6 } },
  { name: 'with clusters of 64 KiB and small tables', capacity: 9 * MiB + 512, shape: { clusterBits: 16, l2Bits: 6 } },
  {
    name: 'with clusters of 64 KiB and large tables',
    capacity: 9 * MiB - 512,
    shape: { clusterBits: 16, l2Bits: 13 },
    batches: [['write -q 5M 512']],
  },
  {
    name: 'with clusters of 4 KiB and large tables',
    capacity: 6 * MiB,
    shape: { clusterBits: 12, l2Bits: 13 },
    batches: [['write -q 5M 512']],
  },
  {
    name: 'written, reopened, discarded and zeroed',
    capacity: 6 * MiB,
    batches: [
      ['write -q 1M 100k', 'discard -q 1M 64k'],
      ['write -q -z 3M 1M', 'write -q 5M 512'],
    ],
  },
  { name: 'full', capacity: 3 * MiB, batches: [['write -q 0 3M']] },
  { name: 'killed while open', capacity: 6 * MiB, batches: [['write -q 1M 200k', 'write -q 4M 512', 'sigraise 9']] },
  { name: 'compressed', capacity: 4 * MiB, compressed: 4 * MiB },
  {
    name: 'compressed in part, and written',
    capacity: 5 * MiB - 512,
    compressed: 3 * MiB,
    batches: [['write -q 1M 100k', 'write -q 2M 512']],
  },
  { name: 'compressed to an odd end', capacity: 3 * MiB + 1536, compressed: 3 * MiB + 1536 },
  { name: 'over a backing file', capacity: 3 * MiB, backing: 2 * MiB, batches: [['write -q 1M 512']] },
  { name: 'encrypted', capacity: 3 * MiB - 1536, encrypted: true, batches: [['write -q 1M 512']] },
];

function imageArguments(path: string, { encrypted }: QcowState): string[] {
  if (encrypted !== true) return ['-f', 'qcow', path];
  return [...SECRET, '--image-opts', `driver=qcow,file.filename=${path},encrypt.format=aes,encrypt.key-secret=s`];
}

async function runBatch(path: string, state: QcowState, commands: readonly string[]): Promise<void> {
  const work = runTool('qemu-io', imageArguments(path, state), { input: `${commands.join('\n')}\n` });
  await (commands.at(-1) === 'sigraise 9' ? work.catch(() => undefined) : work);
}

async function create(path: string, state: QcowState): Promise<void> {
  const { capacity, shape, backing, encrypted } = state;
  if (shape !== undefined) return writeFileSync(path, emptyImage(capacity, shape));
  const over = backing === undefined ? [] : ['-b', 'base.raw', '-F', 'raw'];
  if (backing !== undefined) {
    await runTool('qemu-img', ['create', '-q', '-f', 'raw', at('base.raw'), String(backing)]);
    await runTool('qemu-io', ['-f', 'raw', '-c', `write -q -P 9 0 ${backing}`, at('base.raw')]);
  }
  const options = encrypted === true ? [...SECRET, '-o', 'encrypt.format=aes,encrypt.key-secret=s'] : [];
  await runTool('qemu-img', ['create', '-q', '-f', 'qcow', ...options, ...over, path, String(capacity)]);
}

/** Header and L1 table, as `qcow_co_create` would write them for this shape. */
function emptyImage(capacity: number, { clusterBits, l2Bits }: NonNullable<QcowState['shape']>): Buffer {
  const l1Bytes = Math.ceil(capacity / 2 ** (clusterBits + l2Bits)) * 8;
  const bytes = Buffer.alloc(HEADER.byteLength + Math.ceil(l1Bytes / 512) * 512);
  bytes.write('QFI\xfb\0\0\0\x01', 'latin1');
  bytes.writeBigUInt64BE(BigInt(capacity), HEADER.fields.size.at);
  bytes.writeUInt8(clusterBits, HEADER.fields.clusterBits.at);
  bytes.writeUInt8(l2Bits, HEADER.fields.l2Bits.at);
  bytes.writeBigUInt64BE(BigInt(HEADER.byteLength), HEADER.fields.l1TableOffset.at);
  return bytes;
}

/** An image in `state`, under `name`; its backing file beside it. */
async function makeImage(name: string, state: QcowState): Promise<string> {
  const path = at(name);
  rmSync(path, { force: true });
  await create(path, state);
  const compressed = Array.from({ length: Math.ceil((state.compressed ?? 0) / 4096) }, (_, index) => {
    const offset = index * 4096;
    return `write -q -c -P ${index % 251} ${offset} ${Math.min(4096, state.capacity - offset)}`;
  });
  for (const commands of [compressed, ...(state.batches ?? [])]) if (commands.length > 0) await runBatch(path, state, commands);
  return path;
}

/** Every byte once, in pieces of `piece` bytes. */
function pieces(capacity: number, piece: number): string[] {
  const commands: string[] = [];
  for (let offset = 0; offset < capacity; offset += piece) commands.push(`write -q -P 7 ${offset} ${Math.min(piece, capacity - offset)}`);
  return commands;
}

describe('a qcow image that is filled', () => {
  it.each(STATES.map((state) => [state.name, state] as const))('%s', { timeout: 600_000 }, async (_, state) => {
    const report = await examineImage(await makeImage('image.qcow', state));
    const { commitment, expected, maxLength, components, error, chain } = report;
    expect(error).toBeUndefined();
    expect(report).toMatchObject({ format: 'qcow', formatSource: 'signature', capacity: state.capacity });
    expect(report.details['encryption']).toBe(state.encrypted === true ? 'aes' : 'none');
    if (commitment === null || expected === null || maxLength === null) throw new Error('a figure is missing');
    expect(components.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(commitment);
    expect(chain.map(({ status, format }) => [status, format])).toEqual(state.backing === undefined ? [] : [['opened', 'raw']]);
    const shuffled = new Prng(state.capacity).shuffled(pieces(state.capacity, 7 * 512));
    const orders = [[pieces(state.capacity, MiB)], [shuffled.slice(0, 40), shuffled.slice(40)], [[`write -q -P 7 0 ${state.capacity}`]]];
    const reached: { storage: number; length: number }[] = [];
    for (const batches of orders) {
      // Made anew: a copy would leave out zeros that QEMU stores.
      const copy = await makeImage('copy.qcow', state);
      for (const commands of batches.filter(({ length }) => length > 0)) await runBatch(copy, state, commands);
      const { blocks, size } = statSync(copy);
      reached.push({ storage: blocks * 512, length: size });
    }
    const most = Math.max(...reached.map(({ storage }) => storage));
    const longest = Math.max(...reached.map(({ length }) => length));
    const found = JSON.stringify({ state, report, reached });
    expect(commitment, found).toBeGreaterThanOrEqual(most);
    // A direct write ends with a block of the host.
    expect(maxLength, found).toBeGreaterThanOrEqual(longest);
    expect(maxLength, found).toBeLessThanOrEqual(Math.ceil(longest / 4096) * 4096);
    // A table that is smaller than a cluster leaves the rest of its place unwritten.
    const tables = Math.ceil(state.capacity / 2 ** ((state.shape?.clusterBits ?? 12) + (state.shape?.l2Bits ?? 9)));
    const unwritten = tables * Math.max(0, 2 ** (state.shape?.clusterBits ?? 12) - 8 * 2 ** (state.shape?.l2Bits ?? 9));
    expect(commitment - most, found).toBeLessThanOrEqual(unwritten + 2 * 4096);
    expect(expected - (reached[0]?.storage ?? 0), found).toBeLessThanOrEqual(unwritten + 4096);
  });
});

interface QemuMapRow {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
  readonly zero: boolean;
  readonly offset?: number;
}

/** QEMU lists zeros of different kinds apart, and splits runs where it likes: joined where they continue. */
function joined(rows: readonly Omit<QemuMapRow, 'data'>[]): Omit<QemuMapRow, 'data'>[] {
  const list: Omit<QemuMapRow, 'data'>[] = [];
  for (const { start, length, zero, offset } of rows) {
    const last = list.at(-1);
    const continues =
      last !== undefined && last.zero === zero && (last.offset === undefined ? offset === undefined : last.offset + last.length === offset);
    if (continues) list[list.length - 1] = { ...last, length: last.length + length };
    else list.push({ start, length, zero, ...(offset === undefined ? {} : { offset }) });
  }
  return list;
}

describe('the guest data of a qcow image', () => {
  const readable = STATES.filter(({ encrypted, backing }) => encrypted === undefined && backing === undefined);
  it.each(readable.map((state, seed) => [state.name, state, seed] as const))(
    '%s: after random writes its map and bytes are those that QEMU reads',
    { timeout: 300_000 },
    async (_, state, seed) => {
      const path = await makeImage('image.qcow', state);
      const random = new Prng(seed + 1);
      const sectors = state.capacity / 512;
      const commands = Array.from({ length: 30 }, (_unused, index) => {
        const first = random.below(sectors);
        const count = Math.min(1 + random.below(200), sectors - first);
        return `write -q -P ${index + 1} ${first * 512} ${count * 512}`;
      });
      await runBatch(path, state, commands);
      await runTool('qemu-img', ['convert', '-f', 'qcow', '-O', 'raw', path, at('source.raw')]);
      await using file = await openImageFile(path);
      const { device } = await openQcow(file.device);
      const own: Omit<QemuMapRow, 'data'>[] = [];
      for await (const { start, end, status, fileOffset } of device.extents(0, device.byteLength))
        own.push({ start, length: end - start, zero: status !== 'data', ...(fileOffset === undefined ? {} : { offset: fileOffset }) });
      const map = JSON.parse(await runTool('qemu-img', ['map', '--output=json', '-f', 'qcow', path])) as QemuMapRow[];
      expect(joined(own)).toEqual(joined(map));
      expect(Buffer.compare(Buffer.from(await readUpTo(device, 0, device.byteLength)), readFileSync(at('source.raw')))).toBe(0);
    },
  );
});

it('reports the capacity, the backing file and the encryption that qemu-img info reports', async () => {
  for (const state of STATES.filter(({ backing, encrypted }) => backing !== undefined || encrypted !== undefined)) {
    const path = await makeImage('image.qcow', state);
    const info = JSON.parse(await runTool('qemu-img', ['info', '--output=json', '-f', 'qcow', path])) as Record<string, unknown>;
    await using file = await openImageFile(path);
    const { header } = await openQcow(file.device);
    const theirs = [info['virtual-size'], info['backing-filename'], info['encrypted'] === true, info['cluster-size']];
    expect([header.capacity, header.backingFile, header.encryption === 'aes', header.clusterSize]).toEqual(theirs);
  }
});

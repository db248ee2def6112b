/** Small files made to take memory, on a store that a daemon watches: each costs its own figures, never the daemon. */
import { mkdirSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { ImagePage, ImageView } from '#wire';
import { plimsoll } from '../support/command.ts';
import { HANG_MS } from '../support/hang.ts';
import { Cleanup, type DaemonProcess } from './daemon-process.ts';

const MiB = 2 ** 20;
const CLUSTER = 65_536;
const ENTRIES = CLUSTER / 8;
const COPIED = 1n << 63n;
/** Clusters that one unit of plimsoll's sets covers: an entry in each costs the most memory for its 8 bytes of the file. */
const UNIT_CLUSTERS = 8192;
/** MemoryMax of the systemd unit. */
const UNIT_MEMORY_KIB = 512 * 1024;

const cleanup = new Cleanup();
afterEach(() => cleanup.all());

/** A qcow2 of `tables` L2 tables, every entry far from every other one. */
function writeScattered(path: string, tables: number): void {
  const file = Buffer.alloc((5 + tables) * CLUSTER);
  file.write('QFI\xfb', 0, 'latin1');
  file.writeUInt32BE(3, 4);
  file.writeUInt32BE(16, 20);
  file.writeBigUInt64BE(BigInt(tables * ENTRIES * CLUSTER), 24);
  file.writeUInt32BE(tables, 36);
  file.writeBigUInt64BE(BigInt(3 * CLUSTER), 40);
  file.writeBigUInt64BE(BigInt(CLUSTER), 48);
  file.writeUInt32BE(1, 56);
  file.writeUInt32BE(4, 96);
  file.writeUInt32BE(104, 100);
  file.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER);
  for (let cluster = 0; cluster < 4 + tables; cluster += 1) file.writeUInt16BE(1, 2 * CLUSTER + 2 * cluster);
  for (let table = 0; table < tables; table += 1) {
    file.writeBigUInt64BE(COPIED | BigInt((4 + table) * CLUSTER), 3 * CLUSTER + 8 * table);
    for (let entry = 0; entry < ENTRIES; entry += 1) {
      const at = BigInt((table * ENTRIES + entry + 1) * UNIT_CLUSTERS) * BigInt(CLUSTER);
      file.writeBigUInt64BE(COPIED | at, (4 + table) * CLUSTER + 8 * entry);
    }
  }
  writeFileSync(path, file);
  truncateSync(path, (tables * ENTRIES + 2) * UNIT_CLUSTERS * CLUSTER);
}

/** A VDI whose map has `count` entries in no order. */
function writeVdi(path: string, count: number): void {
  const map = Buffer.alloc(count * 4);
  for (let block = 0; block < count; block += 1) map.writeUInt32LE((block * 7919) % count, block * 4);
  const header = Buffer.alloc(512);
  header.write('<<< Oracle VM VirtualBox Disk Image >>>\n', 'latin1');
  const dataAt = 2 * MiB + Math.ceil(map.byteLength / MiB) * MiB;
  [0xbeda107f, 0x10001, 0x190, 1, 0].forEach((value, index) => header.writeUInt32LE(value, 64 + 4 * index));
  [2 * MiB, dataAt, 0, 0, 0, 512, 0].forEach((value, index) => header.writeUInt32LE(value, 0x154 + 4 * index));
  header.writeBigUInt64LE(BigInt(count * MiB), 0x170);
  [MiB, 0, count, count].forEach((value, index) => header.writeUInt32LE(value, 0x178 + 4 * index));
  header.fill(7, 0x188, 0x1a8);
  const file = Buffer.alloc(2 * MiB + map.byteLength);
  header.copy(file);
  map.copy(file, 2 * MiB);
  writeFileSync(path, file);
  truncateSync(path, dataAt + count * MiB);
}

/** Kibibytes of the daemon's resident memory at its highest. */
function peakKib({ process }: DaemonProcess): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${process.pid}/status`, 'utf8'))?.[1]);
}

async function scanned(daemon: DaemonProcess): Promise<ReadonlyMap<string, ImageView>> {
  await expect.poll(() => daemon.codes(), { timeout: HANG_MS }).not.toContain('FIRST_SCAN_RUNNING');
  const { json } = await daemon.ask('/api/v1/images?limit=100');
  return new Map((json as ImagePage).images.map((image) => [image.path.split('/').at(-1) ?? '', image]));
}

describe('a daemon whose store contains files that exhaust memory', () => {
  it('stays within the memory of its unit, and a file that needs more loses only its own figures', async () => {
    // tmpfs and ext4 of 4 KiB blocks end files at 8 EiB and 16 TiB; these are longer than the latter.
    const place = cleanup.path(mkdtempSync(join('/dev/shm', 'plimsoll-memory-')));
    const store = join(place, 'vm');
    mkdirSync(store);
    for (let index = 0; index < 8; index += 1) writeScattered(join(store, `scattered-${index}.qcow2`), 9);
    writeVdi(join(store, 'shuffled.vdi'), 6_000_000);
    for (const name of ['a', 'b', 'c']) await plimsoll(['create', '-q', '-f', 'qcow2', join(store, `${name}.qcow2`), '1G']);
    const directory = cleanup.path(mkdtempSync(join(tmpdir(), 'plimsoll-memory-')));
    const daemon = await cleanup.ready({ directory, stores: [store] });
    const images = await scanned(daemon);
    for (const name of ['scattered-0.qcow2', 'scattered-7.qcow2', 'shuffled.vdi'])
      expect([name, images.get(name)?.error?.code, images.get(name)?.commitment]).toEqual([name, 'TABLE_MEMORY', null]);
    for (const name of ['a.qcow2', 'b.qcow2', 'c.qcow2']) expect([name, images.get(name)?.commitment]).toEqual([name, expect.any(Number)]);
    expect(peakKib(daemon)).toBeLessThan(UNIT_MEMORY_KIB);
  });
});

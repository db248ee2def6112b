/**
 * Images of the container formats as QEMU makes them, each with one thing changed: a field, an entry, its end, or the places of
 * its structures. All from a seed, so that a trial can be repeated.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checksumFooter, checksumHeader } from '../support/vhd-builder.ts';
import { crcWithoutChecksum } from '../../src/formats/vhdx/header.ts';
import type { Prng } from '../differential/prng.ts';

export type Container = 'vmdk' | 'vhd' | 'vdi' | 'vhdx';

export interface Trial {
  readonly name: string;
  readonly format: Container;
  readonly bytes: Buffer;
}

export const DRIVERS: Readonly<Record<Container, string>> = { vmdk: 'vmdk', vhd: 'vpc', vdi: 'vdi', vhdx: 'vhdx' };

const KiB = 1024;
const MiB = 2 ** 20;
const SECTOR = 512;

const BASES: readonly (readonly [Container, string, number])[] = [
  ['vmdk', '', MiB],
  ['vmdk', '', 40 * MiB],
  ['vmdk', 'zeroed_grain=on', 3 * MiB],
  ['vmdk', 'hwversion=6,adapter_type=lsilogic', 3 * MiB],
  ['vhd', '', 5 * MiB],
  ['vhd', 'force_size=on', 7 * MiB],
  ['vdi', '', 3 * MiB + 512],
  ['vdi', 'static=on', 2 * MiB],
  ['vhdx', 'block_size=1048576', 3 * MiB],
  ['vhdx', 'subformat=fixed,block_size=1048576', 2 * MiB],
];

/** Every base twice: empty, and with some of its disk written. */
export function makeBases(directory: string): Trial[] {
  return BASES.flatMap(([format, options, capacity], index) => {
    const path = join(directory, `base-${index}`);
    const words = options === '' ? [] : ['-o', options];
    execFileSync('qemu-img', ['create', '-q', '-f', DRIVERS[format], ...words, path, String(capacity)]);
    const name = `${format} ${options} ${capacity}`;
    const empty = { name, format, bytes: readFileSync(path) };
    const writes = [0, capacity / 2, capacity - 4096].flatMap((at) => ['-c', `write -q -P 90 ${Math.floor(at / SECTOR) * SECTOR} 4096`]);
    execFileSync('qemu-io', ['-f', DRIVERS[format], ...writes, path]);
    return [empty, { name: `${name}, written`, format, bytes: readFileSync(path) }];
  });
}

/** A trial from one of `bases`, or a VMDK packed anew. */
export function aTrial(bases: readonly Trial[], random: Prng): Trial {
  const base = random.pick(bases);
  if (base.format === 'vmdk' && random.below(3) === 0) return packedVmdk(random);
  const bytes = Buffer.from(base.bytes);
  const changes: string[] = [];
  let changed: Buffer = bytes;
  for (let count = 1 + random.below(2); count > 0; count -= 1) {
    const [next, what] = random.below(5) === 0 ? otherEnd(changed, random) : otherNumber(changed, base.format, random);
    changed = next;
    changes.push(what);
  }
  seal(changed, base.format);
  return { name: `${base.name}: ${changes.join(', ')}`, format: base.format, bytes: changed };
}

function otherEnd(bytes: Buffer, random: Prng): [Buffer, string] {
  const sectors = 1 + random.below(200);
  if (random.below(3) === 0) {
    const length = Math.max(SECTOR, bytes.length - sectors * SECTOR);
    return [bytes.subarray(0, length), `cut to ${length}`];
  }
  const last = bytes.subarray(bytes.length - SECTOR);
  const filling = random.below(2) === 0 ? Buffer.alloc(SECTOR, random.below(256)) : bytes.subarray(0, SECTOR);
  return [Buffer.concat([bytes, ...Array.from({ length: sectors }, () => filling), last]), `${sectors} sectors more`];
}

/** Where numbers stand that mean something: [first byte, bytes in all, width of each]. */
function numbersOf(bytes: Buffer, format: Container): [number, number, 4 | 8][] {
  if (format === 'vmdk') {
    const directory = Number(bytes.readBigUInt64LE(56)) * SECTOR;
    const table = directory + 4 <= bytes.length ? bytes.readUInt32LE(directory) * SECTOR : 0;
    return [
      [12, 60, 8],
      [directory, 8, 4],
      [table, 256, 4],
      [8, 4, 4],
      [SECTOR, 256, 4],
    ];
  }
  if (format === 'vhd')
    return [
      [16, 8, 8],
      [48, 12, 4],
      [528, 24, 4],
      [1536, 32, 4],
    ];
  if (format === 'vdi')
    return [
      [340, 8, 4],
      [360, 36, 4],
      [384, 8, 4],
      [512, 16, 4],
    ];
  return [
    [64 * KiB + 64, 24, 4],
    [128 * KiB + 64, 24, 4],
    [192 * KiB, 80, 8],
    [2 * MiB, 64, 8],
    [3 * MiB, 96, 4],
    [3 * MiB + 64 * KiB, 48, 4],
  ];
}

function otherNumber(bytes: Buffer, format: Container, random: Prng): [Buffer, string] {
  const [start, length, width] = random.pick(numbersOf(bytes, format));
  const at = start + width * random.below(length / width);
  if (at + width > bytes.length) return [bytes, 'nothing'];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isLittle = format !== 'vhd';
  const before = width === 8 ? Number(view.getBigUint64(at, isLittle)) : view.getUint32(at, isLittle);
  const sectors = Math.ceil(bytes.length / SECTOR);
  const near = [before + 1, before - 1, before * 2, Math.floor(before / 2), before + MiB, before + SECTOR];
  const value = random.pick([0, 1, 2, 3, ...near, sectors, sectors - 1, bytes.length, random.below(1000), 2 ** 32 - 1, 2 ** 32 - 2]);
  if (width === 8) view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), isLittle);
  else view.setUint32(at, value, isLittle);
  return [bytes, `${width} bytes at ${at}: ${before} to ${value}`];
}

/** Checksums as they must be, and of a VHD both footers alike. */
function seal(bytes: Buffer, format: Container): void {
  if (format === 'vhd' && bytes.length >= 2048) {
    const header = Number(bytes.readBigUInt64BE(16));
    if (header >= SECTOR && header + 1024 <= bytes.length) checksumHeader(bytes, header);
    checksumFooter(bytes, 0);
    bytes.copy(bytes, bytes.length - SECTOR, 0, SECTOR);
  }
  if (format === 'vhdx' && bytes.length >= 4 * MiB)
    for (const [at, length] of [
      [64 * KiB, 4096],
      [128 * KiB, 4096],
      [192 * KiB, 64 * KiB],
      [256 * KiB, 64 * KiB],
    ] as const) {
      if (at === 256 * KiB) bytes.copy(bytes, at, 192 * KiB, 256 * KiB);
      bytes.writeUInt32LE(crcWithoutChecksum(bytes.subarray(at, at + length)), at + 4);
    }
}

/** Header, descriptor, directories, tables and grains in any order, close to each other. */
function packedVmdk(random: Prng): Trial {
  const grainSectors = random.pick([8, 16, 128]);
  const tables = 1 + random.below(2);
  const capacity = 512 * grainSectors * tables;
  const descriptorSectors = random.pick([1, 2, 19, 20, 21]);
  const hasTwin = random.below(2) === 0;
  const sizes: [string, number][] = [['gd', 1]];
  if (hasTwin) sizes.push(['rgd', 1]);
  for (let index = 0; index < tables; index += 1)
    sizes.push([`gt${index}`, 4], ...(hasTwin ? [[`rgt${index}`, 4] as [string, number]] : []));
  const grains = random.below(3);
  for (let index = 0; index < grains; index += 1) sizes.push([`grain${index}`, grainSectors]);
  const order = sizes.map((size) => ({ size, key: random.below(2 ** 30) })).sort((a, b) => a.key - b.key);
  let next = 1 + descriptorSectors + random.pick([0, 0, 1, 20]);
  const places = new Map<string, number>();
  for (const { size } of order) {
    places.set(size[0], next);
    next += size[1] + random.pick([0, 0, 0, 1, 7]);
  }
  const bytes = Buffer.alloc(next * SECTOR);
  const place = (name: string): number => places.get(name) ?? 0;
  const newline = random.pick(['\n', '\n', '\r\n']);
  const cid = random.pick(['1', '1234567', '12345678']);
  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    `CID=${cid}`,
    'parentCID=ffffffff',
    'createType="monolithicSparse"',
    `RW ${capacity} SPARSE "a"`,
    '#',
  ];
  const text = lines.join(newline);
  const room = descriptorSectors * SECTOR - text.length - newline.length - 1;
  bytes.write(`${text}${'x'.repeat(random.pick([0, room, room - 1, room - 7, Math.floor(room / 2)]))}${newline}`, SECTOR, 'latin1');
  bytes.write('KDMV', 0, 'latin1');
  bytes.writeUInt32LE(1, 4);
  bytes.writeUInt32LE(hasTwin ? 3 : 1, 8);
  for (const [at, value] of [
    [12, capacity],
    [20, grainSectors],
    [28, 1],
    [36, descriptorSectors],
    [48, place('rgd')],
    [56, place('gd')],
    [64, 1],
  ] as const)
    bytes.writeBigUInt64LE(BigInt(value), at);
  bytes.writeUInt32LE(512, 44);
  bytes.write('\n \r\n', 73, 'latin1');
  for (let index = 0; index < tables; index += 1)
    for (const twin of hasTwin ? ['', 'r'] : ['']) {
      bytes.writeUInt32LE(place(`${twin}gt${index}`), place(`${twin}gd`) * SECTOR + index * 4);
      if (index > 0) continue;
      for (let grain = 0; grain < grains; grain += 1) bytes.writeUInt32LE(place(`grain${grain}`), place(`${twin}gt0`) * SECTOR + grain * 8);
    }
  return {
    name: `packed vmdk: ${JSON.stringify([...places])}, descriptor ${descriptorSectors}, grains of ${grainSectors}`,
    format: 'vmdk',
    bytes,
  };
}

/**
 * VMDK images byte by byte, valid unless told otherwise: `aVmdk({ kind: 'stream' }).withGrain(3, data).bytes()`. For images that
 * no tool would write; agreement with the format is proved by foreign files, not by these.
 */
import { writeFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { SPARSE_HEADER } from '../../src/formats/vmdk/layout.ts';

export interface VmdkChoice {
  readonly kind?: 'sparse' | 'stream';
  /** Two grain tables' worth and a bit when left out. */
  readonly capacitySectors?: number;
  readonly grainSectors?: number;
}

export type VmdkField = Exclude<keyof typeof SPARSE_HEADER.fields, number | symbol>;

const SECTOR = 512;
const DESCRIPTOR_SECTORS = 20;

/** What qemu-img writes, with `changes` by key or, for the extent, by `extent`. */
export function descriptorText(createType: string, extent: string): string {
  return [
    '# Disk DescriptorFile',
    'version=1',
    'CID=f0a4b3c2',
    'parentCID=ffffffff',
    `createType="${createType}"`,
    '',
    '# Extent description',
    extent,
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.virtualHWVersion = "4"',
    'ddb.adapterType = "ide"',
    '',
  ].join('\n');
}

/** Header, descriptor, redundant directory and tables, directory and tables, in QEMU's order. */
export function aVmdk(choice: VmdkChoice = {}): VmdkBuilder {
  return new VmdkBuilder(choice);
}

/** Every `with` returns the builder itself and works on the file as it stands: order matters. */
export class VmdkBuilder {
  readonly kind: 'sparse' | 'stream';
  readonly grainBytes: number;
  readonly capacitySectors: number;
  readonly createType: string;
  /** Byte offsets. */
  readonly directory: number;
  readonly redundant: number;
  readonly tables: readonly number[];
  readonly redundantTables: readonly number[];
  #content: Uint8Array;

  constructor({ kind = 'sparse', grainSectors = 8, capacitySectors = 512 * grainSectors + 80 }: VmdkChoice) {
    this.kind = kind;
    this.grainBytes = grainSectors * SECTOR;
    this.capacitySectors = capacitySectors;
    this.createType = kind === 'stream' ? 'streamOptimized' : 'monolithicSparse';
    const count = Math.ceil(capacitySectors / (512 * grainSectors));
    const directorySectors = Math.ceil((count * 4) / SECTOR);
    const rgd = 1 + DESCRIPTOR_SECTORS;
    const gd = rgd + directorySectors + 4 * count;
    const overHead = Math.ceil((gd + directorySectors + 4 * count) / grainSectors) * grainSectors;
    const tablesFrom = (first: number): number[] => Array.from({ length: count }, (_, index) => (first + 4 * index) * SECTOR);
    this.redundant = rgd * SECTOR;
    this.directory = gd * SECTOR;
    this.redundantTables = tablesFrom(rgd + directorySectors);
    this.tables = tablesFrom(gd + directorySectors);
    this.#content = new Uint8Array(overHead * SECTOR);
    const isStream = kind === 'stream';
    const fields: Partial<Record<VmdkField, bigint | number>> = {
      magic: 0x564d444b,
      version: isStream ? 3 : 1,
      flags: isStream ? 0x30003 : 3,
      capacity: capacitySectors,
      grainSize: grainSectors,
      descriptorOffset: 1,
      descriptorSize: DESCRIPTOR_SECTORS,
      numGTEsPerGT: 512,
      rgdOffset: rgd,
      gdOffset: gd,
      overHead,
      singleEndLineChar: 0x0a,
      nonEndLineChar: 0x20,
      doubleEndLineChar1: 0x0d,
      doubleEndLineChar2: 0x0a,
      compressAlgorithm: isStream ? 1 : 0,
    };
    for (const [name, value] of Object.entries(fields)) this.withField(name as VmdkField, value);
    this.withDescriptor(descriptorText(this.createType, `RW ${capacitySectors} SPARSE "a.vmdk"`));
    for (let index = 0; index < count; index += 1) {
      this.withU32(this.directory + index * 4, (this.tables[index] as number) / SECTOR);
      this.withU32(this.redundant + index * 4, (this.redundantTables[index] as number) / SECTOR);
    }
  }

  get length(): number {
    return this.#content.byteLength;
  }

  withField(name: VmdkField, value: bigint | number): this {
    const { at, width } = SPARSE_HEADER.fields[name];
    return this.withBytes(at, littleEndian(BigInt(value), width));
  }

  withU32(at: number, value: number): this {
    return this.withBytes(at, littleEndian(BigInt(value), 4));
  }

  withBytes(at: number, bytes: Uint8Array): this {
    const end = at + bytes.byteLength;
    if (end > this.length) this.withLength(end);
    this.#content.set(bytes, at);
    return this;
  }

  /** A file of exactly `byteLength` bytes: cut, or with zeros at its end. */
  withLength(byteLength: number): this {
    const content = new Uint8Array(byteLength);
    content.set(this.#content.subarray(0, byteLength));
    this.#content = content;
    return this;
  }

  /** The whole room of the descriptor is filled anew. */
  withDescriptor(text: string | Uint8Array): this {
    const room = new Uint8Array(DESCRIPTOR_SECTORS * SECTOR);
    room.set(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    return this.withBytes(SECTOR, room);
  }

  /** The usual descriptor with `from` replaced. */
  withDescriptorChange(from: string, to: string): this {
    const usual = descriptorText(this.createType, `RW ${this.capacitySectors} SPARSE "a.vmdk"`);
    if (!usual.includes(from)) throw new Error(`the descriptor has no ${from}`);
    return this.withDescriptor(usual.replace(from, to));
  }

  /** Byte offset of a grain's entry. */
  entryAt(index: number, from: readonly number[] = this.tables): number {
    return (from[Math.floor(index / 512)] as number) + (index % 512) * 4;
  }

  /** A grain's entry, in both tables. */
  withEntry(index: number, value: number): this {
    return this.withU32(this.entryAt(index), value).withU32(this.entryAt(index, this.redundantTables), value);
  }

  /** Data of a grain, at the end of the file. */
  withGrain(index: number, data: Uint8Array): this {
    const at = Math.ceil(this.length / SECTOR) * SECTOR;
    if (this.kind === 'sparse') this.withBytes(at, data);
    else this.withMarked(at, index * (this.grainBytes / SECTOR), deflateSync(data));
    return this.withLength(Math.ceil(this.length / SECTOR) * SECTOR).withEntry(index, at / SECTOR);
  }

  /** A grain marker with data behind it. */
  withMarked(at: number, lba: number, data: Uint8Array, size = data.byteLength): this {
    const marker = Buffer.concat([littleEndian(BigInt(lba), 8), littleEndian(BigInt(size), 4), data]);
    return this.withBytes(at, marker);
  }

  /** The grain directory's place moves to a footer. Byte offset of the footer's marker: `length` before. */
  withFooter(): this {
    const at = this.length;
    const marker = new Uint8Array(SECTOR);
    marker.set([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    const footer = this.#content.slice(0, SECTOR);
    this.withBytes(at, marker).withBytes(at + SECTOR, footer);
    return this.withBytes(at + 2 * SECTOR, new Uint8Array(SECTOR)).withField('gdOffset', (1n << 64n) - 1n);
  }

  bytes(): Uint8Array {
    return this.#content.slice();
  }

  write(path: string): string {
    writeFileSync(path, this.#content);
    return path;
  }
}

export function littleEndian(value: bigint, width: number): Uint8Array {
  let rest = BigInt.asUintN(width * 8, value);
  return Uint8Array.from({ length: width }, () => {
    const byte = Number(rest & 0xffn);
    rest >>= 8n;
    return byte;
  });
}

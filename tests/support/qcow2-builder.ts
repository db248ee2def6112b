/**
 * qcow2 images byte by byte, valid unless told otherwise: `aQcow2({ clusterBits: 9 }).withL2(0, [entry]).write(path)`.
 * For images that QEMU would never write; agreement with the format is proved by foreign files, not by these.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { HEADER_V2, HEADER_V3_TAIL } from '../../src/formats/qcow2/layout.ts';

export interface Qcow2Choice {
  readonly version?: 2 | 3;
  readonly clusterBits?: number;
  /** 1 MiB when left out. */
  readonly capacity?: number;
  readonly refcountOrder?: number;
  readonly extendedL2?: boolean;
  /** Entries; as many as the capacity needs when left out. */
  readonly l1Size?: number;
}

type HeaderField = Exclude<keyof typeof HEADER_V2.fields | keyof typeof HEADER_V3_TAIL.fields, number | symbol>;

export interface SnapshotChoice {
  readonly id?: string | Uint8Array;
  readonly name?: string | Uint8Array;
  readonly l1TableOffset?: bigint | number;
  readonly l1Size?: number;
  readonly extraDataSize?: number;
}

export interface BitmapChoice {
  readonly name?: string | Uint8Array;
  readonly tableOffset?: bigint | number;
  readonly tableSize?: number;
  readonly flags?: number;
}

export const COPIED = 1n << 63n;
export const COMPRESSED = 1n << 62n;

/** Where a field of the header lies in the file, and how wide it is. */
export function headerField(name: HeaderField): { at: number; width: number } {
  if (name in HEADER_V2.fields) return HEADER_V2.fields[name as keyof typeof HEADER_V2.fields];
  const { at, width } = HEADER_V3_TAIL.fields[name as keyof typeof HEADER_V3_TAIL.fields];
  return { at: at + HEADER_V2.byteLength, width };
}

/** A new image: header, refcount table, one refcount block, L1, in this order, a cluster each at the least. */
export function aQcow2(choice: Qcow2Choice = {}): Qcow2Builder {
  return new Qcow2Builder(choice);
}

/** Every `with` returns the builder itself and works on the file as it stands: order matters. */
export class Qcow2Builder {
  readonly clusterSize: number;
  readonly refcountTable: number;
  readonly refcountBlock: number;
  readonly l1: number;
  readonly version: 2 | 3;
  readonly #pieces: { at: number; bytes: Uint8Array }[] = [];
  readonly #refcountOrder: number;
  #length = 0;
  #extensionsAt: number;

  constructor(choice: Qcow2Choice) {
    const { version = 3, clusterBits = 16, capacity = 2 ** 20, refcountOrder = 4, extendedL2 = false } = choice;
    this.version = version;
    this.clusterSize = 2 ** clusterBits;
    this.#refcountOrder = refcountOrder;
    const perTable = (this.clusterSize / (extendedL2 ? 16 : 8)) * this.clusterSize;
    const l1Size = choice.l1Size ?? Math.ceil(capacity / perTable);
    this.#length = this.clusterSize;
    this.refcountTable = this.#append(1);
    this.refcountBlock = this.#append(1);
    this.withU64(this.refcountTable, this.refcountBlock);
    this.l1 = this.#append(Math.max(1, Math.ceil((l1Size * 8) / this.clusterSize)));
    for (let cluster = 0; cluster * this.clusterSize < this.#length; cluster += 1) this.withRefcount(cluster, 1);
    this.withField('magic', 0x514649fb).withField('version', version).withField('clusterBits', clusterBits).withField('size', capacity);
    this.withField('l1Size', l1Size)
      .withField('l1TableOffset', this.l1)
      .withField('refcountTableOffset', this.refcountTable)
      .withField('refcountTableClusters', 1);
    if (version === 3)
      this.withField('refcountOrder', refcountOrder)
        .withField('headerLength', 104)
        .withField('incompatibleFeatures', extendedL2 ? 16n : 0n);
    this.#extensionsAt = version === 3 ? 104 : 72;
  }

  /** The file's end so far. */
  get length(): number {
    return this.#length;
  }

  /** A header field, whatever its value. */
  withField(name: HeaderField, value: bigint | number): this {
    const { at, width } = headerField(name);
    return this.withBytes(at, bigEndian(BigInt(value), width));
  }

  withBytes(at: number, bytes: Uint8Array): this {
    this.#pieces.push({ at, bytes });
    this.#length = Math.max(this.#length, at + bytes.byteLength);
    return this;
  }

  withU64(at: number, value: bigint | number): this {
    return this.withBytes(at, bigEndian(BigInt(value), 8));
  }

  /** A file of exactly `byteLength` bytes: cut, or with a hole at its end. */
  withLength(byteLength: number): this {
    this.#length = byteLength;
    return this;
  }

  /** The refcount of a cluster, narrow ones as 0 or 1; clusters that the one refcount block does not cover go without. */
  withRefcount(cluster: number, count: number): this {
    const bits = 2 ** this.#refcountOrder;
    if ((cluster + 1) * bits > this.clusterSize * 8) return this;
    if (bits >= 8) return this.withBytes(this.refcountBlock + (cluster * bits) / 8, bigEndian(BigInt(count), bits / 8));
    const at = this.refcountBlock + Math.floor((cluster * bits) / 8);
    const byte = this.#byteAt(at) | (count << ((cluster * bits) % 8));
    return this.withBytes(at, Uint8Array.of(byte));
  }

  /** New clusters at the end, with refcount 1. Returns their offset. */
  allocate(clusterCount = 1): number {
    const at = this.#append(clusterCount);
    for (let index = 0; index < clusterCount; index += 1) this.withRefcount(at / this.clusterSize + index, 1);
    return at;
  }

  /** A new L2 table with these entries from its first on, as L1 entry `l1Index`, COPIED. */
  withL2(l1Index: number, entries: readonly (bigint | number)[], flags = COPIED): this {
    const table = this.allocate();
    for (const [index, entry] of entries.entries()) if (entry !== 0) this.withU64(table + index * 8, entry);
    return this.withL1(l1Index, BigInt(table) + flags);
  }

  withL1(l1Index: number, entry: bigint | number): this {
    return this.withU64(this.l1 + l1Index * 8, entry);
  }

  withExtension(type: number, data: Uint8Array, length = data.byteLength): this {
    this.withBytes(this.#extensionsAt, bigEndian((BigInt(type) << 32n) + BigInt(length), 8)).withBytes(this.#extensionsAt + 8, data);
    this.#extensionsAt += 8 + Math.ceil(data.byteLength / 8) * 8;
    return this;
  }

  /** The backing file's name behind the extensions made so far; an extension declares its format. */
  withBackingFile(name: string | Uint8Array, format?: string): this {
    if (format !== undefined) this.withExtension(0xe2792aca, Buffer.from(format));
    const at = this.#extensionsAt + 8;
    const bytes = Buffer.from(name);
    return this.withField('backingFileOffset', at).withField('backingFileSize', bytes.byteLength).withBytes(at, bytes);
  }

  /** An external data file of that name. */
  withDataFile(name: string | Uint8Array): this {
    return this.withField('incompatibleFeatures', 4).withExtension(0x44415441, Buffer.from(name));
  }

  /** A snapshot table with these entries in new clusters. */
  withSnapshots(snapshots: readonly SnapshotChoice[]): this {
    const table = Buffer.concat(snapshots.map((snapshot) => snapshotEntry(snapshot)));
    const at = this.allocate(Math.max(1, Math.ceil(table.byteLength / this.clusterSize)));
    return this.withBytes(at, table).withField('nbSnapshots', snapshots.length).withField('snapshotsOffset', at);
  }

  /** A bitmap directory with these entries in new clusters; the autoclear bit vouches for it. */
  withBitmaps(bitmaps: readonly BitmapChoice[]): this {
    const directory = Buffer.concat(bitmaps.map((bitmap) => bitmapEntry(bitmap)));
    const at = this.allocate(Math.max(1, Math.ceil(directory.byteLength / this.clusterSize)));
    const pointer = Buffer.concat([
      bigEndian(BigInt(bitmaps.length) << 32n, 8),
      bigEndian(BigInt(directory.byteLength), 8),
      bigEndian(BigInt(at), 8),
    ]);
    return this.withBytes(at, directory).withField('autoclearFeatures', 1).withExtension(0x23852875, pointer);
  }

  /** The whole file in memory. */
  bytes(): Uint8Array {
    const whole = new Uint8Array(this.#length);
    for (const { at, bytes } of this.#pieces) if (at < this.#length) whole.set(bytes.subarray(0, this.#length - at), at);
    return whole;
  }

  /** Writes the file, holes left holes. Returns `path`. */
  write(path: string): string {
    const fd = openSync(path, 'w');
    try {
      ftruncateSync(fd, this.#length);
      for (const { at, bytes } of this.#pieces)
        if (at < this.#length) writeSync(fd, bytes, 0, Math.min(bytes.byteLength, this.#length - at), at);
    } finally {
      closeSync(fd);
    }
    return path;
  }

  #append(clusterCount: number): number {
    const at = Math.ceil(this.#length / this.clusterSize) * this.clusterSize;
    this.#length = at + clusterCount * this.clusterSize;
    return at;
  }

  #byteAt(at: number): number {
    return this.#pieces.findLast((piece) => piece.at <= at && at < piece.at + piece.bytes.byteLength)?.bytes[0] ?? 0;
  }
}

/** `value` modulo 2^(8 × width), big-endian. */
export function bigEndian(value: bigint, width: number): Uint8Array {
  const bytes = new Uint8Array(width);
  for (let at = 0; at < width; at += 1) bytes[at] = Number((value >> BigInt(8 * (width - 1 - at))) & 0xffn);
  return bytes;
}

function snapshotEntry({ id = '1', name = 'one', l1TableOffset = 0, l1Size = 0, extraDataSize = 24 }: SnapshotChoice): Uint8Array {
  const [idBytes, nameBytes] = [Buffer.from(id), Buffer.from(name)];
  const fixed = Buffer.alloc(40);
  fixed.set(bigEndian(BigInt(l1TableOffset), 8), 0);
  fixed.writeUInt32BE(l1Size, 8);
  fixed.writeUInt16BE(idBytes.byteLength, 12);
  fixed.writeUInt16BE(nameBytes.byteLength, 14);
  fixed.writeUInt32BE(extraDataSize, 36);
  return padded(Buffer.concat([fixed, Buffer.alloc(Math.min(extraDataSize, 2048)), idBytes, nameBytes]));
}

function bitmapEntry({ name = 'dirty', tableOffset = 0, tableSize = 0, flags = 2 }: BitmapChoice): Uint8Array {
  const nameBytes = Buffer.from(name);
  const fixed = Buffer.alloc(24);
  fixed.set(bigEndian(BigInt(tableOffset), 8), 0);
  fixed.writeUInt32BE(tableSize, 8);
  fixed.writeUInt32BE(flags, 12);
  fixed.writeUInt8(1, 16);
  fixed.writeUInt8(16, 17);
  fixed.writeUInt16BE(nameBytes.byteLength, 18);
  return padded(Buffer.concat([fixed, nameBytes]));
}

function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Buffer.alloc((8 - (bytes.byteLength % 8)) % 8)]);
}

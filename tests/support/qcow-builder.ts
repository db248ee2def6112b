/** qcow images of version 1 byte by byte: `aQcow().withEntry('l2', 0, offset).bytes()`. For images that QEMU would never write. */
import { deflateRawSync } from 'node:zlib';
import { HEADER, MAGIC } from '../../src/formats/qcow/layout.ts';

type HeaderField = keyof typeof HEADER.fields;

export const CLUSTER = 4096;
const CLUSTER_BITS = 12;
/** Where the builder puts its tables, the first data cluster, and compressed data. */
export const PLACES = { name: 48, l1: 1024, l2: CLUSTER, data: 2 * CLUSTER } as const;

/** An image of 4 MiB with one L2 table of 512 entries and `dataClusters` clusters behind it. */
export function aQcow(dataClusters = 4): QcowBuilder {
  return new QcowBuilder(dataClusters);
}

/** Every `with` returns the builder itself. */
export class QcowBuilder {
  #bytes: Buffer;

  constructor(dataClusters: number) {
    this.#bytes = Buffer.alloc(PLACES.data + dataClusters * CLUSTER);
    this.#bytes.fill(0x55, PLACES.data);
    this.withHeader('magic', MAGIC)
      .withHeader('version', 1)
      .withHeader('size', 4 * 1024 * 1024);
    this.withHeader('clusterBits', CLUSTER_BITS).withHeader('l2Bits', 9).withHeader('l1TableOffset', PLACES.l1);
    this.withEntry('l1', 0, PLACES.l2);
  }

  withHeader(field: HeaderField, value: number | bigint): this {
    const { at, width } = HEADER.fields[field];
    if (width === 8) this.#bytes.writeBigUInt64BE(BigInt(value), at);
    else this.#bytes.writeUIntBE(Number(value), at, width);
    return this;
  }

  withEntry(table: 'l1' | 'l2', index: number, value: number | bigint): this {
    this.#bytes.writeBigUInt64BE(BigInt(value), PLACES[table] + index * 8);
    return this;
  }

  /** Appends `content` deflated at the next sector, and points L2 entry `index` at it. */
  withCompressed(index: number, content: Uint8Array): this {
    const data = deflateRawSync(content);
    const offset = Math.ceil(this.#bytes.byteLength / 512) * 512;
    this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(offset - this.#bytes.byteLength), data]);
    return this.withEntry('l2', index, compressedEntry(offset, data.byteLength));
  }

  withBacking(name: string, offset: number = PLACES.name): this {
    this.#bytes.write(name, PLACES.name, 'latin1');
    return this.withHeader('backingFileOffset', offset).withHeader('backingFileSize', Buffer.byteLength(name, 'latin1'));
  }

  bytes(): Uint8Array {
    return this.#bytes;
  }
}

export function compressedEntry(offset: number, byteLength: number): bigint {
  return 2n ** 63n + BigInt(byteLength) * 2n ** BigInt(63 - CLUSTER_BITS) + BigInt(offset);
}

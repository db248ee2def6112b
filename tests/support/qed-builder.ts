/** QED images byte by byte: `aQed().withEntry('l2', 0, offset).bytes()`. For images that QEMU would never write. */
import { FEATURE, HEADER, MAGIC } from '../../src/formats/qed/layout.ts';

type HeaderField = keyof typeof HEADER.fields;

export const CLUSTER = 4096;
/** Where the builder puts its tables, of one cluster each, and the first data cluster. */
export const PLACES = { l1: CLUSTER, l2: 2 * CLUSTER, data: 3 * CLUSTER } as const;

/** An image of 4 MiB with one L2 table of 512 entries and `dataClusters` clusters behind it. */
export function aQed(dataClusters = 4): QedBuilder {
  return new QedBuilder(dataClusters);
}

/** Every `with` returns the builder itself. */
export class QedBuilder {
  readonly #bytes: Buffer;

  constructor(dataClusters: number) {
    this.#bytes = Buffer.alloc(PLACES.data + dataClusters * CLUSTER);
    this.#bytes.fill(0x55, PLACES.data);
    this.withHeader('magic', MAGIC).withHeader('clusterSize', CLUSTER).withHeader('tableSize', 1).withHeader('headerSize', 1);
    this.withHeader('l1TableOffset', PLACES.l1).withHeader('imageSize', 4 * 1024 * 1024);
    this.withEntry('l1', 0, PLACES.l2);
  }

  withHeader(field: HeaderField, value: number | bigint): this {
    const { at, width } = HEADER.fields[field];
    if (width === 4) this.#bytes.writeUInt32LE(Number(value), at);
    else this.#bytes.writeBigUInt64LE(BigInt(value), at);
    return this;
  }

  withEntry(table: 'l1' | 'l2', index: number, value: number | bigint): this {
    this.#bytes.writeBigUInt64LE(BigInt(value), PLACES[table] + index * 8);
    return this;
  }

  withBacking(name: string, features: bigint = FEATURE.backingFile): this {
    this.#bytes.write(name, HEADER.byteLength, 'latin1');
    this.withHeader('features', features).withHeader('backingFilenameOffset', HEADER.byteLength);
    return this.withHeader('backingFilenameSize', Buffer.byteLength(name, 'latin1'));
  }

  bytes(): Uint8Array {
    return this.#bytes;
  }
}

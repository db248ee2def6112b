/**
 * VDI images byte by byte, valid unless told otherwise: `aVdi({ capacity }).withBlock(0, 0x55).bytes()`. For images that
 * QEMU would never write; agreement with the format is proved by foreign files, not by these.
 */
import { HEADER } from '../../src/formats/vdi/layout.ts';
import { bigEndian } from './qcow2-builder.ts';

export interface VdiChoice {
  /** 3 MiB when left out. */
  readonly capacity?: number;
  readonly imageType?: number;
  readonly blocksInImage?: number;
}

type HeaderField = keyof typeof HEADER.fields;

const MiB = 1024 * 1024;
export const MAP_AT = 512;

export function aVdi(choice: VdiChoice = {}): VdiBuilder {
  return new VdiBuilder(choice);
}

/** Every `with` returns the builder itself. Blocks are sparse: only their first bytes are kept until `bytes()`. */
export class VdiBuilder {
  readonly offsetData: number;
  readonly #header = new Uint8Array(512);
  readonly #map: Uint8Array;
  readonly #fills: number[] = [];
  readonly #pieces: { at: number; bytes: Uint8Array }[] = [];
  #cut: number | undefined;

  constructor({ capacity = 3 * MiB, imageType = 1, blocksInImage }: VdiChoice) {
    const blocks = blocksInImage ?? Math.ceil(capacity / MiB);
    this.#map = new Uint8Array(Math.ceil((blocks * 4) / 512) * 512).fill(0xff);
    this.offsetData = MAP_AT + this.#map.byteLength;
    this.withHeader('signature', 0xbeda107f).withHeader('version', 0x10001).withHeader('headerSize', 0x190);
    this.withHeader('imageType', imageType).withHeader('offsetBmap', MAP_AT).withHeader('offsetData', this.offsetData);
    this.withHeader('sectorSize', 512).withHeader('diskSize', capacity).withHeader('blockSize', MiB);
    this.withHeader('blocksInImage', blocks).withHeader(
      'uuidImage',
      Uint8Array.from({ length: 16 }, (_, at) => at + 1),
    );
  }

  withHeader(name: HeaderField, value: number | bigint | Uint8Array): this {
    const { at, width } = HEADER.fields[name];
    this.#header.set(value instanceof Uint8Array ? value : bigEndian(BigInt(value), width).reverse(), at);
    return this;
  }

  withEntry(block: number, value: number): this {
    this.#map.set(bigEndian(BigInt(value), 4).reverse(), block * 4);
    return this;
  }

  /** A block of `fill` bytes behind all others. */
  withBlock(block: number, fill: number): this {
    this.#fills.push(fill);
    return this.withEntry(block, this.#fills.length - 1).withHeader('blocksAllocated', this.#fills.length);
  }

  withBytes(at: number, bytes: Uint8Array): this {
    this.#pieces.push({ at, bytes });
    return this;
  }

  cutAt(length: number): this {
    this.#cut = length;
    return this;
  }

  bytes(): Uint8Array {
    const file = new Uint8Array(this.offsetData + this.#fills.length * MiB);
    file.set(this.#header, 0);
    file.set(this.#map, MAP_AT);
    for (const [index, fill] of this.#fills.entries()) file.fill(fill, this.offsetData + index * MiB, this.offsetData + (index + 1) * MiB);
    for (const { at, bytes } of this.#pieces) file.set(bytes, at);
    return this.#cut === undefined ? file : file.slice(0, this.#cut);
  }
}

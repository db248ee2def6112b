/**
 * VHD images byte by byte, valid unless told otherwise: `aVhd({ capacity }).withBlock(0, 0x55).bytes()`. For images that
 * QEMU would never write; agreement with the format is proved by foreign files, not by these.
 */
import { DYNAMIC_HEADER, FOOTER, PARENT_LOCATOR } from '../../src/formats/vhd/layout.ts';
import { bigEndian } from './qcow2-builder.ts';

export interface VhdChoice {
  readonly diskType?: 'fixed' | 'dynamic' | 'differencing';
  /** A multiple of 512; 64 KiB when left out. */
  readonly capacity?: number;
  /** 8 KiB when left out: images stay small. */
  readonly blockSize?: number;
  readonly tableEntries?: number;
}

type FooterField = keyof typeof FOOTER.fields;
type HeaderField = keyof typeof DYNAMIC_HEADER.fields;

const TYPES = { fixed: 2, dynamic: 3, differencing: 4 } as const;
export const HEADER_AT = 512;
export const TABLE_AT = 1536;

/** Writes the checksum of the footer at `at` anew. */
export function checksumFooter(bytes: Uint8Array, at: number): void {
  seal(bytes.subarray(at, at + 512), FOOTER.fields.checksum.at);
}

/** The same for the dynamic disk header. */
export function checksumHeader(bytes: Uint8Array, at: number): void {
  seal(bytes.subarray(at, at + 1024), DYNAMIC_HEADER.fields.checksum.at);
}

function seal(structure: Uint8Array, checksumAt: number): void {
  structure.fill(0, checksumAt, checksumAt + 4);
  const sum = structure.reduce((total, byte) => total + byte, 0);
  structure.set(bigEndian(BigInt(0xffffffff - sum), 4), checksumAt);
}

/** A new image: copy of the footer, dynamic header, table, then what is appended; the footer comes last. */
export function aVhd(choice: VhdChoice = {}): VhdBuilder {
  return new VhdBuilder(choice);
}

/** Every `with` returns the builder itself; checksums are made last, unless a checksum was set. */
export class VhdBuilder {
  readonly blockSize: number;
  readonly bitmapBytes: number;
  readonly capacity: number;
  readonly isFixed: boolean;
  readonly #footer = new Uint8Array(512);
  readonly #header = new Uint8Array(1024);
  readonly #table: Uint8Array;
  readonly #pieces: { at: number; bytes: Uint8Array }[] = [];
  readonly #kept = new Set<'footer' | 'header' | 'end' | 'copy'>();
  #length: number;
  #cut: number | undefined;

  constructor({ diskType = 'dynamic', capacity = 64 * 1024, blockSize = 8192, tableEntries }: VhdChoice) {
    this.capacity = capacity;
    this.blockSize = blockSize;
    this.bitmapBytes = Math.ceil(blockSize / 512 / 8 / 512) * 512;
    this.isFixed = diskType === 'fixed';
    const entries = tableEntries ?? Math.ceil(capacity / blockSize);
    this.#table = new Uint8Array(Math.ceil((entries * 4) / 512) * 512).fill(0xff);
    this.#length = this.isFixed ? capacity : TABLE_AT + this.#table.byteLength;
    this.withFooter('cookie', text('conectix')).withFooter('features', 2).withFooter('fileFormatVersion', 0x10000);
    this.withFooter('dataOffset', this.isFixed ? 2n ** 64n - 1n : HEADER_AT).withFooter('creatorApplication', text('win '));
    this.withFooter('creatorHostOs', text('Wi2k')).withFooter('originalSize', capacity).withFooter('currentSize', capacity);
    this.withFooter('cylinders', 1).withFooter('heads', 4).withFooter('sectorsPerTrack', 17).withFooter('diskType', TYPES[diskType]);
    this.withFooter('uniqueId', text('0123456789abcdef'));
    this.withHeader('cookie', text('cxsparse'))
      .withHeader('dataOffset', 2n ** 64n - 1n)
      .withHeader('tableOffset', TABLE_AT);
    this.withHeader('headerVersion', 0x10000).withHeader('maxTableEntries', entries).withHeader('blockSize', blockSize);
  }

  /** Without the footer at the end. */
  get dataEnd(): number {
    return this.#length;
  }

  withFooter(name: FooterField, value: number | bigint | Uint8Array): this {
    if (name === 'checksum') this.#kept.add('footer');
    put(this.#footer, FOOTER.fields[name], value);
    return this;
  }

  withHeader(name: HeaderField, value: number | bigint | Uint8Array): this {
    if (name === 'checksum') this.#kept.add('header');
    put(this.#header, DYNAMIC_HEADER.fields[name], value);
    return this;
  }

  withEntry(index: number, sector: number): this {
    put(this.#table, { at: index * 4, width: 4 }, sector);
    return this;
  }

  /** A block of `fill` bytes behind all others, its bitmap of `bitmap` bytes. */
  withBlock(index: number, fill: number, bitmap = 0xff): this {
    const bytes = new Uint8Array(this.bitmapBytes + this.blockSize).fill(fill);
    bytes.fill(bitmap, 0, this.bitmapBytes);
    return this.withEntry(index, this.append(bytes) / 512);
  }

  /** Whole sectors at the end; where they begin. */
  append(content: Uint8Array): number {
    const at = this.#length;
    this.#pieces.push({ at, bytes: content });
    this.#length += Math.ceil(content.byteLength / 512) * 512;
    return at;
  }

  withParentLocator(index: number, platformCode: string, content: Uint8Array, offset?: number, byteLength?: number): this {
    const at = DYNAMIC_HEADER.fields.parentLocators.at + index * PARENT_LOCATOR.byteLength;
    const place = offset ?? this.append(content);
    this.#header.set(text(platformCode), at);
    put(this.#header, { at: at + 8, width: 4 }, byteLength ?? content.byteLength);
    put(this.#header, { at: at + 16, width: 8 }, place);
    return this;
  }

  /** Anything anywhere, after everything else. */
  withBytes(at: number, bytes: Uint8Array): this {
    this.#pieces.push({ at, bytes });
    return this;
  }

  withoutFooterAtEnd(): this {
    this.#kept.add('end');
    return this;
  }

  withoutCopy(): this {
    this.#kept.add('copy');
    return this;
  }

  /** Only the first `length` bytes. */
  cutAt(length: number): this {
    this.#cut = length;
    return this;
  }

  bytes(): Uint8Array {
    const end = this.#length;
    const file = new Uint8Array(end + (this.#kept.has('end') ? 0 : 512));
    const footer = this.#footer.slice();
    const header = this.#header.slice();
    if (!this.#kept.has('footer')) seal(footer, FOOTER.fields.checksum.at);
    if (!this.#kept.has('header')) seal(header, DYNAMIC_HEADER.fields.checksum.at);
    if (!this.isFixed) {
      if (!this.#kept.has('copy')) file.set(footer, 0);
      file.set(header, HEADER_AT);
      file.set(this.#table, TABLE_AT);
    }
    if (!this.#kept.has('end')) file.set(footer, end);
    for (const { at, bytes } of this.#pieces) file.set(bytes, at);
    return this.#cut === undefined ? file : file.slice(0, this.#cut);
  }
}

export function text(content: string): Uint8Array {
  return Uint8Array.from(content, (character) => character.charCodeAt(0));
}

function put(target: Uint8Array, { at, width }: { at: number; width: number }, value: number | bigint | Uint8Array): void {
  target.set(value instanceof Uint8Array ? value : bigEndian(BigInt(value), width), at);
}

/**
 * VHDX images byte by byte, valid unless told otherwise: `aVhdx({ capacity: 4 * MiB }).withBlock(0, 5 * MiB).device()`.
 * For images that no writer makes; agreement with the format is proved by foreign files, not by these. Checksums are
 * made at the end, so that what is changed on purpose is found by more than its checksum.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { KiB, MiB } from '#base';
import { type ReadableDevice, readableDevice } from '#block';
import { crc32c } from '#codec';
import {
  HEADER,
  HEADER_OFFSETS,
  METADATA_GUID,
  REGION_GUID,
  REGION_TABLE_BYTES,
  REGION_TABLE_OFFSETS,
} from '../../src/formats/vhdx/layout.ts';

export interface VhdxChoice {
  readonly capacity?: number;
  readonly blockSize?: number;
  readonly logicalSectorSize?: number;
  /** 1 LeaveBlocksAllocated, 2 HasParent. */
  readonly flags?: number;
  readonly logLength?: number;
}

export type LogUpdate = { readonly at: number; readonly data: Uint8Array } | { readonly at: number; readonly zeros: number };

export interface LogEntryChoice {
  readonly sequenceNumber: number;
  /** Where in the log its sequence begins; at itself when left out. */
  readonly tail?: number;
  readonly updates?: readonly LogUpdate[];
  readonly flushedFileOffset?: bigint | number;
  readonly lastFileOffset?: bigint | number;
  readonly logGuid?: string;
}

export const LOG_GUID = '00112233-4455-6677-8899-aabbccddeeff';
export const LOG = MiB;
const PAGE = 4096;
const NO_PAGE = new Uint8Array(PAGE);
/** Each structure with a checksum has so much room for itself. */
const SEAL_SLOT = 64 * KiB;

type HeaderField = Exclude<keyof typeof HEADER.fields, number | symbol>;

/** header section, log, BAT, metadata, 1 MiB each (the log as long as chosen); no block has a place. */
export function aVhdx(choice: VhdxChoice = {}): VhdxBuilder {
  return new VhdxBuilder(choice);
}

/** Every `with` returns the builder itself and works on the file as it stands: order matters. */
export class VhdxBuilder {
  readonly bat: number;
  readonly metadata: number;
  /** Where the next block could lie. */
  readonly blocks: number;
  readonly logLength: number;
  readonly #pages = new Map<number, Uint8Array>();
  /** Pages shared with another builder: copied before they are written. */
  readonly #shared = new Set<number>();
  /** Structures whose checksum does not fit what was written since. */
  readonly #stale = new Set<number>();
  readonly #checksummed = new Map<number, number>();
  readonly #withoutChecksum = new Set<number>();
  readonly #items = new Map<string, { readonly entryAt: number; readonly at: number }>();
  #length: number;
  #itemCount = 0;
  #itemsEnd = 64 * KiB;

  constructor(choice: VhdxChoice, from?: VhdxBuilder) {
    const { capacity = 8 * MiB, blockSize = MiB, logicalSectorSize = 512, flags = 0, logLength = from?.logLength ?? MiB } = choice;
    this.logLength = logLength;
    this.bat = LOG + logLength;
    this.metadata = this.bat + MiB;
    this.blocks = this.metadata + MiB;
    this.#length = this.blocks;
    if (from !== undefined) {
      this.#takeOver(from);
      return;
    }
    this.withBytes(0, latin1('vhdxfile')).withBytes(8, utf16('plimsoll'));
    for (const [index, at] of HEADER_OFFSETS.entries()) {
      this.withBytes(at, latin1('head'));
      this.#checksummed.set(at, 4096);
      this.withHeader('sequenceNumber', 7 + index, index).withHeader('version', 1, index);
      this.withHeader('logOffset', LOG, index).withHeader('logLength', logLength, index);
    }
    for (const at of REGION_TABLE_OFFSETS) {
      this.withBytes(at, latin1('regi')).withU32(at + 8, 2);
      this.#checksummed.set(at, REGION_TABLE_BYTES);
    }
    this.withRegion(0, { guid: REGION_GUID.bat, fileOffset: this.bat, length: MiB, flags: 1 });
    this.withRegion(1, { guid: REGION_GUID.metadata, fileOffset: this.metadata, length: MiB, flags: 1 });
    this.withBytes(this.metadata, latin1('metadata'));
    this.withItem('fileParameters', [...u32(blockSize), ...u32(flags)]).withItem('virtualDiskSize', u64(capacity));
    this.withItem('virtualDiskId', guid('12345678-1234-1234-1234-123456789abc'));
    this.withItem('logicalSectorSize', u32(logicalSectorSize)).withItem('physicalSectorSize', u32(4096));
  }

  get length(): number {
    return this.#length;
  }

  withBytes(at: number, bytes: ArrayLike<number>): this {
    for (let index = 0; index < bytes.length; index += 1) this.#pageToWrite(at + index)[(at + index) % PAGE] = bytes[index] as number;
    const slot = Math.floor(at / SEAL_SLOT) * SEAL_SLOT;
    if (this.#checksummed.has(slot)) this.#stale.add(slot);
    this.#length = Math.max(this.#length, at + bytes.length);
    return this;
  }

  withU16(at: number, value: number): this {
    return this.withBytes(at, [value % 256, Math.floor(value / 256)]);
  }

  withU32(at: number, value: number): this {
    return this.withBytes(at, u32(value));
  }

  withU64(at: number, value: bigint | number): this {
    return this.withBytes(at, u64(value));
  }

  /** A file of exactly `byteLength` bytes. */
  withLength(byteLength: number): this {
    this.#length = byteLength;
    return this;
  }

  /** A field of the header `index`, of both when left out. */
  withHeader(name: HeaderField, value: bigint | number, index?: number): this {
    const { at, width } = HEADER.fields[name];
    for (const [one, base] of HEADER_OFFSETS.entries()) {
      if (index === undefined || index === one) this.withBytes(base + at, u64(value).slice(0, width));
    }
    return this;
  }

  /** An entry of both region tables, or of one. */
  withRegion(
    index: number,
    region: { readonly guid: string; readonly fileOffset: bigint | number; readonly length: number; readonly flags?: number },
    tables: readonly number[] = REGION_TABLE_OFFSETS,
  ): this {
    for (const table of tables) {
      const at = table + 16 + index * 32;
      this.withBytes(at, guid(region.guid)).withU64(at + 16, region.fileOffset);
      this.withU32(at + 24, region.length).withU32(at + 28, region.flags ?? 0);
    }
    return this;
  }

  withRegionCount(count: number, tables: readonly number[] = REGION_TABLE_OFFSETS): this {
    for (const table of tables) this.withU32(table + 8, count);
    return this;
  }

  /** A new metadata item, known by name or by GUID. */
  withItem(name: keyof typeof METADATA_GUID | (string & {}), bytes: ArrayLike<number>, flags = 4): this {
    const entryAt = this.metadata + 32 + this.#itemCount * 32;
    const id = METADATA_GUID[name as keyof typeof METADATA_GUID] ?? name;
    this.withBytes(entryAt, guid(id)).withU32(entryAt + 16, this.#itemsEnd);
    this.withU32(entryAt + 20, bytes.length).withU32(entryAt + 24, flags);
    this.withBytes(this.metadata + this.#itemsEnd, bytes);
    this.#items.set(name, { entryAt, at: this.metadata + this.#itemsEnd });
    this.#itemCount += 1;
    this.#itemsEnd += Math.ceil(bytes.length / 8) * 8;
    return this.withU16(this.metadata + 10, this.#itemCount);
  }

  /** Where an item's table entry and its bytes lie. */
  item(name: string): { readonly entryAt: number; readonly at: number } {
    const found = this.#items.get(name);
    if (found === undefined) throw new Error(`no item ${name}`);
    return found;
  }

  withParent(entries: readonly (readonly [string, string])[]): this {
    const names = entries.flat().map(utf16);
    let at = 20 + entries.length * 12;
    const item: number[] = [...guid('b04aefb7-d19e-4a81-b789-25b8e9445913'), 0, 0, entries.length, 0];
    const places = names.map((name) => {
      at += name.length;
      return at - name.length;
    });
    for (let index = 0; index < names.length; index += 2) {
      item.push(...u32(places[index] ?? 0), ...u32(places[index + 1] ?? 0));
      item.push(...u32(names[index]?.length ?? 0).slice(0, 2), ...u32(names[index + 1]?.length ?? 0).slice(0, 2));
    }
    return this.withItem('parentLocator', [...item, ...names.flat()]);
  }

  /** Entry `index` of the block allocation table, bitmap entries counted. */
  withEntry(index: number, value: bigint | number): this {
    return this.withU64(this.bat + index * 8, value);
  }

  /** A block that is fully present at `fileOffset`, the file long enough for it. */
  withBlock(index: number, fileOffset: number, byteLength = MiB): this {
    this.#length = Math.max(this.#length, fileOffset + byteLength);
    return this.withEntry(index, BigInt(fileOffset) + 6n);
  }

  /** An entry at `at` of the log, wrapped around its end. Sets the headers' LogGuid. Returns where the next one begins. */
  addLogEntry(at: number, choice: LogEntryChoice): number {
    const bytes = logEntry(at, this.#length, choice);
    const end = Math.min(this.logLength, at + bytes.length);
    this.withBytes(LOG + at, bytes.subarray(0, end - at)).withBytes(LOG, bytes.subarray(end - at));
    for (const base of HEADER_OFFSETS) this.withBytes(base + 48, guid(LOG_GUID));
    return (at + bytes.length) % this.logLength;
  }

  withLogEntry(at: number, choice: LogEntryChoice): this {
    this.addLogEntry(at, choice);
    return this;
  }

  /** Makes the checksum of the log entry at `at` anew, as long as it says it is. */
  checksumLogEntry(at: number): this {
    this.withU32(LOG + at + 4, 0);
    const byteLength = new DataView(this.#page(LOG + at).buffer).getUint32(8, true);
    if (byteLength % PAGE !== 0 || at + byteLength > this.logLength) return this;
    let checksum = 0;
    for (let page = LOG + at; page < LOG + at + byteLength; page += PAGE) checksum = crc32c(this.#page(page), checksum);
    return this.withU32(LOG + at + 4, checksum);
  }

  /** The structure at `at` keeps the checksum it has. */
  withoutChecksum(at: number): this {
    this.#withoutChecksum.add(at);
    return this;
  }

  /** The image as it stands; later changes do not show. */
  device(): ReadableDevice {
    this.#writeChecksums();
    return pagedDevice(this.#share(), this.#length);
  }

  /** The image as it stands, whole. */
  bytes(): Uint8Array {
    this.#writeChecksums();
    const bytes = new Uint8Array(this.#length);
    for (const [index, page] of this.#pages) {
      if (index * PAGE < bytes.byteLength) bytes.set(page.subarray(0, bytes.byteLength - index * PAGE), index * PAGE);
    }
    return bytes;
  }

  /** Another builder of the same image, checksums made: changes to one do not show in the other. */
  copy(): VhdxBuilder {
    this.#writeChecksums();
    return new VhdxBuilder({}, this);
  }

  /** Writes it as a sparse file. */
  write(path: string): string {
    this.#writeChecksums();
    const fd = openSync(path, 'w');
    for (const [index, page] of this.#pages) writeSync(fd, page, 0, PAGE, index * PAGE);
    ftruncateSync(fd, this.#length);
    closeSync(fd);
    return path;
  }

  #writeChecksums(): void {
    const length = this.#length;
    for (const at of this.#stale) {
      if (this.#withoutChecksum.has(at)) continue;
      const byteLength = this.#checksummed.get(at) as number;
      this.withU32(at + 4, 0);
      let checksum = 0;
      for (let page = at; page < at + byteLength; page += PAGE) checksum = crc32c(this.#page(page), checksum);
      this.withU32(at + 4, checksum);
      this.#stale.delete(at);
    }
    this.#length = length;
  }

  /** The pages, from now on for others too. */
  #share(): Map<number, Uint8Array> {
    for (const index of this.#pages.keys()) this.#shared.add(index);
    return new Map(this.#pages);
  }

  #takeOver(from: VhdxBuilder): void {
    for (const [index, page] of from.#share()) {
      this.#pages.set(index, page);
      this.#shared.add(index);
    }
    for (const [at, byteLength] of from.#checksummed) this.#checksummed.set(at, byteLength);
    for (const at of from.#stale) this.#stale.add(at);
    for (const at of from.#withoutChecksum) this.#withoutChecksum.add(at);
    for (const [name, item] of from.#items) this.#items.set(name, item);
    this.#length = from.#length;
    this.#itemCount = from.#itemCount;
    this.#itemsEnd = from.#itemsEnd;
  }

  #page(at: number): Uint8Array {
    return this.#pages.get(Math.floor(at / PAGE)) ?? NO_PAGE;
  }

  #pageToWrite(at: number): Uint8Array {
    const index = Math.floor(at / PAGE);
    const there = this.#pages.get(index);
    if (there !== undefined && !this.#shared.has(index)) return there;
    const page = there?.slice() ?? new Uint8Array(PAGE);
    this.#pages.set(index, page);
    this.#shared.delete(index);
    return page;
  }
}

/** A device over pages, zeros where there are none. */
function pagedDevice(pages: ReadonlyMap<number, Uint8Array>, byteLength: number): ReadableDevice {
  return readableDevice({
    byteLength,
    read(target, offset) {
      const bytes = target.subarray(0, Math.max(0, byteLength - offset)).fill(0);
      for (let index = Math.floor(offset / PAGE); index * PAGE < offset + bytes.length; index += 1) {
        const page = pages.get(index);
        if (page === undefined) continue;
        const from = Math.max(0, offset - index * PAGE);
        const to = Math.min(PAGE, offset + bytes.length - index * PAGE);
        bytes.set(page.subarray(from, to), index * PAGE + from - offset);
      }
      return Promise.resolve(bytes.length);
    },
  });
}

function logEntry(at: number, fileLength: number, choice: LogEntryChoice): Uint8Array {
  const updates = choice.updates ?? [];
  const head = Math.ceil((64 + updates.length * 32) / PAGE) * PAGE;
  const bytes = new Uint8Array(head + updates.filter((update) => 'data' in update).length * PAGE);
  const { sequenceNumber: sequence, tail = at, flushedFileOffset = fileLength, lastFileOffset = fileLength } = choice;
  bytes.set([...latin1('loge'), 0, 0, 0, 0, ...u32(bytes.length), ...u32(tail), ...u64(sequence), ...u32(updates.length), 0, 0, 0, 0]);
  bytes.set([...guid(choice.logGuid ?? LOG_GUID), ...u64(flushedFileOffset), ...u64(lastFileOffset)], 32);
  let sectorAt = head;
  for (const [index, update] of updates.entries()) {
    const descriptorAt = 64 + index * 32;
    bytes.set([...u64(update.at), ...u64(sequence)], descriptorAt + 16);
    if ('zeros' in update) {
      bytes.set([...latin1('zero'), 0, 0, 0, 0, ...u64(update.zeros)], descriptorAt);
      continue;
    }
    bytes.set([...latin1('desc'), ...update.data.subarray(PAGE - 4), ...update.data.subarray(0, 8)], descriptorAt);
    bytes.set([...latin1('data'), 0, 0, 0, 0, ...update.data.subarray(8, PAGE - 4), ...u32(sequence)], sectorAt);
    sectorAt += PAGE;
  }
  bytes.set(u32(crc32c(bytes)), 4);
  return bytes;
}

export function u32(value: number): number[] {
  return u64(value).slice(0, 4);
}

export function u64(value: bigint | number): number[] {
  const whole = BigInt.asUintN(64, BigInt(value));
  return Array.from({ length: 8 }, (_, index) => Number((whole >> BigInt(8 * index)) & 0xffn));
}

export function latin1(text: string): number[] {
  return [...Buffer.from(text, 'latin1')];
}

function utf16(text: string): number[] {
  return [...Buffer.from(text, 'utf16le')];
}

/** The bytes of `2dc27766-f623-4200-9d64-115e9bfd4a08` as they are stored. */
export function guid(text: string): number[] {
  const bytes = (text.replaceAll('-', '').match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
  return [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map((at) => bytes[at] ?? 0);
}

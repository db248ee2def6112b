/**
 * Reads the dependencies of an ELF file for the dynamic loader. Only for our own runtime (Node, koffi, the C library),
 * never for an image. Source: System V ABI, "Object Files", "Program Loading and Dynamic Linking"; 64-bit little-endian
 * only.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { PlimsollError } from '#base';

export interface ElfNeeds {
  /** The loader, which must be at this exact path (PT_INTERP); undefined for a library. */
  readonly interpreter: string | undefined;
  /** The name by which other files refer to this one (DT_SONAME). */
  readonly soname: string | undefined;
  /** The libraries it needs, by name and not by path (DT_NEEDED). */
  readonly needed: readonly string[];
}

interface Segment {
  readonly type: number;
  readonly fileOffset: number;
  readonly address: number;
  readonly fileBytes: number;
}

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const DYNAMIC_ENTRY_BYTES = 16;
/** Real files have a dozen segments and some thirty dynamic entries. */
const MAX_SEGMENTS = 256;
const MAX_DYNAMIC_BYTES = 64 * 1024;
const MAX_NAME_BYTES = 4096;

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_SONAME = 14;

/** Throws: unsupported, unless it is a 64-bit little-endian ELF file; a Node error when it cannot be read. */
export function readElfNeeds(path: string): ElfNeeds {
  const fd = openSync(path, 'r');
  try {
    const read = (offset: number, length: number): Buffer => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
    };
    return needsOf(read, path);
  } finally {
    closeSync(fd);
  }
}

type Read = (offset: number, length: number) => Buffer;

function needsOf(read: Read, path: string): ElfNeeds {
  const header = read(0, HEADER_BYTES);
  if (header.length < HEADER_BYTES || header.toString('latin1', 0, 6) !== '\u007fELF\u0002\u0001')
    throw notElf(path, 'not an ELF file of that kind');
  const segmentCount = header.readUInt16LE(56);
  if (header.readUInt16LE(54) !== SEGMENT_BYTES || segmentCount > MAX_SEGMENTS) throw notElf(path, 'program headers of an unknown layout');
  const table = read(Number(header.readBigUInt64LE(32)), segmentCount * SEGMENT_BYTES);
  if (table.length < segmentCount * SEGMENT_BYTES) throw notElf(path, 'cut off');
  const segments = Array.from({ length: segmentCount }, (_, index) => segmentAt(table, index * SEGMENT_BYTES));
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  return {
    interpreter: interpreter === undefined ? undefined : textAt(read, interpreter.fileOffset),
    ...dynamicNames(read, segments),
  };
}

function segmentAt(table: Buffer, at: number): Segment {
  return {
    type: table.readUInt32LE(at),
    fileOffset: Number(table.readBigUInt64LE(at + 8)),
    address: Number(table.readBigUInt64LE(at + 16)),
    fileBytes: Number(table.readBigUInt64LE(at + 32)),
  };
}

function dynamicNames(read: Read, segments: readonly Segment[]): { soname: string | undefined; needed: string[] } {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return { soname: undefined, needed: [] };
  const bytes = read(dynamic.fileOffset, Math.min(dynamic.fileBytes, MAX_DYNAMIC_BYTES));
  const entries: { tag: number; value: number }[] = [];
  for (let at = 0; at + DYNAMIC_ENTRY_BYTES <= bytes.length; at += DYNAMIC_ENTRY_BYTES) {
    entries.push({ tag: Number(bytes.readBigInt64LE(at)), value: Number(bytes.readBigUInt64LE(at + 8)) });
  }
  const strings = fileOffsetOf(segments, entries.find(({ tag }) => tag === DT_STRTAB)?.value ?? 0);
  const named = (wanted: number): string[] => entries.filter(({ tag }) => tag === wanted).map(({ value }) => textAt(read, strings + value));
  return { soname: named(DT_SONAME)[0], needed: named(DT_NEEDED) };
}

/** DT_STRTAB is an address in memory; the segment loaded there gives its offset in the file. */
function fileOffsetOf(segments: readonly Segment[], address: number): number {
  const home = segments.find((one) => one.type === PT_LOAD && address >= one.address && address < one.address + one.fileBytes);
  return home === undefined ? address : address - home.address + home.fileOffset;
}

function textAt(read: Read, offset: number): string {
  const bytes = read(offset, MAX_NAME_BYTES);
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

function notElf(path: string, found: string): PlimsollError {
  return new PlimsollError('unsupported', 'SANDBOX_UNAVAILABLE', {
    doing: 'find the files of a sandboxed process',
    image: path,
    found,
    expected: 'a 64-bit little-endian ELF file',
  });
}
